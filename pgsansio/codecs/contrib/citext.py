"""citext, as str: case-insensitive text; both formats are the text itself (the server's citextsend and citextrecv)."""

from typing import Final

from pgsansio.codecs.contrib.extension_type import ExtensionType
from pgsansio.codecs.text import decode_text, encode_text
from pgsansio.kernel.contract import Opcode

__all__ = ["CITEXT", "SOURCE", "TYPES"]

SOURCE: Final = "citext — a case-insensitive character string type"

CITEXT: Final = ExtensionType(
    "citext", "citext", decode_text, encode_text, decode_text, encode_text, Opcode.TEXT, Opcode.TEXT
)
TYPES: Final[tuple[ExtensionType, ...]] = (CITEXT,)
