"""json_codecs: json and jsonb as Python values, with the functions of one's choice."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.codec import type_name
from pgsansio.codecs.custom.checks import invalid
from pgsansio.codecs.type_info import TypeInfo
from pgsansio.enums import Format
from pgsansio.errors import InterfaceError
from pgsansio.kernel.contract import Opcode, ValueCodec

__all__ = ["JsonCodec", "json_codecs"]

Dumps = Callable[[Any], Any]
Loads = Callable[[Any], Any]

#: What `json=` may be in a word, and the module that is meant.
_MODULES: Final[Mapping[str, str]] = {"json": "json", "orjson": "orjson", "msgspec": "msgspec.json"}

#: Names of the two functions, in modules and objects.
_NAMES: Final = (("dumps", "loads"), ("encode", "decode"))

#: Packages whose functions read bytes faster than str.
_READ_BYTES: Final = frozenset({"orjson", "msgspec"})

_ALLOWED: Final = (
    "'json', 'orjson', 'msgspec', a module or an object with the functions dumps and loads or encode and decode, "
    "or the pair (dumps, loads)"
)


@dataclass(frozen=True, slots=True, eq=False)
class JsonCodec:
    """json or jsonb as what `loads` makes of it; see `json_codecs`."""

    typename: Literal["json", "jsonb"]
    #: A value -> JSON, as str or bytes.
    dumps: Dumps = field(kw_only=True)
    #: JSON -> a value. It is given a str, or bytes in UTF-8 if it is of orjson or msgspec.
    loads: Loads = field(kw_only=True)

    def __post_init__(self) -> None:
        if self.typename not in ("json", "jsonb"):
            raise ValueError(f"typename must be 'json' or 'jsonb', got {cast('object', self.typename)!r}")
        for name, function in (("dumps", self.dumps), ("loads", self.loads)):
            if not callable(cast("object", function)):
                raise TypeError(f"{name} must be callable, got {type_name(function)}")

    @property
    def schema(self) -> str:
        """Always pg_catalog."""
        return "pg_catalog"

    @property
    def extension(self) -> str:
        """Whichever the type belongs to."""
        return ""

    def build(self, info: TypeInfo, default: ValueCodec) -> ValueCodec:
        """The codec, in the format of `default`.

        Raises:
            InterfaceError: another type.
        """
        if info.oid != BY_NAME[self.typename].oid:
            raise InterfaceError(f"cannot use a codec of {self.typename} for type {info.schema}.{info.name}")
        version = b"\x01" if self.typename == "jsonb" and default.format is Format.BINARY else b""
        decode, encode = _decoder(self.loads, version), _encoder(self.dumps, version)
        return ValueCodec(info.oid, info.sql_name, Opcode.CALL, default.format, decode, encode, atomic=False, user=True)


def json_codecs(json: object) -> tuple[JsonCodec, JsonCodec]:
    """The codecs of json and jsonb that the connection parameter `json` asks for.

    Args:
        json: 'json', 'orjson' or 'msgspec'; a module or another object with `dumps` and `loads` (ujson, rapidjson) or
            `encode` and `decode` (msgspec.json); or a pair of functions, the one that writes first: (dumps, loads).
    Raises:
        TypeError, ValueError: none of these.
        ImportError: that module is not installed.
    """
    dumps, loads = _functions(json)
    return JsonCodec("json", dumps=dumps, loads=loads), JsonCodec("jsonb", dumps=dumps, loads=loads)


def _functions(json: object) -> tuple[Dumps, Loads]:
    if isinstance(json, str):
        if json not in _MODULES:
            raise ValueError(f"invalid json argument, expected {_ALLOWED}, got {json!r}")
        return _functions(importlib.import_module(_MODULES[json]))
    if isinstance(json, tuple | list):
        pair = tuple(cast("tuple[object, ...]", json))
        if len(pair) == 2:
            return cast("tuple[Dumps, Loads]", pair)
    else:
        for dumps, loads in _NAMES:
            if callable(getattr(json, dumps, None)) and callable(getattr(json, loads, None)):
                return getattr(json, dumps), getattr(json, loads)
    raise TypeError(f"invalid json argument, expected {_ALLOWED}, got {json!r}")


def _reads_bytes(loads: Loads) -> bool:
    """Functions that are not Python's often have no module, but belong to a module, or to an instance of a class."""
    owner = getattr(loads, "__self__", None)
    modules = (getattr(loads, "__module__", None), getattr(owner, "__name__", None), type(owner).__module__)
    return any(str(module).partition(".")[0] in _READ_BYTES for module in modules)


def _decoder(loads: Loads, version: bytes) -> Callable[[bytes], Any]:
    reads_bytes = _reads_bytes(loads)
    start = len(version)

    def decode(data: bytes) -> Any:
        try:
            if not data.startswith(version):
                raise ValueError(f"invalid jsonb value: version {data[:1]!r} instead of 1")
            text = data[start:] if reads_bytes else data[start:].decode()
        except ValueError as error:
            raise invalid(error) from error
        return loads(text)

    return decode


def _encoder(dumps: Dumps, version: bytes) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        result: object = dumps(value)
        if isinstance(result, str):
            return version + result.encode()
        if isinstance(result, bytes | bytearray | memoryview):
            return version + result
        raise TypeError(f"expected str or bytes, got {type_name(result)} (returned by dumps)")

    return encode
