"""A statement for the simple protocol: its text, with arguments in the places of its parameters.

How this works. The arguments are encoded as those of any other statement, by a plan whose only codec makes SQL of them
(`codecs.untyped`), so that what is refused is refused in the same words; what would be the values of a Bind message
then stands in the text.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pgsansio.codecs.registry import Registry
from pgsansio.codecs.untyped import UntypedArguments
from pgsansio.errors import InterfaceError
from pgsansio.kernel import encode_bind, encode_many, parameter_plan
from pgsansio.kernel.contract import Arguments, argument_count_error
from pgsansio.messages.frontend import Bind
from pgsansio.policy.keywords import classify, is_closed, parameters_of, percent_placeholder_hint, split_statements
from pgsansio.policy.quoting import quote_literal
from pgsansio.statement import BATCH_BYTES
from pgsansio.wire.framing import HEADER_BYTES

__all__ = ["SimpleStatement"]

#: Of a Bind: portal and statement in front of its values; formats of results behind them.
_NAMES: Final = b"\0\0"
_NO_FORMATS: Final = b"\0\0"
#: About what the values of an element have around them.
_FRAME_BYTES: Final = 20


class SimpleStatement:
    """One statement, to be sent as text.

    Args:
        registry: whose codecs make SQL of arguments.
        reported: what the server says of its settings.
    Raises:
        InterfaceError: the text holds several statements; or it has parameters, and what is quoted in it depends on a
            setting that is not as it should be.

    Attributes:
        kind: what its first words say.
    """

    __slots__ = ("_parameters", "_plan", "kind", "parameter_count", "query")

    def __init__(self, query: str, registry: Registry, reported: Mapping[str, str]) -> None:
        self.query = query
        self.kind = classify(query)
        if self.kind.several and len(split_statements(query)) > 1:
            # A server would carry out all of them, and refuses that only in the extended protocol.
            raise InterfaceError(
                "cannot execute several statements here",
                hint="Use execute() without arguments or execute_script(), or one call for each statement.",
            )
        self._parameters = parameters_of(query)
        if self._parameters and "\\" in query and reported.get("standard_conforming_strings") != "on":
            raise InterfaceError(
                "cannot tell what is quoted in a query with backslashes: standard_conforming_strings is not on",
                hint="Set it to on, or write the query without backslashes.",
            )
        self.parameter_count = max((number for _, _, number in self._parameters), default=0)
        self._plan = parameter_plan((UntypedArguments(registry, quote_literal).codec,) * self.parameter_count)

    def pieces(self, arguments: Arguments) -> list[str]:
        """The text with these arguments, in pieces: of the query, an argument, of the query, and so on.

        Raises:
            InterfaceError: the number of arguments is wrong.
            DataError: one of them cannot be written as SQL.
        """
        if len(arguments) != self.parameter_count:
            error = argument_count_error(self.parameter_count, len(arguments))
            error.hint = percent_placeholder_hint(self.query) or error.hint
            raise error
        return self._filled(encode_bind(self._plan, _NAMES, arguments, _NO_FORMATS, b""))

    def text(self, arguments: Arguments) -> str:
        """The text with these arguments. Raises as `pieces`."""
        return "".join(self.pieces(arguments))

    def position_of(self, position: int, pieces: Sequence[str]) -> int:
        """Where in the query a character stands; of an argument, where its parameter is.

        Args:
            position: of the character in the text that the pieces make, from 1.
        """
        at = 0
        for (start, end, _), sql, value in zip(self._parameters, pieces[::2], pieces[1::2], strict=False):
            if position <= len(sql):
                break
            position -= len(sql)
            if position <= len(value):
                return start + 1
            position -= len(value)
            at = end
        return at + position

    def many(self, elements: Iterator[object], index: int, *, first: bool) -> tuple[bytes, int, bool]:
        """The texts for as many elements as make a batch, as one script: bytes, number of elements, whether that were
        all.

        Raises:
            DataError: an element is no sequence, or an argument cannot be written as SQL.
            InterfaceError: an element has the wrong number of arguments; or a quote or a comment in the query has no
                end, and would go on to the next element's.
        """
        if first and not is_closed(self.query):
            raise InterfaceError("a quote or a comment in the query has no end")
        # The statement itself goes along with each.
        max_bytes = BATCH_BYTES * _FRAME_BYTES // (_FRAME_BYTES + len(self.query)) + 1
        data, count, exhausted = encode_many(self._plan, _NAMES, elements, _NO_FORMATS, b"", max_bytes, index)
        texts: list[str] = []
        position = 0
        while position < len(data):
            end = position + 1 + int.from_bytes(data[position + 1 : position + HEADER_BYTES], "big")
            # On a line of its own: the statement may end in a comment.
            texts += (*self._filled(data[position:end]), "\n;\n")
            position = end
        return "".join(texts).encode(), count, exhausted

    def _filled(self, message: bytes) -> list[str]:
        """`pieces` with the values of a Bind."""
        if not self._parameters:
            return [self.query]
        values = Bind.decode(message[HEADER_BYTES:]).parameters
        pieces: list[str] = []
        position = 0
        for start, end, number in self._parameters:
            value = values[number - 1]
            pieces += (self.query[position:start], "(NULL)" if value is None else value.decode())
            position = end
        pieces.append(self.query[position:])
        return pieces
