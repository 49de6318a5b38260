"""The exception classes: asyncpg's names, codes and bases; what the server's fields become; copies; the caret."""

import copy
import pickle
import unicodedata
from pathlib import Path

import asyncpg.exceptions
import pytest
from asyncpg.exceptions import PostgresError as AsyncpgError
from asyncpg.exceptions import PostgresLogMessage as AsyncpgLogMessage
from hypothesis import given
from hypothesis import strategies as st

from pgsansio import errors
from pgsansio._error_base import FIELD_NAMES
from pgsansio.enums import Outcome
from pgsansio.errors import caret, error_from_fields, notice_from_fields, with_attempts
from tests.support import generate_sqlstates

FIELDS = {
    "S": "ERREUR",
    "V": "ERROR",
    "C": "23505",
    "M": "duplicate key",
    "D": "Key (id)=(1) already exists.",
    "H": "Use another.",
    "P": "8",
    "p": "3",
    "q": "SELECT 1",
    "W": "SQL function",
    "s": "public",
    "t": "item",
    "c": "id",
    "d": "int4",
    "n": "item_pkey",
    "F": "nbtinsert.c",
    "L": "666",
    "R": "_bt_check_unique",
}


def own_codes(module: object) -> set[str]:
    values = [value for value in vars(module).values() if isinstance(value, type)]
    return {value.__dict__["sqlstate"] for value in values if value.__dict__.get("sqlstate")}


class TestTree:
    @pytest.mark.checklist("E-1", "E-2", "E-3", "E-8")
    @pytest.mark.parametrize("name", asyncpg.exceptions.__all__)
    def test_every_class_of_asyncpg_exists_with_its_code_and_bases(self, name: str) -> None:
        theirs, ours = getattr(asyncpg.exceptions, name), getattr(errors, name)
        assert name in errors.__all__
        assert [base.__name__ for base in ours.__mro__] == [base.__name__ for base in theirs.__mro__]
        assert getattr(ours, "sqlstate", None) == getattr(theirs, "sqlstate", None)

    def test_no_code_of_asyncpg_is_missing(self) -> None:
        assert own_codes(asyncpg.exceptions) <= own_codes(errors)

    def test_the_module_is_what_the_generator_writes(self) -> None:
        conditions = list(generate_sqlstates.read_list(generate_sqlstates.LIST.read_text(encoding="utf-8")))
        assert generate_sqlstates.generate(conditions) == generate_sqlstates.MODULE.read_text(encoding="utf-8")

    def test_the_list_is_read_from_errcodes(self) -> None:
        text = (
            "# comment\n\nSection: Class 22 - Data Exception\n\n"
            "22000    E    ERRCODE_DATA_EXCEPTION     data_exception\n"
            "00000    S    ERRCODE_SUCCESSFUL_COMPLETION  successful_completion\n"
            "2202E    E    ERRCODE_ARRAY_ELEMENT_ERROR\n"
            "2202E    E    ERRCODE_ARRAY_SUBSCRIPT_ERROR  array_subscript_error\n"
            "01000    W    ERRCODE_WARNING  warning\n"
        )
        written = generate_sqlstates.write_list(generate_sqlstates.read_errcodes(text))
        assert written.splitlines()[1:] == ["01000 warning", "22000 data_exception", "2202E array_subscript_error"]

    def test_the_generator_is_named_in_the_first_line(self) -> None:
        assert "enerated" in Path(generate_sqlstates.MODULE).read_text(encoding="utf-8").splitlines()[0]

    @pytest.mark.checklist("E-9")
    def test_a_subclass_with_a_new_code_is_used_for_it(self) -> None:
        class OutOfTea(errors.PostgresError):
            sqlstate = "TE001"

        try:
            error = error_from_fields({"C": "TE001", "M": "no tea"})
            assert type(error) is OutOfTea
            with pytest.raises(TypeError, match=r"Again has duplicate SQLSTATE code, .*already defined by OutOfTea"):
                type("Again", (errors.PostgresError,), {"sqlstate": "TE001"})
        finally:
            del errors.PostgresMessage.by_sqlstate["TE001"]

    @pytest.mark.checklist("E-9")
    def test_a_subclass_without_a_code_of_its_own_is_not_registered(self) -> None:
        class Mine(errors.UniqueViolationError):
            pass

        assert type(error_from_fields({"C": "23505", "M": ""})) is errors.UniqueViolationError


