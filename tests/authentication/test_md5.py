"""The answer to AuthenticationMD5Password."""

import hashlib

import pytest

from pgsansio.authentication.md5 import md5_response


@pytest.mark.checklist("AUTH-1")
def test_password_and_user_then_salt() -> None:
    # pg_authid.rolpassword of role "r" with this password, as PostgreSQL 18 stores it.
    stored = b"4a3760a05ce9394e681d18cad12b71f5"
    assert md5_response("r", "p\u00e4", b"\x00\xff,\x01") == b"md5" + hashlib.md5(
        stored + b"\x00\xff,\x01"
    ).hexdigest().encode("ascii")


@pytest.mark.checklist("AUTH-3")
def test_an_empty_password_has_an_answer() -> None:
    assert md5_response("user", "", b"abcd") == b"md54591428bede8165ad595eafe1190dd54"
