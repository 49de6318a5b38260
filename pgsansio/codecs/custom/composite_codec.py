"""CompositeCodec: the rows of a composite type as instances of a class."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from pgsansio.codecs.codec import type_name
from pgsansio.codecs.custom.checks import catalog_name, library_decoder, qualified
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.errors import InterfaceError
from pgsansio.kernel.contract import Opcode, ValueCodec

__all__ = ["CompositeCodec"]

_BY_KEYWORD: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _signature(cls: type[Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        # An annotation need not exist at run time; only looking at its value would tell.
        return inspect.signature(cls, annotation_format=Format.STRING)
    return inspect.signature(cls)


@dataclass(frozen=True, slots=True, eq=False)
class CompositeCodec:
    """Values of a composite type as instances of a dataclass, an attrs class, a NamedTuple, or any other class.

    Instances are made by keyword. Fields with a default value need not be attributes of the type; they are then not
    sent. In place of an instance, whatever else a composite type takes is accepted: a tuple, a list, a `Record`, or a
    mapping of the type's own names.

    Raises:
        TypeError: no str for a name, no class, or a class whose fields are unknown and not given.
        ValueError: `fields` names what the class does not have, or not all that it needs.
    """

    #: typname of the composite type, or the name of a table.
    typename: str
    cls: type[Any]
    #: None: whichever schema.
    schema: str | None = field(default="public", kw_only=True)
    #: Attribute of the type -> field of the class; where a class tells its fields, those that are called otherwise.
    fields: Mapping[str, str] | None = field(default=None, kw_only=True)
    #: Attribute of the type -> (keyword, attribute) of the class.
    _fields: Mapping[str, tuple[str, str]] = field(init=False, repr=False)
    #: Keywords without a default value.
    _required: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "typename", catalog_name(self.typename, self.schema))
        if not isinstance(cast("object", self.cls), type):
            raise TypeError(f"cls must be a class, got {type_name(self.cls)}")
        if self.fields is not None and not isinstance(cast("object", self.fields), Mapping):
            raise TypeError(f"fields must be a mapping, got {type_name(self.fields)}")
        renamed = dict(self.fields or {})
        if len(set(renamed.values())) < len(renamed):
            raise ValueError("fields names a field twice")
        known = _fields_of(self.cls)
        if known is None:
            if not renamed:
                raise TypeError(
                    f"fields is required, since {self.cls.__name__} is no dataclass, attrs class or NamedTuple"
                )
            chosen = {name: (keyword, keyword) for name, keyword in renamed.items()}
        else:
            names = {keyword: name for name, keyword in renamed.items()}
            if unknown := sorted(names.keys() - known.keys()):
                raise ValueError(f"{self.cls.__name__} has no field {unknown[0]!r}")
            chosen = {names.get(keyword, keyword): (keyword, attribute) for keyword, attribute in known.items()}
            if len(chosen) < len(known):
                raise ValueError("fields names an attribute that another field is called")
        required = self._check_signature({keyword for keyword, _ in chosen.values()})
        object.__setattr__(self, "fields", None if self.fields is None else renamed)
        object.__setattr__(self, "_fields", chosen)
        object.__setattr__(self, "_required", required)

    def _check_signature(self, keywords: set[str]) -> frozenset[str]:
        """The keywords without which there is no instance; raises ValueError if these can never make one."""
        try:
            parameters = _signature(self.cls).parameters.values()
        except (TypeError, ValueError):
            # Some classes that are not written in Python do not tell.
            return frozenset()
        kinds = {parameter.kind for parameter in parameters}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            accepted = {parameter.name for parameter in parameters if parameter.kind in _BY_KEYWORD}
            if unknown := sorted(keywords - accepted):
                raise ValueError(f"{self.cls.__name__} does not take {unknown[0]!r} by keyword")
        required = {
            parameter.name
            for parameter in parameters
            if parameter.default is parameter.empty
            and parameter.kind in (*_BY_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
        }
        if missing := sorted(required - keywords):
            raise ValueError(f"{self.cls.__name__} requires {missing[0]!r}, which is not one of the fields")
        return frozenset(required)

    @property
    def extension(self) -> str:
        """Whichever the type belongs to."""
        return ""

    def build(self, info: TypeInfo, default: ValueCodec) -> ValueCodec:
        """The codec around `default`, in its format.

        Raises:
            InterfaceError: not a composite type or a domain over one; or it has an attribute for which the class has no
                field, or lacks one that the class requires.
        """
        where = f"cannot use {self.cls.__name__} for type {qualified(self.typename, self.schema, info)}"
        if info.kind is not TypeKind.COMPOSITE and not (info.kind is TypeKind.DOMAIN and default.names):
            raise InterfaceError(f"{where}: it is not a composite type")
        names = default.names or tuple([name for name, _ in info.attributes])
        if surplus := [name for name in names if name not in self._fields]:
            raise InterfaceError(f"{where}: there is no field for the attribute {surplus[0]!r}")
        chosen = [self._fields[name] for name in names]
        if missing := sorted(self._required - {keyword for keyword, _ in chosen}):
            raise InterfaceError(f"{where}: the type has no attribute for the field {missing[0]!r}")
        decode = _decoder(self.cls, tuple([keyword for keyword, _ in chosen]), default)
        encode = _encoder(self.cls, tuple([attribute for _, attribute in chosen]), default)
        return ValueCodec(info.oid, info.sql_name, Opcode.CALL, default.format, decode, encode, atomic=False, user=True)


def _fields_of(cls: type[Any]) -> dict[str, str] | None:
    """Keyword -> attribute of each field that an instance is made of, as the class tells; None if it does not."""
    if "__attrs_attrs__" in vars(cls):
        # Of an attribute with an underscore in front, attrs calls the keyword without it, unless an alias is given.
        return {
            getattr(attribute, "alias", None) or attribute.name.lstrip("_"): attribute.name
            for attribute in cls.__attrs_attrs__
            if attribute.init
        }
    if dataclasses.is_dataclass(cls):
        return {member.name: member.name for member in dataclasses.fields(cls) if member.init}
    names: tuple[str, ...] | None = getattr(cls, "_fields", None)
    if names is not None and issubclass(cls, tuple):
        return {name: name for name in names}
    return None


def _decoder(cls: type[Any], keywords: tuple[str, ...], default: ValueCodec) -> Callable[[bytes], Any]:
    decode_attributes = library_decoder(default)
    return lambda data: cls(**dict(zip(keywords, decode_attributes(data), strict=True)))


def _encoder(cls: type[Any], attributes: tuple[str, ...], default: ValueCodec) -> Callable[[Any], bytes]:
    encode_attributes = default.encode

    def encode(value: Any) -> bytes:
        if isinstance(value, cls):
            return encode_attributes(tuple([getattr(value, attribute) for attribute in attributes]))
        return encode_attributes(value)

    return encode