class TestFromFields:
    @pytest.mark.checklist("E-4")
    @pytest.mark.parametrize("field", FIELD_NAMES.values())
    def test_fields_are_none_by_default(self, field: str) -> None:
        assert getattr(errors.PostgresError("x"), field) is None

    @pytest.mark.checklist("E-4", "E-5")
    def test_every_field_has_its_attribute(self) -> None:
        error = error_from_fields(FIELDS, "INSERT INTO item VALUES (1)")
        assert type(error) is errors.UniqueViolationError
        assert error.args == ("duplicate key",)
        assert error.query == "INSERT INTO item VALUES (1)"
        assert error.as_dict() == {FIELD_NAMES[code]: text for code, text in FIELDS.items()}
        assert str(error) == "duplicate key\nDETAIL:  Key (id)=(1) already exists.\nHINT:  Use another."

    @given(
        st.dictionaries(st.sampled_from([*FIELD_NAMES, "x", "Z"]), st.text(max_size=5)),
        st.sampled_from([*sorted(own_codes(asyncpg.exceptions)), "99999", "00000"]),
    )
    @pytest.mark.checklist("E-4", "E-5", "E-7", "E-8")
    def test_as_asyncpg_does_it(self, fields: dict[str, str], code: str) -> None:
        fields = {**fields, "C": code}
        if code not in ("42P05", "26000") and not code.startswith(("01", "02")):
            theirs, ours = AsyncpgError.new(dict(fields), "query"), error_from_fields(fields, "query")
            assert (type(ours).__name__, ours.args, str(ours)) == (type(theirs).__name__, theirs.args, str(theirs))
            assert (ours.as_dict(), ours.query) == (theirs.as_dict(), "query")
        if code not in ("42P05", "26000", "0A000"):
            said, notice = AsyncpgLogMessage.new(dict(fields)), notice_from_fields(fields)
            assert (type(notice).__name__, str(notice), notice.as_dict()) == (
                type(said).__name__,
                str(said),
                said.as_dict(),
            )

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("23999", errors.IntegrityConstraintViolationError),
            ("XX999", errors.InternalServerError),
            ("PZ999", errors.UnknownPostgresError),
            ("", errors.UnknownPostgresError),
            (None, errors.UnknownPostgresError),
            ("02000", errors.PostgresError),
            ("01999", errors.PostgresError),
        ],
    )
    @pytest.mark.checklist("E-6")
    def test_unknown_codes_are_of_their_group(self, code: str | None, expected: type[errors.PostgresError]) -> None:
        error = error_from_fields({"M": "oops"} if code is None else {"M": "oops", "C": code})
        assert type(error) is expected
        assert error.sqlstate == code

    def test_nothing_at_all(self) -> None:
        error = error_from_fields({})
        assert (type(error), str(error), error.as_dict()) == (errors.UnknownPostgresError, "", {})

    @pytest.mark.checklist("E-7", "PS-8")
    def test_a_changed_result_is_told_by_the_function_not_by_the_text(self) -> None:
        fields = {"C": "0A000", "M": "der Plan darf nicht", "R": "RevalidateCachedQuery"}
        error = error_from_fields(fields)
        assert type(error) is errors.InvalidCachedStatementError
        assert str(error) == "cached statement plan is invalid due to a database schema or configuration change"
        assert error.message == "der Plan darf nicht"
        assert type(error_from_fields({**fields, "R": "transformStmt"})) is errors.FeatureNotSupportedError
        assert type(error_from_fields({**fields, "C": "0A999"})) is errors.FeatureNotSupportedError

    @pytest.mark.checklist("E-7")
    @pytest.mark.parametrize("code", ["42P05", "26000"])
    def test_lost_statements_hint_at_poolers(self, code: str) -> None:
        error = error_from_fields({"C": code, "M": "m", "H": "server's hint"})
        assert error.hint is not None
        assert error.hint.startswith("server's hint\n")
        assert "pgbouncer" in error.hint
        assert "statement_cache_size" in str(error)
        alone = error_from_fields({"C": code, "M": "m"}).hint
        assert alone is not None
        assert alone.startswith("NOTE")

    @pytest.mark.parametrize(
        ("fields", "usable"),
        [
            ({"S": "FATAL"}, False),
            ({"S": "PANIK", "V": "PANIC"}, False),
            ({"S": "FEHLER", "V": "ERROR"}, True),
            ({"S": "FEHLER"}, None),
            ({"C": "08006"}, False),
            ({"C": "08006", "V": "ERROR"}, True),
        ],
    )
    def test_the_severity_tells_whether_the_connection_lives(self, fields: dict[str, str], usable: bool | None) -> None:
        assert error_from_fields(fields).connection_usable is usable

    def test_what_may_be_tried_again(self) -> None:
        retry = {
            code for code, value in errors.PostgresMessage.by_sqlstate.items() if getattr(value, "safe_to_retry", 0)
        }
        assert retry == {"08001", "08004", "40001", "40P01", "53300", "55P03", "57P03"}

    @pytest.mark.checklist("E-8", "L-5")
    def test_notices(self) -> None:
        fields = {"C": "01000", "M": "careful", "V": "WARNING"}
        warning = notice_from_fields(fields)
        assert type(warning) is errors.PostgresWarning
        assert str(warning) == "PostgresWarning: careful"
        with pytest.raises(TypeError, match="instances of PostgresWarning are immutable"):
            warning.hint = "x"
        assert type(notice_from_fields({"C": "01999", "S": "warning"})) is errors.PostgresWarning
        assert type(notice_from_fields({"C": "23999", "V": "NOTICE"})) is errors.PostgresLogMessage
        assert type(notice_from_fields({})) is errors.PostgresLogMessage
        assert type(notice_from_fields({"C": "42P07", "V": "NOTICE"})) is errors.DuplicateTableError


