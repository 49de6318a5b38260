"""What the command line asks for."""

import pytest

from pgsansio import __version__, kernel
from pgsansio.cli.arguments import DEFAULT_ROWS, Action, Request, decide, make_parser

PARSER = make_parser("pgsansio_trio")


def request(*arguments: str, environment: dict[str, str] | None = None, input_is_terminal: bool = True) -> Request:
    return decide(PARSER, arguments, environment or {}, input_is_terminal=input_is_terminal)


@pytest.mark.parametrize("input_is_terminal", [True, False])
def test_nothing_means_the_tour(input_is_terminal: bool) -> None:
    expected = Request(Action.TOUR, None, (), False, DEFAULT_ROWS)
    assert request(input_is_terminal=input_is_terminal) == expected
    assert request(environment={"PGHOST": "", "PG_BIN": "/bin", "PGTZ": "UTC"}) == expected
    assert request("--rows", "7", "--trace") == Request(Action.TOUR, None, (), True, 7)


def test_statements() -> None:
    expected = Request(
        Action.STATEMENTS, "postgresql:///x", ("select 1", "select ';'", "select 3"), False, DEFAULT_ROWS
    )
    assert request("postgresql:///x", "-c", "select 1; select ';';", "--command", "select 3") == expected
    assert request("-c", "").statements == ()
    assert request("-c", "select 1").dsn is None
    assert request("-c", "select 1", "--trace").trace


@pytest.mark.parametrize(
    "where", [{"dsn": "postgresql:///x"}, {"environment": {"PGHOST": "db"}}, {"environment": {"PGDATABASE": "x"}}]
)
def test_a_server_without_statements(where: dict[str, object]) -> None:
    arguments = [where["dsn"]] if "dsn" in where else []
    environment = where.get("environment")
    assert request(*arguments, environment=environment).action is Action.GREET  # type: ignore[arg-type]
    piped = request(*arguments, environment=environment, input_is_terminal=False)  # type: ignore[arg-type]
    assert piped.action is Action.READ_STATEMENTS


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--rows", "0"], "expected a number of rows from 1 to 999999999, got '0'"),
        (["--rows=-1"], "got '-1'"),
        (["--rows", "9" * 5000], "expected a number of rows"),
        (["--rows", "5", "-c", "select 1"], "--rows is for the tour"),
        (["--rows", "5", "postgresql:///x"], "--rows is for the tour"),
        (["a", "b"], "unrecognized arguments: b"),
        (["--comm", "select 1"], "unrecognized arguments: --comm"),
        (["-c"], "expected one argument"),
    ],
)
def test_refused(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        request(*arguments)
    assert raised.value.code == 2
    assert text in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for option, text in (
        ("--version", f"pgsansio_trio {__version__}, {kernel.NAME} kernel: "),
        ("--help", "usage: python -m pgsansio_trio "),
    ):
        with pytest.raises(SystemExit) as raised:
            request(option)
        assert raised.value.code == 0
        assert text in capsys.readouterr().out
