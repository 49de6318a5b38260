"""What hides passwords on their way."""

import copy
import functools
import pickle
import traceback
from typing import Any

import pytest

from pgsansio.types.secret import Secret, SecretFunction, hide, hide_arguments, hide_source


def test_it_shows_itself_to_nobody_who_does_not_ask() -> None:
    secret = Secret("S3CR3T")
    assert secret.reveal() == "S3CR3T"
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", repr([secret]), repr({"a": secret})):
        assert "S3CR3T" not in shown
        assert "***" in shown
    with pytest.raises(TypeError):
        vars(secret)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)
    assert copy.copy(secret) is copy.deepcopy(secret) is secret


def test_equality() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_hiding() -> None:
    secret = Secret("x")
    assert hide(secret) is hide_source(secret) is secret
    assert hide("x") == hide_source("x") == secret
    assert hide_source(None) is None
    assert hide_source(5) == Secret(5)
    function = hide_source(functools.partial(str, "S3CR3T"))
    assert isinstance(function, SecretFunction)
    assert function() == "S3CR3T"
    assert repr(function) == "***"
    hidden = hide_arguments(
        {"dsn": "S3CR3T", "password": "S3CR3T", "sslpassword": "S3CR3T", "user": "me", "host": None}
    )
    assert repr(hidden) == "{'dsn': ***, 'password': ***, 'sslpassword': ***, 'user': 'me', 'host': None}"
    assert hide_arguments(hidden) == hidden


def test_errors_of_who_has_seen_it_come_without_what_they_have_come_through() -> None:
    def fail(value: Any) -> None:
        copied = value
        try:
            raise KeyError(copied)
        except KeyError as error:
            raise ValueError("no good") from error

    with pytest.raises(ValueError, match="no good") as caught:
        Secret("S3CR3T").use(fail)
    assert caught.value.__context__ is caught.value.__cause__ is None
    _, use = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    assert use.name == "use"
    assert "S3CR3T" not in repr(use.locals)
    assert Secret("4").use(int) == 4