def variations() -> list[object]:
    timeout = errors.OperationTimeoutError("late", outcome=Outcome.CANCELLED, connection_usable=True)
    mine = error_from_fields(FIELDS, "query")
    mine.safe_to_retry = True
    mine.attempts = (errors.InterfaceError("a"),)
    return [
        mine,
        notice_from_fields(FIELDS),
        notice_from_fields({"C": "01000", "M": "w"}),
        notice_from_fields({"C": "00000", "M": "w"}),
        errors.InterfaceError("m", detail="d", hint="h"),
        errors.InterfaceWarning("m", detail="d", hint="h"),
        errors.ClientConfigurationError("m", hint="h"),
        errors.InvalidValueError("m"),
        errors.OutdatedSchemaCacheError("m", schema="s", data_type="t", position=3),
        timeout,
    ]


class TestOwnErrors:
    @pytest.mark.parametrize("original", variations(), ids=lambda value: type(value).__name__)
    def test_copies_keep_everything(self, original: object) -> None:
        for duplicate in (copy.copy(original), copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
            assert type(duplicate) is type(original)
            assert str(duplicate) == str(original)
            assert getattr(duplicate, "args", None) == getattr(original, "args", None)
            assert {name: repr(value) for name, value in vars(duplicate).items()} == {
                name: repr(value) for name, value in vars(original).items()
            }

    @pytest.mark.checklist("E-2", "E-5")
    def test_interface_errors_print_detail_and_hint(self) -> None:
        error = errors.InterfaceError("message", detail="detail", hint="hint")
        assert str(error) == "message\nDETAIL:  detail\nHINT:  hint"
        assert str(error) == str(asyncpg.exceptions.InterfaceError("message", detail="detail", hint="hint"))
        assert str(errors.InterfaceWarning("message")) == "message"

    def test_another_message_keeps_the_rest(self) -> None:
        with pytest.raises(errors.ClientConfigurationError) as info:
            raise errors.ClientConfigurationError("a", detail="d", hint="h")
        other = info.value.with_msg("b")
        assert (type(other), other.args, other.detail, other.hint) == (
            errors.ClientConfigurationError,
            ("b",),
            "d",
            "h",
        )
        assert other.__traceback__ is info.value.__traceback__

    def test_with_another_message_it_knows_what_it_has_known(self) -> None:
        error = errors.PipelineAbortedError("a", outcome=Outcome.UNKNOWN)
        other = with_attempts(error, [error]).with_msg("b")
        assert (type(other), other.args, other.outcome) == (errors.PipelineAbortedError, ("b",), Outcome.UNKNOWN)
        assert (other.safe_to_retry, other.attempts) == (False, (error,))
        assert error.args == ("a",)

    @pytest.mark.checklist("E-2")
    def test_outdated_schema(self) -> None:
        error = errors.OutdatedSchemaCacheError("m", schema="s", data_type="t", position=3)
        assert (error.schema_name, error.data_type_name, error.position) == ("s", "t", 3)

    @pytest.mark.checklist("E-10")
    def test_time_outs_are_time_outs(self) -> None:
        error = errors.OperationTimeoutError("too late")
        assert isinstance(error, TimeoutError)
        assert (str(error), error.outcome, error.safe_to_retry) == ("too late", Outcome.UNKNOWN, False)
        assert error.connection_usable is None
        assert errors.OperationTimeoutError(outcome=Outcome.CANCELLED).safe_to_retry
        assert errors.OperationTimeoutError(outcome=Outcome.UNKNOWN, safe_to_retry=True).safe_to_retry

    @pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith(("Error", "NotMatched"))])
    def test_every_error_answers(self, name: str) -> None:
        error_class = getattr(errors, name)
        error = error_class("m")
        assert isinstance(error, errors.ALL_ERRORS)
        assert error.connection_usable in (True, False, None)
        assert error.safe_to_retry in (True, False)
        assert error.attempts == ()

    def test_attempts(self) -> None:
        first, last = ConnectionRefusedError("a"), OSError("b")
        assert with_attempts(last, [first, last]) is last
        assert vars(last)["attempts"] == (first, last)
        assert isinstance(last.__cause__, ExceptionGroup)
        assert last.__cause__.exceptions == (first, last)

    def test_a_single_attempt_is_not_its_own_cause(self) -> None:
        error = with_attempts(errors.TargetServerAttributeNotMatched("m"), [])
        assert (error.attempts, error.__cause__) == ((), None)
        alone = errors.InternalClientError("m")
        assert with_attempts(alone, [alone]).attempts == (alone,)
        assert alone.__cause__ is None


