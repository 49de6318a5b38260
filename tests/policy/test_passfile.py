"""Lines of password files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.policy.passfile import lookup


@pytest.mark.checklist("CON-4")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("h:5432:d:u:secret", "secret"),
        ("h:5432:d:u:secret\n", "secret"),
        ("h:5432:d:u:secret\r\nx", "secret"),
        ("#h:5432:d:u:secret", None),
        ("\n \n# x\nh:5432:d:u:secret", "secret"),
        ("*:*:*:*:any", "any"),
        ("h:5433:d:u:no\n*:5432:*:u:yes\nh:5432:d:u:later", "yes"),
        ("h:5432:d:v:secret", None),
        ("h:5432:d", None),
        ("h:5432:d:u", None),
        ("h:5432:d:u:", ""),
        ("h:5432:d:u:*", "*"),
        ("h:5432:d:u:a:b", "a"),
        (r"h:5432:d:u:a\:b\\c\d", "a:b\\cd"),
        ("h:5432:d:u:a\\", "a\\"),
        (r"\h:5432:d:u:secret", "secret"),
        (r"\*:5432:d:u:secret", None),
        ("**:5432:d:u:secret", None),
    ],
)
def test_lookup(text: str, expected: str | None) -> None:
    assert lookup(text, "h", 5432, "d", "u") == expected


@pytest.mark.checklist("CON-4")
def test_an_escaped_asterisk_is_one() -> None:
    assert lookup(r"*:*:\*:*:secret", "h", 1, "*", "u") == "secret"


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


FIELD = st.text(st.characters(exclude_characters="\n\r"))


@pytest.mark.checklist("CON-4")
@given(FIELD, FIELD, FIELD, FIELD, st.integers(1, 65535))
def test_escaping_a_line_gives_it_back(host: str, database: str, user: str, password: str, port: int) -> None:
    line = ":".join(map(escaped, (host, str(port), database, user, password)))
    expected = None if host.startswith("#") else password
    assert lookup(f"other:1:2:3:4\n{line}\n*:*:*:*:fallback", host, port, database, user) == (
        "fallback" if expected is None else expected
    )


@given(st.text(st.sampled_from("\\:*#\n\rhd5432u")))
def test_never_raises(text: str) -> None:
    lookup(text, "h", 5432, "d", "u")
