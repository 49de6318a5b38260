"""Names and texts as SQL."""

__all__ = ["quote_identifier", "quote_literal"]


def quote_identifier(name: str) -> str:
    """A name as SQL's quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """A text as SQL's string constant, which means the same whatever `standard_conforming_strings` says."""
    quoted = "'" + text.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted
