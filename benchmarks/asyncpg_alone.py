"""asyncpg's codecs without a server: its protocol over a transport that answers from memory.

How this works. The codecs of asyncpg are functions in C that nothing outside can call, so the smallest thing that can
be measured is its protocol object, which is what the names without underscore in `asyncpg.protocol` make. It is given
a transport that drops what is written, and that calls `data_received` with recorded bytes as soon as something was
written that ends in Sync or Flush. There is no socket, no second process, and no system call but the loop's own.

It depends on asyncpg's inside, and is for the version that the extra `test` names.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

import asyncpg
from asyncpg import protocol as asyncpg_protocol

from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format, TransactionStatus
from pgsansio.messages.authentication import AuthenticationOk
from pgsansio.messages.backend import (
    BindComplete,
    CommandComplete,
    FieldDescription,
    NoData,
    ParameterDescription,
    ParseComplete,
    ReadyForQuery,
    RowDescription,
)

__all__ = ["AsyncpgAlone", "AsyncpgStatement"]

_ENDS: Final = (b"S\0\0\0\4", b"H\0\0\0\4")
_READY: Final = ReadyForQuery(TransactionStatus.IDLE).encode()
_BOUND: Final = BindComplete().encode()
_DONE: Final = CommandComplete("SELECT 1").encode() + _READY

#: pg_type.typtype, as asyncpg's introspection has it; of an array it looks at the element only.
_TYPTYPES: Final[Mapping[TypeKind, bytes]] = {
    TypeKind.BASE: b"b",
    TypeKind.ARRAY: b"b",
    TypeKind.ENUM: b"e",
    TypeKind.COMPOSITE: b"c",
    TypeKind.RANGE: b"r",
    TypeKind.MULTIRANGE: b"m",
    TypeKind.DOMAIN: b"d",
    TypeKind.PSEUDO: b"p",
}


class _Transport(asyncio.Transport):
    """Takes everything, and answers each Sync and Flush with `answer`."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self.answer = b""
        #: What was written, if it is a list.
        self.written: list[bytes] | None = None

    def write(self, data: Any) -> None:
        if self.written is not None:
            self.written.append(bytes(data))
        if data[-5:] in _ENDS:
            self._loop.call_soon(self._protocol.data_received, self.answer)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        for data in list_of_data:
            self.write(memoryview(data))

    def is_closing(self) -> bool:
        return False


def _introspected(info: TypeInfo, catalog: TypeCatalog) -> dict[str, object]:
    """A type as asyncpg's introspection describes it."""
    inner = catalog.info(info.inner_oid)
    spanned = info.inner_oid
    if info.kind is TypeKind.MULTIRANGE and inner is not None:
        spanned = inner.inner_oid
    return {
        "oid": info.oid,
        "ns": info.schema,
        "name": info.name,
        "kind": _TYPTYPES[info.kind],
        "basetype": info.inner_oid if info.kind is TypeKind.DOMAIN else None,
        "elemtype": info.inner_oid if info.kind is TypeKind.ARRAY else None,
        "elemdelim": info.delimiter if info.kind is TypeKind.ARRAY else None,
        "range_subtype": spanned if info.kind in (TypeKind.RANGE, TypeKind.MULTIRANGE) else None,
        "attrtypoids": [oid for _, oid in info.attributes] or None,
        "attrnames": [name for name, _ in info.attributes] or None,
    }


