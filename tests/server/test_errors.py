"""Errors: classes by SQLSTATE, what they tell, and those that the client raises itself."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from pgsansio import errors
from tests.support.clients import Client

pytestmark = [pytest.mark.anyio, pytest.mark.server]


async def raised(connection: Any, sqlstate: str) -> BaseException:
    """What comes of an error with this code."""
    try:
        await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'oops' USING ERRCODE = '{sqlstate}'; END $$")
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.checklist("E-1")
@pytest.mark.parametrize(
    ("sqlstate", "names"),
    [
        ("23505", ["UniqueViolationError", "IntegrityConstraintViolationError"]),
        ("23000", ["IntegrityConstraintViolationError"]),
        ("22012", ["DivisionByZeroError", "DataError"]),
        ("40001", ["SerializationError", "TransactionRollbackError"]),
        ("42601", ["PostgresSyntaxError", "SyntaxOrAccessError"]),
        ("25P02", ["InFailedSQLTransactionError", "InvalidTransactionStateError"]),
        ("57014", ["QueryCanceledError", "OperatorInterventionError"]),
        ("P0001", ["RaiseError", "PLPGSQLError"]),
        ("08006", ["ConnectionFailureError", "PostgresConnectionError"]),
        ("XX000", ["InternalServerError"]),
    ],
)
async def test_classes(connection: Any, client: Client, sqlstate: str, names: list[str]) -> None:
    error = await raised(connection, sqlstate)
    assert type(error) is getattr(client, names[0])
    assert isinstance(error, client.PostgresError)
    for name in names:
        assert isinstance(error, getattr(client, name))
    assert error.sqlstate == sqlstate
    assert not isinstance(error, client.InterfaceError)


@pytest.mark.checklist("E-1")
async def test_one_of_wrong_use(connection: Any, client: Client) -> None:
    with pytest.raises(client.InterfaceError) as caught:
        await connection.fetch("SELECT $1::int")
    error = caught.value
    assert not isinstance(error, client.PostgresError)
    assert error.args == ("the server expects 1 argument for this query, 0 were passed",)
    assert error.detail is None
    assert error.hint is not None
    assert str(error) == f"{error.args[0]}\nHINT:  {error.hint}"


@pytest.mark.checklist("E-1", "E-2")
async def test_classes_of_the_client(client: Client) -> None:
    for name, bases in {
        "ClientConfigurationError": ["InterfaceError"],
        "UnsupportedClientFeatureError": ["InterfaceError"],
        "UnsupportedServerFeatureError": ["InterfaceError"],
        "ProtocolError": ["InternalClientError"],
        "OutdatedSchemaCacheError": ["InternalClientError"],
        "TargetServerAttributeNotMatched": ["InternalClientError"],
    }.items():
        for base in bases:
            assert issubclass(getattr(client, name), getattr(client, base))
    assert issubclass(client.ClientConfigurationError, ValueError)
    assert issubclass(client.InterfaceWarning, UserWarning)
    assert issubclass(client.InterfaceError, Exception)
    assert not issubclass(client.InternalClientError, client.PostgresError)
    outdated = client.OutdatedSchemaCacheError("m", schema="s", data_type="t", position=3)
    assert (outdated.schema_name, outdated.data_type_name, outdated.position) == ("s", "t", 3)
    with pytest.raises(client.ClientConfigurationError, match="scheme is expected to be"):
        await client.module.connect("mysql://localhost")
    with pytest.raises(client.TargetServerAttributeNotMatched, match="None of the hosts match"):
        await client.module.connect(**client.settings(target_session_attrs="standby"))


@pytest.mark.checklist("E-3")
async def test_a_refused_argument_is_a_data_error(connection: Any, client: Client) -> None:
    with pytest.raises(client.PostgresError) as caught:
        await connection.fetchval("SELECT $1::int", "x")
    assert type(caught.value).__name__ in ("DataError", "InvalidValueError")
    assert isinstance(caught.value, client.DataError)
    assert not isinstance(caught.value, client.InterfaceError)
    assert caught.value.sqlstate == client.DataError.sqlstate == "22000"
    assert type(await raised(connection, "22000")) is client.DataError


ALL_FIELDS = [
    "severity", "severity_en", "sqlstate", "message", "detail", "hint", "position", "internal_position",
    "internal_query", "context", "schema_name", "table_name", "column_name", "data_type_name", "constraint_name",
    "server_source_filename", "server_source_line", "server_source_function",
]  # fmt: skip

SCHEMA = """
    CREATE TEMP TABLE t (a int CONSTRAINT one UNIQUE, b int NOT NULL);
    INSERT INTO t VALUES (1, 1);
    CREATE DOMAIN pg_temp.small AS int CONSTRAINT tiny CHECK (VALUE < 10);
    CREATE FUNCTION pg_temp.wrong() RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE ''SELEC 1''; END'
