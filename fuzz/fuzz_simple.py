"""Statements with arguments written into them, beside a plain reading of SQL, character by character.

Input: texts, separated by 0xff: the query, then its arguments. Held to: the parameters are where that reading finds
them, and with the arguments in their places it finds the same tokens, but for a constant in brackets in the place of
each parameter, of which it reads just the argument again. What an error says of a position is somewhere in the query.
"""

import random
from typing import Final

from fuzz.mutation import mutated
from pgsansio.codecs.registry import Registry
from pgsansio.errors import DataError, InterfaceError
from pgsansio.policy.keywords import parameters_of
from pgsansio.simple_statement import SimpleStatement

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 0
_TOKENS: Final = (
    b"$1", b"$2", b"$3", b"'", b"''", b"E'", b"e'", b"U&'", b'"', b"\\", b"\\'", b"$$", b"$a$", b"--", b"\n", b"/*",
    b"*/", b" ", b"1", b"x", b"-", b"\xff", b"\xc3\xa9", b";", b"::text", b"\r", b"(", b"$",
)  # fmt: skip
_LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_DIGITS: Final = frozenset("0123456789")
_SPACE: Final = frozenset(" \t\n\r\f\v")
_ON: Final = {"standard_conforming_strings": "on"}


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    for _ in range(1 << chance.randrange(5)):
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice(_TOKENS) + data[at + chance.randrange(3) :]
    return data if chance.random() < 0.7 else mutated(data, corpus, chance, PREFIX_BYTES)


def target(data: bytes) -> None:
    query, *arguments = (part.decode("utf-8", "replace") for part in data.split(b"\xff"))
    tokens = _read(query)
    numbers = [int(token[1:]) for token in tokens if token[:1] == "$" and token[1:].isdigit()]
    assert [number for _, _, number in parameters_of(query)] == numbers, "the parameters are others"
    try:
        statement = SimpleStatement(query, Registry(), _ON)
        pieces = statement.pieces(arguments)
    except (InterfaceError, DataError):
        return
    assert max(numbers, default=0) == len(arguments)
    expected: list[str] = []
    for token in tokens:
        if token[:1] == "$" and token[1:].isdigit():
            expected += ("(", "'" + arguments[int(token[1:]) - 1], ")")
        else:
            expected.append(token)
    text = "".join(pieces)
    assert _read(text) == expected, "an argument has changed the statement"
    try:
        batch, count, _ = statement.many(iter([arguments, arguments]), 0, first=True)
    except InterfaceError:
        pass
    else:
        assert count == 2
        assert _read(batch.decode()) == [*expected, ";"] * 2, "an element has changed the other one's statement"
    for position in range(1, len(text) + 2, len(text) // 20 + 1):
        assert 1 <= statement.position_of(position, pieces) <= len(query) + 1


def _read(sql: str) -> list[str]:
    """The tokens of SQL: words, numbers and quoted names as they are, parameters as `$1`, characters by themselves;
    string constants as a quote and what they mean. White space and comments are none."""
    tokens: list[str] = []
    at = 0
    #: Where a word, a number or a parameter has ended: what begins there runs on.
    word_end = -1
    while at < len(sql):
        here, two, runs_on = sql[at], sql[at : at + 2], at == word_end
        if here in _SPACE:
            at += 1
        elif two == "--":
            while at < len(sql) and sql[at] not in "\r\n":
                at += 1
        elif two == "/*":
            depth = 0
            while True:
                two = sql[at : at + 2]
                if two in ("/*", "*/"):
                    depth += 1 if two == "/*" else -1
                    at += 2
                else:
                    at += 1
                if not depth or at >= len(sql):
                    break
        elif here == "'":
            at, token = _plain(sql, at + 1)
            tokens.append(token)
        elif two in ("E'", "e'") and not runs_on:
            at, token = _escaped(sql, at + 2)
            tokens.append(token)
        elif here == '"':
            end = sql.find('"', at + 1) + 1 or len(sql)
            tokens.append(sql[at:end])
            at = end
        elif here == "$" and not runs_on and (tag := _dollar_tag(sql, at)):
            end = sql.find(tag, at + len(tag))
            end = len(sql) if end < 0 else end + len(tag)
            tokens.append(sql[at:end])
            at = end
        elif here == "$" and sql[at + 1 : at + 2] in _DIGITS:
            end = at + 1
            while end < len(sql) and sql[end] in _DIGITS:
                end += 1
            digits = sql[at + 1 : end]
            is_parameter = not runs_on and not _starts_word(sql[end : end + 1]) and sql[end : end + 1] != "$"
            is_parameter = is_parameter and len(digits) < 6 and 0 < int(digits) < 65536
            tokens.append(f"${int(digits)}" if is_parameter else f"junk{digits}")
            at = word_end = end
        elif _is_word(here):
            end = at
            only_digits = here in _DIGITS
            while end < len(sql) and (sql[end] in _DIGITS if only_digits else _is_word(sql[end])):
                end += 1
            tokens.append(sql[at:end])
            at = word_end = end
        else:
            tokens.append(here)
            at += 1
    return tokens


def _plain(sql: str, at: int) -> tuple[int, str]:
    text = "'"
    while at < len(sql):
        if sql[at] == "'":
            if sql[at + 1 : at + 2] != "'":
                return at + 1, text
            at += 1
        text += sql[at]
        at += 1
    return at, text


def _escaped(sql: str, at: int) -> tuple[int, str]:
    text = "'"
    while at < len(sql):
        if sql[at] == "'":
            if sql[at + 1 : at + 2] != "'":
                going_on = _continued(sql, at + 1)
                if not going_on:
                    return at + 1, text
                at = going_on
                continue
            at += 1
        elif sql[at] == "\\":
            at += 1
        text += sql[at : at + 1]
        at += 1
    return at, text


def _continued(sql: str, at: int) -> int:
    """Where a string constant goes on, behind its next quote; 0: it does not."""
    has_line_end = False
    while at < len(sql):
        if sql[at] in _SPACE:
            has_line_end = has_line_end or sql[at] in "\r\n"
            at += 1
        elif sql[at : at + 2] == "--":
            while at < len(sql) and sql[at] not in "\r\n":
                at += 1
        else:
            break
    return at + 1 if has_line_end and sql[at : at + 1] == "'" else 0


def _dollar_tag(sql: str, at: int) -> str:
    end = at + 1
    while end < len(sql) and _is_word(sql[end]) and sql[end] != "$":
        end += 1
    tag = sql[at : end + 1]
    return tag if tag[-1] == "$" and len(tag) > 1 and tag[1] not in _DIGITS else ""


def _starts_word(character: str) -> bool:
    return character != "" and (character in _LETTERS or not character.isascii())


def _is_word(character: str) -> bool:
    return _starts_word(character) or character in _DIGITS or character == "$"