class AsyncpgStatement:
    """A prepared statement: parameters of some types in, columns of some types out."""

    def __init__(self, alone: "AsyncpgAlone", state: Any) -> None:
        self._alone = alone
        self._state = state

    async def column_format(self) -> Format:
        """The format in which asyncpg asks for the columns, which are all of one type."""
        self._alone.record(True)
        await self.fetch(b"")
        bind = self._alone.last_written
        # Behind portal, statement name and no parameters: Int16 count, then that many Int16 codes.
        position = 5 + len(b"\0s\0") + len(b"\0\1\0\1\0\0")
        return Format(int.from_bytes(bind[position + 2 : position + 4], "big"))

    async def fetch(self, rows: bytes) -> list[Any]:
        """Records of these DataRow messages."""
        self._alone.transport.answer = _BOUND + rows + _DONE
        found: list[Any] = await self._alone.protocol.bind_execute(
            self._state, (), "", 0, False, asyncpg_protocol.NO_TIMEOUT
        )
        return found

    async def executemany(self, elements: Sequence[Sequence[object]]) -> None:
        """Encode a Bind for each list of arguments; nobody gets it."""
        self._alone.transport.answer = _DONE
        await self._alone.protocol.bind_execute_many(
            self._state, elements, "", asyncpg_protocol.NO_TIMEOUT, return_rows=False
        )

    async def encoded(self, elements: Sequence[Sequence[object]]) -> bytes:
        """All that `executemany` writes."""
        self._alone.record(True)
        await self.executemany(elements)
        return self._alone.last_written


class AsyncpgAlone:
    """A session of asyncpg with nobody. To be made in a running asyncio loop; then `start`.

    Args:
        catalog: what asyncpg would learn of types by asking the server.
    """

    def __init__(self, catalog: TypeCatalog) -> None:
        self._catalog = catalog
        loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[object] = loop.create_future()
        parameters = SimpleNamespace(user="u", password=None, database="d", server_settings=None)
        self.protocol: Any = asyncpg_protocol.Protocol(
            ("localhost", 0), self._connected, parameters, asyncpg.Record, loop
        )
        self.transport = _Transport(self.protocol)

    async def start(self) -> None:
        self.protocol.connection_made(self.transport)
        self.protocol.data_received(AuthenticationOk().encode() + _READY)
        await self._connected

    def record(self, on: bool) -> None:
        """Whether to keep what is written; begins anew."""
        self.transport.written = [] if on else None

    @property
    def last_written(self) -> bytes:
        """What was written since `record`; nothing is kept from now on."""
        data = b"".join(self.transport.written or ())
        self.record(False)
        return data

    def declare(self, oid: int, encode: Any, decode: Any) -> None:
        """What `set_type_codec` does for a type that is text on the wire."""
        info = self._catalog.info(oid)
        assert info is not None
        self.protocol.get_settings().add_python_codec(oid, info.name, info.schema, [], "scalar", encode, decode, "text")

    def declare_alias(self, oid: int, codec_name: str) -> None:
        """What `set_builtin_type_codec` does."""
        info = self._catalog.info(oid)
        assert info is not None
        self.protocol.get_settings().set_builtin_type_codec(oid, info.name, info.schema, "scalar", codec_name, None)

    async def prepare(self, parameters: Sequence[int], columns: Sequence[int]) -> AsyncpgStatement:
        """Args: the types' oids.

        Raises:
            asyncpg.UnsupportedClientFeatureError, asyncpg.InternalClientError: asyncpg has no codec for a type.
        """
        fields = tuple(
            [FieldDescription(f"c{number}", 0, 0, oid, -1, -1, Format.TEXT) for number, oid in enumerate(columns)]
        )
        described = RowDescription(fields).encode() if columns else NoData().encode()
        self.transport.answer = ParseComplete().encode() + ParameterDescription(tuple(parameters)).encode() + described
        state = await self.protocol.prepare("s", "SELECT", asyncpg_protocol.NO_TIMEOUT, record_class=asyncpg.Record)
        self._register({*parameters, *columns})
        state._init_codecs()
        return AsyncpgStatement(self, state)

    def _register(self, oids: Iterable[int]) -> None:
        """Parts first, as the introspection answers."""
        for oid in oids:
            info = self._catalog.info(oid)
            if info is None:
                continue
            self._register([part for part in (info.inner_oid, *[part for _, part in info.attributes]) if part])
            self.protocol.get_settings().register_data_types([_introspected(info, self._catalog)])
