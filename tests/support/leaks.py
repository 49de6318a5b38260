"""What an error shows of secrets when its traceback is printed with the variables of its frames.

Of frames of this library, and of the loops under it: what a caller has in his own is his.
"""

import asyncio
import pprint
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import trio

import pgsansio
import pgsansio_asyncio
import pgsansio_trio

__all__ = ["SECRET", "errors_of", "shown_by"]

#: Long enough for a key's password and for a token, and found nowhere else.
SECRET = "h7Q-sw0rdf1sh"

_FOLDERS = tuple(
    f"{Path(str(package.__file__)).parent}/" for package in (pgsansio, pgsansio_asyncio, pgsansio_trio, asyncio, trio)
)


def errors_of(error: BaseException) -> list[BaseException]:
    """The error, and every other one that can be reached from it."""
    found: dict[int, BaseException] = {}
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in found:
            continue
        found[id(one)] = one
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
        waiting += getattr(one, "attempts", ())
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return list(found.values())


def shown_by(error: BaseException, *public: str) -> str:
    """All that reports show.

    Args:
        public: functions of this library that may have their arguments in their frames.
    """
    return "\n".join(_shown(one, public) for one in errors_of(error))


def _shown(error: BaseException, public: tuple[str, ...]) -> str:
    parts = [repr(error), str(error), repr(error.args), repr(vars(error)), *getattr(error, "__notes__", ())]
    for name, variables in _frames(error.__traceback__):
        if name not in public:
            # One after the other, since what can be said of one may hide another one.
            parts += [f"{name}: {variable} = {_text(value)}" for variable, value in variables.items()]
    if not public:
        report = traceback.TracebackException.from_exception(error, capture_locals=True, compact=False)
        parts += [repr(frame.locals) for frame in report.stack if frame.filename.startswith(_FOLDERS)]
    return "\n".join(parts)


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, dict[str, object]]]:
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.startswith(_FOLDERS):
            yield code.co_name, trace.tb_frame.f_locals
        trace = trace.tb_next


def _text(value: object) -> str:
    # What pprint shows of a dataclass is more than what its repr does.
    return (
        f"{value!r} {pprint.pformat(value)} {bytes(value)!r}"
        if isinstance(value, memoryview)
        else (f"{value!r} {pprint.pformat(value)}")
    )