"""


@pytest.mark.checklist("E-4", "E-5")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "INSERT INTO t VALUES (1, 2)",
            {"sqlstate": "23505", "table_name": "t", "constraint_name": "one", "severity": "ERROR",
             "severity_en": "ERROR", "detail": "Key (a)=(1) already exists.", "server_source_filename": "nbtinsert.c",
             "message": 'duplicate key value violates unique constraint "one"'},
        ),
        ("INSERT INTO t VALUES (2, NULL)", {"sqlstate": "23502", "column_name": "b", "table_name": "t"}),
        ("SELECT 11::pg_temp.small", {"data_type_name": "small", "constraint_name": "tiny"}),
        ("SELECT  nothing FROM t", {"position": "9", "server_source_function": "errorMissingColumn"}),
        (
            "SELECT pg_temp.wrong()",
            {"internal_query": "SELEC 1", "internal_position": "1",
             "context": "PL/pgSQL function pg_temp_{n}.wrong() line 1 at EXECUTE"},
        ),
        ("SELECT nextval_of_nothing()", {"hint": "No function matches the given name and argument types. "
                                         "You might need to add explicit type casts."}),
    ],
)  # fmt: skip
async def test_fields(connection: Any, client: Client, query: str, expected: dict[str, str]) -> None:
    await connection.execute(SCHEMA)
    with pytest.raises(client.PostgresError) as caught:
        await connection.fetch(query)
    error = caught.value
    for name, text in expected.items():
        got = getattr(error, name)
        # PostgreSQL 18 says it in two sentences.
        if name != "hint" or client.server.version < 18:
            assert re.sub(r"pg_temp_\d+", "pg_temp_{n}", got) == text
    fields = {name: getattr(error, name) for name in ALL_FIELDS}
    assert error.as_dict() == {name: value for name, value in fields.items() if value is not None}
    assert all(isinstance(value, str) for value in error.as_dict().values())
    assert error.server_source_line.isdigit()
    assert error.query == query
    assert error.args == (error.message,)
    detail = f"\nDETAIL:  {error.detail}" if error.detail else ""
    hint = f"\nHINT:  {error.hint}" if error.hint else ""
    assert str(error) == f"{error.message}{detail}{hint}"


@pytest.mark.checklist("E-4")
async def test_fields_that_are_not_there(client: Client) -> None:
    assert {getattr(client.PostgresError, name) for name in ALL_FIELDS if name != "sqlstate"} == {None}


@pytest.mark.checklist("E-6")
async def test_an_unknown_code(connection: Any, client: Client) -> None:
    error = await raised(connection, "Q0Q0Q")
    assert type(error) is client.UnknownPostgresError
    assert isinstance(error, client.FatalPostgresError)
    assert error.sqlstate == "Q0Q0Q"


@pytest.mark.checklist("E-6")
@pytest.mark.differs(
    asyncpg="raises `UnknownPostgresError`, which counts as fatal, for an unknown SQLSTATE of a known class.",
    ours="It is an error of that class: 23Q0Q is an `IntegrityConstraintViolationError`.",
)
async def test_an_unknown_code_of_a_known_class(connection: Any, client: Client) -> None:
    error = await raised(connection, "23Q0Q")
    assert type(error) is client.IntegrityConstraintViolationError
    assert error.sqlstate == "23Q0Q"


@pytest.mark.checklist("E-7")
async def test_a_plan_that_is_invalid(connection: Any, client: Client) -> None:
    await connection.execute("CREATE TEMP TABLE t (a int)")
    statement = await connection.prepare("SELECT * FROM t")
    await connection.execute("ALTER TABLE t ADD b int")
    with pytest.raises(client.InvalidCachedStatementError) as caught:
        await statement.fetch()
    assert isinstance(caught.value, client.FeatureNotSupportedError)
    assert caught.value.server_source_function == "RevalidateCachedQuery"
    # The text is not what tells it.
    with pytest.raises(client.FeatureNotSupportedError) as caught:
        await connection.execute(
            "DO $$ BEGIN RAISE 'cached plan must not change result type' USING ERRCODE = '0A000'; END $$"
        )
    assert type(caught.value) is client.FeatureNotSupportedError


@pytest.mark.checklist("E-8")
async def test_classes_of_notices(client: Client) -> None:
    assert issubclass(client.PostgresWarning, client.PostgresLogMessage)
    assert issubclass(client.DeprecatedFeature, client.PostgresWarning)
    assert client.PostgresWarning.sqlstate == "01000"
    assert issubclass(client.PostgresWarning, Warning)
    assert not issubclass(client.PostgresLogMessage, client.PostgresError)


@pytest.fixture
def registered(client: Client) -> Iterator[None]:
    """Classes with these codes are forgotten again."""
    yield
    if client.is_ours:
        registry = errors.PostgresMessage.by_sqlstate
    else:
        registry = client.module.exceptions._base.PostgresMessageMeta._message_map
    del registry["QQ001"]


@pytest.mark.checklist("E-9")
@pytest.mark.usefixtures("registered")
async def test_a_class_of_the_users(connection: Any, client: Client) -> None:
    class OutOfTeaError(client.PostgresError):  # type: ignore[misc,name-defined]
        sqlstate = "QQ001"

    with pytest.raises(OutOfTeaError, match="oops"):
        await connection.execute("DO $$ BEGIN RAISE EXCEPTION 'oops' USING ERRCODE = 'QQ001'; END $$")
    with pytest.raises(TypeError, match="duplicate SQLSTATE code"):
        type("Again", (client.PostgresError,), {"sqlstate": "QQ001"})


@pytest.mark.checklist("E-10")
async def test_no_connection(client: Client) -> None:
    with pytest.raises(FileNotFoundError):
        await client.module.connect(**client.settings(host="/nowhere"))
    # Nobody listens at this port of the machine itself.
    with pytest.raises(ConnectionRefusedError):
        await client.module.connect(**client.settings(host="127.0.0.1", port=1, ssl=False))
    with pytest.raises(TimeoutError):
        await client.module.connect(**client.settings(timeout=0.000001))


@pytest.mark.checklist("E-10")
async def test_a_lost_connection(client: Client, observer: Any) -> None:
    assert issubclass(client.ConnectionDoesNotExistError, client.PostgresError)
    assert client.ConnectionDoesNotExistError.sqlstate == "08003"
    async with client.connect() as connection:
        with pytest.raises(client.ConnectionDoesNotExistError):
            await connection.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
