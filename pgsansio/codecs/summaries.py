"""pg_mcv_list, pg_brin_bloom_summary and pg_brin_minmax_multi_summary: what the server keeps for itself, as bytes.

They are what byteasend makes of the server's own memory (pg_mcv_list_send, brin_bloom_summary_send,
brin_minmax_multi_summary_send), and no server takes one back. As text, the first is a bytea's; the other two are
spelled out for human eyes, which stays str.
"""

from typing import Final

from pgsansio.codecs.bytea import decode_bytea, decode_bytea_text, encode_bytea, encode_bytea_text
from pgsansio.codecs.codec import CodecPair, codec_pair
from pgsansio.codecs.text import decode_text, encode_text
from pgsansio.kernel.contract import Opcode

__all__ = ["CODECS", "SOURCE"]

SOURCE: Final = "pg_statistic_ext_data; BRIN Indexes"

CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair("pg_mcv_list", Opcode.BYTEA, decode_bytea, encode_bytea, decode_bytea_text, encode_bytea_text),
    *[
        codec_pair(name, Opcode.BYTEA, decode_bytea, encode_bytea, decode_text, encode_text, Opcode.TEXT)
        for name in ("pg_brin_bloom_summary", "pg_brin_minmax_multi_summary")
    ],
)
