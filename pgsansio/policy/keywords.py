"""What a text of SQL is, as far as its first words, quotes and semicolons tell.

How this works: `_segments` cuts the text into code, comments and quoted parts with one pattern that finds the next
mark; everything else looks at code only. Each character is looked at a bounded number of times, nothing recurses
(nested comments are counted), and a quote that never ends reaches to the end of the text, as it does in the server,
which then refuses it. Quotes are read as with `standard_conforming_strings` on, the default since PostgreSQL 9.1.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = [
    "BARRIER_KEYWORDS",
    "StatementKind",
    "classify",
    "is_closed",
    "parameters_of",
    "percent_placeholder_hint",
    "replace_parameters",
    "split_statements",
]

#: Statements behind which nothing is written until they are answered: they take over the stream (COPY), change what
#: the next statement means (SET, PREPARE, DISCARD, ...) or begin and end transactions. CALL may do the last.
BARRIER_KEYWORDS: Final = frozenset(
    {
        *("COPY", "CALL", "SET", "RESET", "PREPARE", "DISCARD", "DEALLOCATE"),
        *("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"),
    }
)


@dataclass(frozen=True, slots=True)
class StatementKind:
    """What `classify` found. Doubts are resolved to the careful side: True may be wrong, False is not."""

    #: The first keyword, in capitals; "" if there is none (an empty text, or one that begins with something else).
    keyword: str
    #: More than one statement. True also for one statement with semicolons inside (BEGIN ATOMIC, rules).
    several: bool
    #: The word COPY is somewhere, be it in a literal or in a comment.
    mentions_copy: bool
    #: Some statement of the text begins a transaction block; COMMIT AND CHAIN does, too.
    begins_transaction: bool
    #: Some statement of the text ends a transaction block. ROLLBACK TO and COMMIT PREPARED do not.
    ends_transaction: bool

    @property
    def barrier(self) -> bool:
        """Nothing may be written behind this statement until it is answered, whatever the protocol."""
        return self.keyword in BARRIER_KEYWORDS

    @property
    def simple_barrier(self) -> bool:
        """The same for this text sent by the simple protocol, where it may be a script and may start a COPY."""
        return self.several or self.mentions_copy or self.keyword in BARRIER_KEYWORDS


class _Part(Enum):
    CODE = "code"
    COMMENT = "comment"
    QUOTED = "quoted"


# Manual, "Lexical Structure". An identifier may hold any character beyond ASCII; white space is ASCII's six only.
_IDENTIFIER_START: Final = r"A-Za-z_\u0080-\U0010ffff"
_MARK: Final = re.compile(r"""['"$]|--|/\*""")
_DOLLAR_TAG: Final = re.compile(rf"\$(?:[{_IDENTIFIER_START}][{_IDENTIFIER_START}0-9]*+)?\$")
_COMMENT_MARK: Final = re.compile(r"/\*|\*/")
_LINE_END: Final = re.compile(r"[\n\r]")
_ESCAPE_MARK: Final = re.compile(r"['\\]")
# What may stand between two parts of E'...': white space and comments with a line end among them. Only what cannot be
# given back is possessive, for Python before 3.11.5 goes wrong where a repeated group can (gh-106052).
_CONTINUATION: Final = re.compile(r"(?:[ \t\f\v]|--[^\n\r]*+)*[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*+[\n\r])*'")
_SPACE: Final = " \t\n\r\f\v"
_NOT_LEAD: Final = re.compile(r"[^ \t\n\r\f\v;(]")
_NOT_SPACE: Final = re.compile(r"[^ \t\n\r\f\v]")
_WORD: Final = re.compile(rf"[{_IDENTIFIER_START}][{_IDENTIFIER_START}0-9$]*+")
_COPY: Final = re.compile(r"(?<![a-z0-9_$])copy(?![a-z0-9_$])", re.IGNORECASE | re.ASCII)
_PERCENT: Final = re.compile(
    rf"%(?:s(?![{_IDENTIFIER_START}0-9$])|\([{_IDENTIFIER_START}][{_IDENTIFIER_START}0-9]*+\)s)"
)

#: Words of one statement that are looked at: COMMIT WORK AND NO CHAIN needs four.
_WORDS_MAX: Final = 4


def _is_identifier_character(character: str) -> bool:
    return character.isalnum() or character in "_$" or not character.isascii()


def _comment_end(sql: str, position: int) -> int:
    """The offset behind a block comment whose opening mark ends at `position`; they nest."""
    depth = 1
    while depth:
        mark = _COMMENT_MARK.search(sql, position)
        if mark is None:
            return len(sql)
        depth += 1 if mark.group() == "/*" else -1
        position = mark.end()
    return position


def _quote_end(sql: str, quote: str, position: int) -> int:
    """The offset behind the next `quote`. A doubled one ends one literal and begins the next, which is as good."""
    end = sql.find(quote, position)
    return len(sql) if end < 0 else end + len(quote)


def _escaped_end(sql: str, position: int) -> int:
    """The offset behind E'...' whose first quote ends at `position`. Backslashes escape; it may have several parts."""
    while (mark := _ESCAPE_MARK.search(sql, position)) is not None:
        position = mark.end()
        if mark.group() == "\\" or sql.startswith("'", position):
            position += 1
        elif (continued := _CONTINUATION.match(sql, position)) is not None:
            position = continued.end()
        else:
            return position
    return len(sql)


def _segments(sql: str) -> Iterator[tuple[_Part, int, int]]:
    """Cut `sql` into (part, start, end), in order, without gaps; pieces of code are not empty."""
    start = position = 0
    while (found := _MARK.search(sql, position)) is not None:
        mark, at, position = found.group(), found.start(), found.end()
        part = _Part.QUOTED
        if mark == "--":
            part = _Part.COMMENT
            line_end = _LINE_END.search(sql, position)
            end = len(sql) if line_end is None else line_end.start()
        elif mark == "/*":
            part = _Part.COMMENT
            end = _comment_end(sql, position)
        elif mark == "$":
            tag = _DOLLAR_TAG.match(sql, at)
            if tag is None or (at > start and _is_identifier_character(sql[at - 1])):
                continue  # a parameter ($1), or a part of an identifier
            end = _quote_end(sql, tag.group(), tag.end())
        elif mark == '"':
            end = _quote_end(sql, mark, position)
        else:
            prefix = at - 1
            escaped = (
                prefix >= start
                and sql[prefix] in "eE"
                and not (prefix > start and _is_identifier_character(sql[prefix - 1]))
            )
            end = _escaped_end(sql, position) if escaped else _quote_end(sql, mark, position)
        if start < at:
            yield _Part.CODE, start, at
        yield part, at, end
        start = position = end
    if start < len(sql):
        yield _Part.CODE, start, len(sql)


def _upper(word: str) -> str:
    # Keywords are folded in ASCII only; str.upper() would make SET of a word with a long s.
    return word.upper() if word.isascii() else word


class _Scan:
    """The statements of a text, one at a time: counted, and judged by their first words."""

    def __init__(self) -> None:
        self.keyword = ""
        self.statements = 0
        self.begins = False
        self.ends = False
        self.words: list[str] = []
        #: Before the first token of a statement; then while only words were seen in it.
        self.at_start = True
        self.in_words = False

    def token(self) -> None:
        """Something that is no word, at the start or behind the first words."""
        if self.at_start:
            self.at_start = False
            self.statements += 1
        self.in_words = False

    def code(self, sql: str, start: int, end: int) -> None:
        position = start
        while True:
            if self.at_start:
                first = _NOT_LEAD.search(sql, position, end)
                if first is None:
                    return
                position = first.start()
                self.at_start = False
                self.in_words = True
                self.words = []
                self.statements += 1
            while self.in_words:
                first = _NOT_SPACE.search(sql, position, end)
                if first is None:
                    return  # a comment may stand between two words
                position = first.start()
                word = _WORD.match(sql, position, end)
                if word is None or len(self.words) == _WORDS_MAX:
                    self.in_words = False
                else:
                    self.words.append(_upper(word.group()))
                    position = word.end()
            position = sql.find(";", position, end)
            if position < 0:
                return
            self.statement_end()

    def statement_end(self) -> None:
        words, self.words = self.words, []
        self.at_start = True
        self.in_words = False
        if self.statements == 1 and words:
            self.keyword = words[0]
        match words:
            case ["BEGIN" | "START", *_]:
                self.begins = True
            case ["PREPARE", "TRANSACTION", *_]:
                self.ends = True
            case [("COMMIT" | "END" | "ROLLBACK" | "ABORT"), *rest]:
                if rest[:1] in (["WORK"], ["TRANSACTION"]):
                    del rest[0]
                if rest[:1] not in (["TO"], ["PREPARED"]):
                    self.ends = True
                    self.begins = self.begins or rest[:2] == ["AND", "CHAIN"]
            case _:
                pass


def classify(sql: str) -> StatementKind:
    """Look at the words and quotes of `sql`; never raises, time linear in its length.

    Source: manual, "Lexical Structure"; the commands' reference pages for transactions.
    """
    scan = _Scan()
    for part, start, end in _segments(sql):
        if part is _Part.CODE:
            scan.code(sql, start, end)
        elif part is _Part.QUOTED:
            scan.token()
    if not scan.at_start:
        scan.statement_end()
    return StatementKind(
        keyword=scan.keyword,
        several=scan.statements > 1,
        mentions_copy=_COPY.search(sql) is not None,
        begins_transaction=scan.begins,
        ends_transaction=scan.ends,
    )


def percent_placeholder_hint(sql: str) -> str | None:
    """A hint for a syntax error, if `sql` has a placeholder of other drivers: %s or %(name)s, outside quotes, comments.

    Only for a statement the server has refused: `%s` is also the remainder of a division by a column named s.
    """
    for part, start, end in _segments(sql):
        if part is _Part.CODE and (found := _PERCENT.search(sql, start, end)) is not None:
            return f"parameters are written $1, $2, ... here, not {found.group()}"
    return None


def is_closed(sql: str) -> bool:
    """Whether every quote and every comment ends, so that what is written on the next line is none of them."""
    *_, (part, _, _) = _segments(sql + "\n")
    return part is _Part.CODE


#: What a word, a number or another parameter runs into, on either side, is none: PostgreSQL 15 and later refuse that.
_PARAMETER: Final = re.compile(rf"(?<![{_IDENTIFIER_START}0-9$])\$([0-9]++)(?![{_IDENTIFIER_START}$])")
#: What Bind can count. Longer numbers are none of anybody's, and int() would take its time.
_PARAMETER_MAX: Final = 65535
_PARAMETER_DIGITS_MAX: Final = 5


def parameters_of(sql: str) -> list[tuple[int, int, int]]:
    """Start, end and number of each parameter ($1, $2 and so on) outside of quotes and comments, in order.

    Numbers are from 1 to 65535; what else looks like a parameter is left to the server to refuse.
    """
    found: list[tuple[int, int, int]] = []
    for part, start, end in _segments(sql):
        if part is _Part.CODE:
            # A piece of its own, since what is quoted in front of it does not run into it.
            for parameter in _PARAMETER.finditer(sql[start:end]):
                digits = parameter[1]
                number = int(digits) if len(digits) <= _PARAMETER_DIGITS_MAX else 0
                if 0 < number <= _PARAMETER_MAX:
                    found.append((start + parameter.start(), start + parameter.end(), number))
    return found


def replace_parameters(sql: str, values: Sequence[str]) -> str:
    """The text with these in the places of $1, $2 and so on, outside of quotes and comments.

    A number for which there is no value stays.
    """
    pieces: list[str] = []
    position = 0
    for start, end, number in parameters_of(sql):
        if number <= len(values):
            pieces += (sql[position:start], values[number - 1])
            position = end
    pieces.append(sql[position:])
    return "".join(pieces)


#: What matters to where a statement ends: BEGIN ATOMIC ... END around a function's body, in which CASE ... END may
#: stand.
_BOUNDARY: Final = re.compile(
    rf"(?P<atomic>begin[ \t\n\r\f\v]+atomic)(?![{_IDENTIFIER_START}0-9$])|{_WORD.pattern}|[();]", re.IGNORECASE
)


def split_statements(sql: str) -> list[str]:
    """The statements of a script, without their semicolons; comments stay with the statement behind them.

    Like psql, semicolons in quotes, comments, parentheses (rules) and BEGIN ATOMIC bodies do not end a statement.
    """
    found: list[str] = []
    start = 0
    empty = True
    #: Open parentheses, then open BEGIN ATOMIC and CASE.
    parentheses = blocks = 0
    for part, position, end in _segments(sql):
        if part is _Part.QUOTED:
            empty = False
        if part is not _Part.CODE:
            continue
        for mark in _BOUNDARY.finditer(sql, position, end):
            word = mark.group().lower()
            if mark["atomic"] or (word == "case" and blocks):
                blocks += 1
            elif word == "end" and blocks:
                blocks -= 1
            elif word == "(":
                parentheses += 1
            elif word == ")":
                parentheses = max(parentheses - 1, 0)
            elif word == ";" and not parentheses and not blocks:
                if not empty or _NOT_SPACE.search(sql, position, mark.start()):
                    found.append(sql[start : mark.start()].strip(_SPACE))
                start = position = mark.end()
                empty = True
        empty = empty and _NOT_SPACE.search(sql, position, end) is None
    if not empty:
        found.append(sql[start:].strip(_SPACE))
    return found
