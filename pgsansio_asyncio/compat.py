"""install_as_asyncpg(): libraries that import asyncpg get this library.

The tree of modules is asyncpg's, as far as other packages import it. What is asyncpg's inside (its protocol, its
queries for types, its pool's holders) is absent.
"""

import asyncio
import functools
import sys
from collections.abc import Mapping
from enum import StrEnum
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from pgsansio import errors, sqlstates, types
from pgsansio.errors import InterfaceError, UnsupportedClientFeatureError

__all__ = ["install_as_asyncpg"]

#: What libraries that look at the version are told: the one whose interface this is.
ASYNCPG_VERSION: Final = "0.32.0"

_PGPROTO_TYPES: Final = ("BitString", "Box", "Circle", "Line", "LineSegment", "Path", "Point", "Polygon")
_VALUE_TYPES: Final = (*_PGPROTO_TYPES, "Attribute", "Range", "ServerVersion", "Type")

#: The exceptions that belong to no SQLSTATE.
_BASE_EXCEPTIONS: Final = (
    *("ClientConfigurationError", "FatalPostgresError", "InterfaceError", "InterfaceWarning", "InternalClientError"),
    *("OutdatedSchemaCacheError", "PostgresError", "PostgresLogMessage", "ProtocolError"),
    *("TargetServerAttributeNotMatched", "UnknownPostgresError", "UnsupportedClientFeatureError"),
    "UnsupportedServerFeatureError",
)


def install_as_asyncpg() -> None:
    """Make `import asyncpg` give this library, to whatever imports it from now on. A second call does nothing.

    To be called before anything imports asyncpg, which need not be installed.

    Raises:
        InterfaceError: asyncpg itself was imported before.
    """
    tree = asyncpg_tree()
    if sys.modules.get("asyncpg") is tree["asyncpg"]:
        return
    if any(name == "asyncpg" or name.startswith("asyncpg.") for name in sys.modules):
        raise InterfaceError(
            "cannot install as asyncpg: asyncpg itself was imported before",
            hint="Call install_as_asyncpg() first of all, before the imports of libraries that import asyncpg.",
        )
    sys.modules.update(tree)


@functools.cache
def asyncpg_tree() -> Mapping[str, ModuleType]:
    """The modules by their names; they are the same each time, and nothing is installed."""
    contents = _contents()
    tree: dict[str, ModuleType] = {}
    for name, values in contents.items():
        module = values.pop("", None) or ModuleType(name)
        is_package = any(other.startswith(f"{name}.") for other in contents)
        module.__dict__.update(values)
        module.__spec__ = ModuleSpec(name, None, origin="pgsansio_asyncio.compat", is_package=is_package)
        module.__package__ = name if is_package else name.rpartition(".")[0]
        module.__doc__ = f"{name}, as pgsansio has it."
        if is_package:
            module.__path__ = []
        tree[name] = module
    for name, module in tree.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(tree[parent], child, module)
    return tree


