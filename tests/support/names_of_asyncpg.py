"""asyncpg's public names, looked up in the asyncpg that is installed, and compared with ours.

A name is public if no part of it begins with an underscore and asyncpg has made it (it is not what a module of asyncpg
has imported from elsewhere). Of functions and methods the parameters are compared: names, kinds, order and defaults;
here they may have further ones, by keyword only. Of exceptions the classes that they are of, and the SQLSTATE.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final

import asyncpg

__all__ = ["DIFFERENCES", "DOCUMENTED", "compare", "modules_of_asyncpg", "public_names"]

#: What is not here, or not quite the same, and why; a name stands for what is within it, too. Modules that are not in
#: `DOCUMENTED` are there once `install_as_asyncpg()` was called, and these rows are about them then.
DIFFERENCES: Final[Mapping[str, str]] = {
    "connect": "`timeout` is 60 seconds unless there is a `connect_timeout`, which is for each address.",
    "connection.connect": "As `connect`.",
    "connection.ConnectionMeta": "Absent: a pool's connection is an instance of `Connection` without it.",
    "connection.ServerCapabilities": "Absent: `get_reset_query()` and COPY's `where` heed what the server can do.",
    "connection.LoggedQuery": "In `pgsansio.types`, and only after `install_as_asyncpg()` here, too.",
    "Pool": "Made with the parameters of `create_pool()`, with the same defaults; only the DSN is positional.",
    "pool.Pool": "As `Pool`.",
    "pool.PoolAcquireContext": "Its state is its own.",
    "pool.PoolConnectionHolder": "Absent: a pool has no holders.",
    "pool.PoolConnectionProxyMeta": "Absent: no metaclass is needed.",
    "transaction.ISOLATION_LEVELS": "Only after `install_as_asyncpg()`.",
    "transaction.ISOLATION_LEVELS_BY_VALUE": "Only after `install_as_asyncpg()`.",
    "exceptions.PostgresError.new": "Absent: `pgsansio.errors.error_from_fields` makes errors of a server's fields.",
    "PostgresError.new": "As `exceptions.PostgresError.new`.",
    "exceptions.PostgresLogMessage.new": "Absent: `pgsansio.errors.notice_from_fields` makes notices.",
    "PostgresLogMessage.new": "As `exceptions.PostgresLogMessage.new`.",
    "cluster": "asyncpg's clusters wait without a loop: making one raises `UnsupportedClientFeatureError`, which names "
    "`TempCluster` of `pgsansio_asyncio.cluster`.",
    "compat": "Only `SYSTEM` and `wait_for`.",
    "connect_utils.PGPASSFILE": "Absent: a constant of asyncpg's own.",
    "connect_utils.PG_SERVICEFILE": "Absent: a constant of asyncpg's own.",
    "connect_utils.SSLMode.parse": "Absent: `ssl=` takes the texts.",
    "connect_utils.TLSUpgradeProto": "Absent: TLS begins elsewhere.",
    "connect_utils.target_attrs_check": "Absent: hosts are chosen elsewhere.",
    "connresource.guarded": "Absent: a decorator of asyncpg's own methods.",
    "introspection": "Empty: types are asked for with other queries.",
    "pgproto.pgproto": "Only `UUID`: buffers and dates are those of asyncpg's codecs.",
    "protocol": "Only `Record`, and of `Protocol` what ddtrace replaces: the protocol is `pgsansio.engine`.",
}

#: Those in asyncpg's documentation; they are attributes of our packages in any case.
DOCUMENTED: Final = ("", "connection", "cursor", "exceptions", "pool", "prepared_stmt", "transaction", "types")


def modules_of_asyncpg() -> dict[str, ModuleType]:
    """Public modules by their names without the package; "" is the package."""
    found: dict[str, ModuleType] = {"": asyncpg}
    for module in pkgutil.walk_packages(asyncpg.__path__, "asyncpg."):
        name = module.name.removeprefix("asyncpg.")
        if not any(part.startswith("_") for part in name.split(".")):
            found[name] = importlib.import_module(module.name)
    return found


def _made_by_asyncpg(value: object) -> bool:
    if inspect.ismodule(value) or type(value).__module__ == "__future__":
        return False
    module = getattr(value, "__module__", None)
    return module is None or str(module).partition(".")[0] == "asyncpg"


def public_names(module: ModuleType) -> dict[str, object]:
    """What a module of asyncpg offers."""
    return {
        name: value
        for name, value in sorted(vars(module).items())
        if not name.startswith("_") and _made_by_asyncpg(value)
    }


def compare(theirs: Mapping[str, ModuleType], ours: Callable[[str], Any], ignored: frozenset[str]) -> set[str]:
    """What differs: "name: how".

    Args:
        theirs: modules of asyncpg.
        ours: our module for the one of this name; LookupError or AttributeError: there is none.
        ignored: parameters that are not expected here.
    """
    found: set[str] = set()
    for module_name, module in theirs.items():
        try:
            our_module = ours(module_name)
        except (LookupError, AttributeError):
            found.add(f"{module_name}: absent")
            continue
        for name, value in public_names(module).items():
            path = f"{module_name}.{name}".lstrip(".")
            found.update(_differences(path, value, getattr(our_module, name, None), ignored))
    return found


def _differences(path: str, theirs: Any, ours: Any, ignored: frozenset[str]) -> Iterator[str]:
    if ours is None:
        yield f"{path}: absent"
    elif inspect.isclass(theirs):
        if not inspect.isclass(ours):
            yield f"{path}: not a class"
        else:
            yield from _class_differences(path, theirs, ours, ignored)
    elif callable(theirs):
        yield from _parameter_differences(path, theirs, ours, ignored)


def _class_differences(path: str, theirs: Any, ours: Any, ignored: frozenset[str]) -> Iterator[str]:
    members = set(vars(theirs))
    if issubclass(theirs, Exception | asyncpg.PostgresLogMessage):
        bases, our_bases = ([base.__name__ for base in exception.__mro__] for exception in (theirs, ours))
        if bases != our_bases:
            yield f"{path}: is {bases}, here {our_bases}"
        state, our_state = (getattr(exception, "sqlstate", None) for exception in (theirs, ours))
        if state != our_state:
            yield f"{path}: has SQLSTATE {state}, here {our_state}"
    else:
        members.update(*(vars(base) for base in theirs.__mro__ if base.__module__.startswith("asyncpg")))
    # Only of classes that users make instances of.
    if "__init__" in members and (
        issubclass(theirs, Exception | asyncpg.Pool) or theirs.__module__ in ("asyncpg.types", "asyncpg.pgproto.types")
    ):
        yield from _parameter_differences(path, theirs, ours, ignored)
    for name in sorted(members):
        if name.startswith("_"):
            continue
        member, our_member = (inspect.getattr_static(owner, name, None) for owner in (theirs, ours))
        if our_member is None and not hasattr(ours, name):
            yield f"{path}.{name}: absent"
        elif inspect.isroutine(getattr(theirs, name)):
            yield from _parameter_differences(f"{path}.{name}", member, our_member, ignored)


def _signature(value: Any) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        # Not all annotations of asyncpg can be evaluated, and from 3.14 on it is whoever looks that does so.
        return inspect.signature(value, annotation_format=Format.STRING)
    return inspect.signature(value)


def _parameters(value: Any, ignored: frozenset[str]) -> dict[str, inspect.Parameter] | None:
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    try:
        signature = _signature(value)
    except (TypeError, ValueError):  # of a function in C that does not tell
        return None
    return {
        name: parameter
        for name, parameter in signature.parameters.items()
        if name not in ignored and name not in ("self", "cls")
    }


def _parameter_differences(path: str, theirs: Any, ours: Any, ignored: frozenset[str]) -> Iterator[str]:
    expected, found = _parameters(theirs, ignored), _parameters(ours, ignored)
    if expected is None or found is None:
        return
    for name, parameter in expected.items():
        ours_of_it = found.get(name)
        if ours_of_it is None:
            yield f"{path}: parameter {name} is absent"
        elif ours_of_it.kind != parameter.kind:
            yield f"{path}: parameter {name} is {parameter.kind.description}, here {ours_of_it.kind.description}"
        elif not _same_default(parameter.default, ours_of_it.default):
            yield f"{path}: parameter {name} has the default {parameter.default!r}, here {ours_of_it.default!r}"
    further = [parameter for name, parameter in found.items() if name not in expected]
    for parameter in further:
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.default is parameter.empty:
            yield f"{path}: parameter {parameter.name} is only here"
    order = [name for name in found if name in expected]
    if sorted(order) == sorted(expected) and _positional(expected) != _positional(found):
        yield f"{path}: the parameters are in another order"


def _positional(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, parameter in parameters.items() if parameter.kind in kinds]


def _same_default(theirs: Any, ours: Any) -> bool:
    if inspect.isclass(theirs) and inspect.isclass(ours):
        return theirs.__name__ == ours.__name__
    return bool(theirs == ours)
