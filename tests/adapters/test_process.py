"""What an adapter knows of its process: as it is now, but looked at once."""

import importlib
import os
import sys
from collections.abc import Callable

import pytest

from pgsansio.client.parameters import Process

Look = Callable[[], Process]


@pytest.fixture(params=["asyncio", "trio"])
def look(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Look:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    this_process: Look = importlib.import_module(f"pgsansio_{request.param}.process").this_process
    return this_process


def test_it_stays_the_same_while_nothing_changes(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    process = look()
    monkeypatch.setenv("OF_NO_INTEREST", "x")
    assert look() is process


def test_changes_are_seen(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    assert "PGHOST" not in look().environment
    monkeypatch.setenv("PGHOST", "h")
    assert look().environment["PGHOST"] == "h"
    monkeypatch.setenv("PGHOST", "g")
    assert look().environment["PGHOST"] == "g"
    monkeypatch.setenv("LOGNAME", "somebody")
    assert look().os_user == "somebody"
    if sys.platform != "win32":
        monkeypatch.setenv("HOME", "/home/somebody")
        assert look().home == "/home/somebody"


def test_an_environment_of_another_kind(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PGHOST": "h", "LOGNAME": "l", "HOME": "/h"})
    assert look() == Process({"PGHOST": "h"}, "l", "/h", sys.platform)


def test_a_password_is_not_kept(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    process = look()
    assert process.environment["PGPASSWORD"] == "secret"
    assert look() is not process
    assert sys.modules[look.__module__].__dict__["_last"] is None
