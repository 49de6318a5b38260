"""Types whose values are text, because their binary form says less or there is none: money, the reg* types, and others.

`REASONS` says of each why. All of them are str both ways, as in asyncpg, and have no codec for the binary format; where
a value comes in binary all the same, inside a record for example, it stays bytes, like a value of an unknown type.
"""

from collections.abc import Mapping
from typing import Final

from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.text import text_codec
from pgsansio.kernel.contract import ValueCodec

__all__ = ["CODECS", "REASONS", "SOURCE"]

SOURCE: Final = "Monetary Types; Object Identifier Types; Privileges; Pseudo-Types"

_OID: Final = "the binary form is an oid, whose name only the catalogue of its database knows"
_MEMORY: Final = "the binary form is the server's own memory; a value cannot be sent"

#: typname -> why values travel as text.
REASONS: Final[Mapping[str, str]] = {
    "money": "the binary form is a number of which the server's lc_monetary says where its point is",
    "regclass": _OID,
    "regcollation": _OID,
    "regconfig": _OID,
    "regdictionary": _OID,
    "regnamespace": _OID,
    "regoper": _OID,
    "regoperator": _OID,
    "regproc": _OID,
    "regprocedure": _OID,
    "regrole": _OID,
    "regtype": _OID,
    "aclitem": "there is no binary form",
    "gtsvector": "there is no binary form; a value cannot be sent",
    "pg_dependencies": _MEMORY,
    "pg_ndistinct": _MEMORY,
    "anyarray": "its elements' type comes only with a value (columns of it are in pg_stats); a value cannot be sent",
}

CODECS: Final[tuple[tuple[ValueCodec], ...]] = tuple(
    (text_codec(BY_NAME[name].oid, BY_NAME[name].sql_name),) for name in REASONS
)