def _contents() -> dict[str, dict[str, Any]]:
    """What is in each module, by its name; "" is the module itself if there is one already."""
    # Only now: who does not install anything does not pay for it.
    import platform

    from pgsansio.client.pool import PoolAcquireContext, PoolConnectionProxy
    from pgsansio.client.resource import Resource
    from pgsansio.kernel import UUID, Record
    from pgsansio.policy.cluster import ClusterError
    from pgsansio.policy.conninfo import SessionAttribute, SSLMode
    from pgsansio.policy.quoting import quote_identifier, quote_literal
    from pgsansio.policy.transactions import ISOLATION_LEVELS, TransactionState
    from pgsansio_asyncio import _asyncpg_classes as classes

    base_exceptions = {name: getattr(errors, name) for name in _BASE_EXCEPTIONS}
    exceptions = {
        **base_exceptions,
        "InvalidCachedStatementError": errors.InvalidCachedStatementError,
        **{name: getattr(sqlstates, name) for name in sqlstates.__all__},
    }
    value_types = {name: getattr(types, name) for name in _VALUE_TYPES}
    clusters = ("Cluster", "TempCluster", "RunningCluster", "HotStandbyCluster")
    starred = {
        "connect": classes.connect,
        "create_pool": classes.create_pool,
        "Pool": classes.Pool,
        "Record": Record,
        "Connection": classes.Connection,
    }
    return {
        "asyncpg": {
            **starred,
            **exceptions,
            **value_types,
            "__all__": (*starred, *exceptions),
            "__version__": ASYNCPG_VERSION,
        },
        "asyncpg.cluster": {
            "ClusterError": ClusterError,
            **{name: type(name, (_AbsentCluster,), {"__module__": "asyncpg.cluster"}) for name in clusters},
        },
        "asyncpg.compat": {"SYSTEM": platform.system(), "wait_for": asyncio.wait_for},
        "asyncpg.connect_utils": {
            "": classes.connect_utils,
            "SSLMode": SSLMode,
            "SSLNegotiation": _SSLNegotiation,
            "SessionAttribute": SessionAttribute,
        },
        "asyncpg.connection": {
            "Connection": classes.Connection,
            "LoggedQuery": types.LoggedQuery,
            "connect": classes.connect,
        },
        "asyncpg.connresource": {"ConnectionResource": Resource},
        "asyncpg.cursor": {
            "BaseCursor": classes.BaseCursor,
            "Cursor": classes.Cursor,
            "CursorFactory": classes.CursorFactory,
            "CursorIterator": classes.CursorIterator,
        },
        "asyncpg.exceptions": {**exceptions, "__all__": tuple(exceptions)},
        "asyncpg.exceptions._base": {
            **base_exceptions,
            "InterfaceMessage": errors.InterfaceMessage,
            "PostgresMessage": errors.PostgresMessage,
            "__all__": _BASE_EXCEPTIONS,
        },
        "asyncpg.introspection": {},
        "asyncpg.pgproto": {},
        "asyncpg.pgproto.pgproto": {"UUID": UUID, "pg_UUID": UUID},
        "asyncpg.pgproto.types": {**{name: value_types[name] for name in _PGPROTO_TYPES}, "__all__": _PGPROTO_TYPES},
        "asyncpg.pool": {
            "Pool": classes.Pool,
            "PoolAcquireContext": PoolAcquireContext,
            "PoolConnectionProxy": PoolConnectionProxy,
            "create_pool": classes.create_pool,
        },
        "asyncpg.prepared_stmt": {"PreparedStatement": classes.PreparedStatement},
        "asyncpg.protocol": {"Protocol": classes.Protocol, "Record": Record},
        "asyncpg.protocol.protocol": {"Protocol": classes.Protocol, "Record": Record},
        "asyncpg.protocol.record": {"Record": Record},
        "asyncpg.serverversion": {
            "ServerVersion": types.ServerVersion,
            "split_server_version_string": _split_server_version_string,
        },
        "asyncpg.transaction": {
            "ISOLATION_LEVELS": ISOLATION_LEVELS,
            "ISOLATION_LEVELS_BY_VALUE": {level.replace("_", " "): level for level in ISOLATION_LEVELS},
            "Transaction": classes.Transaction,
            "TransactionState": TransactionState,
        },
        "asyncpg.types": {**value_types, "__all__": _VALUE_TYPES},
        "asyncpg.utils": {"_quote_ident": quote_identifier, "_quote_literal": quote_literal},
    }


class _SSLNegotiation(StrEnum):
    """sslnegotiation, whose two values are texts here."""

    postgres = "postgres"
    direct = "direct"


def _split_server_version_string(version_string: str) -> types.ServerVersion:
    """The version that a server reports, as `Connection.get_server_version()` gives it."""
    return types.parse_server_version(version_string)


class _AbsentCluster:
    """Stands for a class that cannot be made: asyncpg's clusters wait without a loop."""

    def __init__(self, *args: object, **arguments: object) -> None:
        raise UnsupportedClientFeatureError(
            f"asyncpg.cluster.{type(self).__name__} is not in pgsansio",
            hint="Use `async with pgsansio_asyncio.cluster.TempCluster() as cluster`.",
        )
