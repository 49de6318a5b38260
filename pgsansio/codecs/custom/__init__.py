"""Codecs that a user declares: for `connect(codecs=...)`, pools, single queries, and behind `set_type_codec`.

Each class is a `CodecDeclaration`: immutable, made without a database, and refused at once if it can never work. What
only the type can tell is refused when the declaration meets it, in `build`.
"""

from pgsansio.codecs.custom.alias_codec import AliasCodec
from pgsansio.codecs.custom.composite_codec import CompositeCodec
from pgsansio.codecs.custom.enum_codec import EnumCodec
from pgsansio.codecs.custom.json_codec import JsonCodec, json_codecs
from pgsansio.codecs.custom.type_codec import TypeCodec

__all__ = ["AliasCodec", "CompositeCodec", "EnumCodec", "JsonCodec", "TypeCodec", "json_codecs"]
