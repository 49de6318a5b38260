"""What is public can be imported, is annotated, and says what it is."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import pgsansio
import pgsansio_asyncio
import pgsansio_trio

PACKAGES = (pgsansio, pgsansio_asyncio, pgsansio_trio)


def modules() -> Iterator[str]:
    for package in PACKAGES:
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not found.name.endswith("__main__"):
                yield found.name


@pytest.mark.parametrize("name", sorted(modules()))
def test_all_is_there_once(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.fail(f"cannot be imported without further packages: {error}")
    names = getattr(module, "__all__", [])
    assert len(names) == len(set(names))
    for public in names:
        assert hasattr(module, public), public


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_what_a_package_offers_is_in_all(package: Any) -> None:
    """Modules excepted: a name without an underscore that is not in `__all__` would be public by accident."""
    found = {name for name, value in vars(package).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert found - set(package.__all__) == set()


def functions(owner: Any) -> Iterator[tuple[str, Any]]:
    """Public functions and properties that a class defines itself or has from our other classes."""
    for base in owner.__mro__:
        if base.__module__.partition(".")[0] not in {package.__name__ for package in PACKAGES}:
            continue
        for name, value in vars(base).items():
            if name.startswith("_"):
                continue
            if isinstance(value, classmethod | staticmethod):
                value = value.__func__
            if isinstance(value, property):
                value = value.fget
            if inspect.isfunction(value):
                yield f"{base.__name__}.{name}", value


def check_annotations(name: str, function: Any) -> None:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    missing = [
        parameter.name
        for position, parameter in enumerate(parameters)
        if parameter.annotation is parameter.empty and not (position == 0 and parameter.name in ("self", "cls"))
    ]
    assert not missing, f"{name} does not annotate {missing}"
    assert signature.return_annotation is not signature.empty, f"{name} does not annotate its result"


PUBLIC = sorted({(package.__name__, name) for package in PACKAGES for name in package.__all__})
CALLABLES = [(package, name) for package, name in PUBLIC if callable(getattr(importlib.import_module(package), name))]


@pytest.mark.parametrize(("package", "name"), CALLABLES, ids=".".join)
def test_callables_are_annotated_and_described(package: str, name: str) -> None:
    value = getattr(importlib.import_module(package), name)
    described = inspect.getdoc(value) if not inspect.isclass(value) else value.__doc__
    if not (
        inspect.isclass(value) and issubclass(value, pgsansio.PostgresMessage)
    ):  # one class per SQLSTATE: its name says it
        assert described, name
    if not inspect.isclass(value):
        check_annotations(name, value)
        return
    for method, function in functions(value):
        check_annotations(method, function)


@pytest.mark.parametrize("module", ["pgsansio_asyncio", "pgsansio_trio"])
def test_every_method_of_the_client_is_described(module: str) -> None:
    connection = importlib.import_module(module).Connection
    for method, function in functions(connection):
        assert inspect.getdoc(function), method
