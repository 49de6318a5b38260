"""Which version is asked for after a refusal."""

import pytest

from pgsansio.errors import ConnectionDoesNotExistError, InterfaceError, PostgresError, error_from_fields
from pgsansio.messages.startup import PROTOCOL_3_0, PROTOCOL_3_2
from pgsansio.policy.encryption_mode import Stage
from pgsansio.policy.protocol_version import version_to_try_next

END = ConnectionDoesNotExistError("closed")


def refusal(sqlstate: str | None) -> PostgresError:
    fields = {"S": "FATAL", "M": "no"} | ({} if sqlstate is None else {"C": sqlstate})
    error = error_from_fields(fields)
    assert isinstance(error, PostgresError)
    return error


@pytest.mark.parametrize("error", [END, refusal("08P01"), refusal("0A000")])
def test_refusals(error: BaseException) -> None:
    def tried(asked: int, minimum: int, stage: Stage, heard: bool) -> int | None:
        return version_to_try_next(asked, minimum, stage, heard=heard, error=error)

    assert tried(PROTOCOL_3_2, PROTOCOL_3_0, Stage.AUTHENTICATION, False) == PROTOCOL_3_0
    assert tried(PROTOCOL_3_2, PROTOCOL_3_0, Stage.AUTHENTICATION, True) is None
    assert tried(PROTOCOL_3_2, PROTOCOL_3_2, Stage.AUTHENTICATION, False) is None
    assert tried(PROTOCOL_3_0, PROTOCOL_3_0, Stage.AUTHENTICATION, False) is None
    for stage in (Stage.OPENING, Stage.HANDSHAKE, Stage.SESSION):
        assert tried(PROTOCOL_3_2, PROTOCOL_3_0, stage, False) is None


@pytest.mark.parametrize(
    "error", [refusal("28P01"), refusal("57P03"), refusal(None), OSError(), TimeoutError(), InterfaceError("x")]
)
def test_other_errors(error: BaseException) -> None:
    assert version_to_try_next(PROTOCOL_3_2, PROTOCOL_3_0, Stage.AUTHENTICATION, heard=False, error=error) is None