class TestCaret:
    @pytest.mark.parametrize(
        ("query", "position", "expected"),
        [
            ("SELECT foo", "8", "LINE 1: SELECT foo\n               ^"),
            ("SELECT foo", 1, "LINE 1: SELECT foo\n        ^"),
            ("SELECT", 7, "LINE 1: SELECT\n              ^"),
            ("a\nbb\nccc", 6, "LINE 3: ccc\n        ^"),
            ("a\nbb\nccc", 5, "LINE 2: bb\n          ^"),
            ("a\r\nbb\r\nc", 4, "LINE 2: bb\n        ^"),
            ("a\r\nb", 3, "LINE 1: a\n         ^"),
            ("\tx\x1b[31m", 2, "LINE 1:  x [31m\n         ^"),
            ("äöü x", 5, "LINE 1: äöü x\n            ^"),
            ("漢字 x", 4, "LINE 1: 漢字 x\n             ^"),
            ("e\u0301 x", 4, "LINE 1: e\u0301 x\n          ^"),
            ("", 1, "LINE 1: \n        ^"),
        ],
    )
    def test_points_at_the_character(self, query: str, position: str | int, expected: str) -> None:
        assert caret(query, position) == expected

    @pytest.mark.parametrize("position", [None, "", "x", "-1", 0, 8, "³", "9" * 5000])
    def test_no_such_position(self, position: str | int | None) -> None:
        assert caret("SELECT", position) == ""

    def test_no_query(self) -> None:
        assert caret(None, "1") == ""

    @given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300), st.data())
    def test_fits(self, query: str, data: st.DataObject) -> None:
        position = data.draw(st.integers(1, len(query) + 1))
        line, mark = caret(query, position).split("\n")
        assert line.isprintable()
        assert sum(unicodedata.category(char) not in ("Mn", "Me") for char in line) <= 78
        assert mark == " " * (len(mark) - 1) + "^"
        assert len("LINE 1: ") <= len(mark) - 1 <= 78

    def test_long_lines_are_cut_around_the_place(self) -> None:
        query = "x" * 500 + "!" + "y" * 500
        line, mark = caret(query, 501).split("\n")
        assert line[len(mark) - 1] == "!"
        assert line.startswith("LINE 1: ...x")
        assert line.endswith("y...")
        assert len(line) == 78
        line, _ = caret(query, 1).split("\n")
        assert line.startswith("LINE 1: xxx")
        assert line.endswith("...")
        assert len(line) == 78
        line, mark = caret(query, 1002).split("\n")
        assert line.startswith("LINE 1: ...")
        assert len(line) == len(mark) - 1
