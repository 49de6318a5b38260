"""Types of PostgreSQL's contrib extensions and of pgvector, as declarations for `connect(codecs=...)` and pools.

A declaration names a type and its extension, not a schema: an extension may be installed in any, and a user's type of
the same name is not of the extension.

What needs no declaration:

- citext and the types of ltree are str anyway; `DEFAULTS` lets them travel in binary, too, where a composite or a range
  that holds them does.
- The types of isn, seg and intarray (query_int), and every other type that is not here, are str, in text: they have no
  binary form.
- pgvector's bit vectors are PostgreSQL's own type bit.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pgsansio.codecs.contrib import citext, cube, hstore, ltree, vector
from pgsansio.codecs.contrib.extension_type import ExtensionType
from pgsansio.codecs.contrib.vector import vector_codecs

__all__ = [
    "BY_CODEC_NAME",
    "CUBE",
    "DEFAULTS",
    "HALFVEC",
    "HSTORE",
    "PGVECTOR",
    "SPARSEVEC",
    "VECTOR",
    "ExtensionType",
    "vector_codecs",
]

HSTORE: Final = hstore.HSTORE
CUBE: Final = cube.CUBE
VECTOR: Final = vector.VECTOR
HALFVEC: Final = vector.HALFVEC
SPARSEVEC: Final = vector.SPARSEVEC
#: All types of pgvector, without numpy.
PGVECTOR: Final[tuple[ExtensionType, ...]] = (VECTOR, HALFVEC, SPARSEVEC)

#: Those whose values are what they are without any declaration: a registry applies them always.
DEFAULTS: Final[tuple[ExtensionType, ...]] = (*citext.TYPES, *ltree.TYPES)

#: For `set_builtin_type_codec`, by asyncpg's names; `dataclasses.replace` aims one at another type.
BY_CODEC_NAME: Final[Mapping[str, ExtensionType]] = MappingProxyType({"pg_contrib.hstore": HSTORE})
