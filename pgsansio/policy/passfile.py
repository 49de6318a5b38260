"""The text of a password file: which line is for a connection.

Source: manual, "The Password File".
"""

__all__ = ["lookup"]


def lookup(text: str, host: str, port: int, database: str, user: str) -> str | None:
    """The password of the first line that matches; None if none does.

    A line is `host:port:database:user:password`. In each field `\\:` is a colon and `\\\\` a backslash, as in libpq
    (asyncpg leaves the backslashes in); `*` alone matches everything. Empty lines, lines that begin with `#`, and lines
    with less than five fields are skipped.

    Args:
        text: the file; line ends may be CR LF.
        host: as it was asked for; "localhost" for a Unix socket.
    """
    wanted = (host, str(port), database, user)
    for line in text.split("\n"):
        line = line.removesuffix("\r")
        if line.startswith("#"):
            continue
        start = 0
        for value in wanted:
            field, end = _field(line, start)
            if end == len(line) or (field != value and line[start:end] != "*"):
                break
            start = end + 1
        else:
            return _field(line, start)[0]
    return None


def _field(line: str, start: int) -> tuple[str, int]:
    """The field that begins at `start`, without its escapes, and the offset of the colon or the line end behind it."""
    characters: list[str] = []
    position = start
    while position < len(line) and line[position] != ":":
        if line[position] == "\\" and position + 1 < len(line):
            position += 1
        characters.append(line[position])
        position += 1
    return "".join(characters), position
