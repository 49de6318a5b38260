"""The two modules that have to behave alike."""

from typing import Any

import asyncpg.types
import pytest

import pgsansio.types


@pytest.fixture(params=[asyncpg.types, pgsansio.types], ids=["asyncpg", "pgsansio"])
def types(request: pytest.FixtureRequest) -> Any:
    return request.param
