"""How a script runs, read off its statements: shared, by itself, or one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.core.analysis import Analysis, Unit, analyse_script, place_of
from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Language, Options, Script
from lockgate.core.transaction_mode import Mode, UnitMode
from lockgate.errors import MigrationFileInvalid

TABLE = "CREATE TABLE t (id int)"
INDEX = "CREATE INDEX CONCURRENTLY i ON t (id)"
ALONE = (
    "CREATE INDEX CONCURRENTLY cannot run inside a transaction block, but the"
    " file says transaction:true."
)
MIXED = (
    "CREATE INDEX CONCURRENTLY cannot run inside a transaction block, but other statements of the"
    " file can, and would stay applied if a later one failed."
)
UNPAIRED = (
    "the file's own transaction cannot be followed: each BEGIN needs one COMMIT after it, and"
    " nothing else may end it."
)


def analyse(
    *statements: str,
    transaction: bool | None = None,
    language: Language = Language.SQL,
    first_line: int = 1,
) -> Analysis:
    """Analyse a script of one statement to a line."""
    text = "".join(f"{statement};\n" for statement in statements)
    options = Options(transaction=transaction)
    return analyse_script(
        Script(text, "1_x.sql", first_line, language, options, text_checksum(text))
    )


def describe(analysis: Analysis) -> list[tuple[str, int, int]]:
    """Return the units in short."""
    return [(unit.mode.value, unit.first, unit.last) for unit in analysis.units]


@pytest.mark.parametrize(
    "statements",
    [
        (),
        (TABLE,),
        (TABLE, "SELECT 1", "INSERT INTO t VALUES (1)"),
        ("SET search_path = ''", TABLE),
        ("SET LOCAL lock_timeout = 0", TABLE),
        ("SAVEPOINT a", TABLE, "ROLLBACK TO a", "RELEASE a"),
        ("SAVEPOINT a",),
        ("DO $$ BEGIN PERFORM 1; END $$",),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$BEGIN COMMIT; END$$",),
        ("SELECT 'VACUUM; BEGIN; CREATE INDEX CONCURRENTLY'",),
    ],
)
@pytest.mark.parametrize("transaction", [None, True])
def test_ordinary_script_shares_a_transaction(
    *, statements: tuple[str, ...], transaction: bool | None
) -> None:
    """Statements that a transaction may hold share it, savepoints and session settings included."""
    analysis = analyse(*statements, transaction=transaction)
    assert (Mode.SHARED, (), None) == (analysis.mode, analysis.units, analysis.reason)
    assert len(statements) == len(analysis.statements)


@pytest.mark.parametrize(
    ("statement", "adds"),
    [
        ("ALTER TYPE mood ADD VALUE 'bad'", True),
        ("ALTER TYPE app.mood ADD VALUE IF NOT EXISTS 'bad' BEFORE 'good'", True),
        ("ALTER TYPE mood RENAME VALUE 'good' TO 'fine'", False),
        (TABLE, False),
    ],
)
def test_new_enum_value_is_noticed(*, statement: str, adds: bool) -> None:
    """It shares a transaction, which ends behind it; the plan needs to know."""
    analysis = analyse("SELECT 1", statement)
    assert (Mode.SHARED, adds) == (analysis.mode, analysis.adds_enum_value)


@pytest.mark.parametrize(
    ("statements", "units"),
    [
        ((INDEX,), [("alone", 0, 0)]),
        ((INDEX, "VACUUM t"), [("alone", 0, 0), ("alone", 1, 1)]),
        (
            ("SET lock_timeout = 0", INDEX, "RESET lock_timeout"),
            [("session", 0, 0), ("alone", 1, 1), ("session", 2, 2)],
        ),
        (
            ("SELECT set_config('search_path', '', false)", "VACUUM"),
            [("session", 0, 0), ("alone", 1, 1)],
        ),
    ],
)
def test_statement_that_forbids_a_transaction_is_found(
    statements: tuple[str, ...], units: list[tuple[str, int, int]]
) -> None:
    """Without any option such statements run alone; what sets the session may stand by them."""
    analysis = analyse(*statements)
    assert (Mode.STATEMENTS, units) == (analysis.mode, describe(analysis))
    assert analysis.reason is not None
    assert analysis.reason.endswith("cannot run inside a transaction block")


def test_mixture_says_transaction_false_to_be_run() -> None:
    """With the option each statement is a unit: in a transaction of ours where it may be in one."""
    analysis = analyse(TABLE, INDEX, "SET a.b = 1", "SELECT 1", transaction=False)
    assert Mode.STATEMENTS == analysis.mode
    assert [
        ("wrapped", 0, 0),
        ("alone", 1, 1),
        ("session", 2, 2),
        ("wrapped", 3, 3),
    ] == describe(analysis)


@pytest.mark.parametrize(
    ("statements", "units"),
    [
        ((TABLE,), [("wrapped", 0, 0)]),
        (("ALTER TYPE m ADD VALUE 'x'", TABLE), [("wrapped", 0, 0), ("wrapped", 1, 1)]),
        (("BEGIN", TABLE, "COMMIT", TABLE), [("block", 0, 2), ("wrapped", 3, 3)]),
        (
            (
                "BEGIN",
                "SAVEPOINT a",
                "ROLLBACK TO SAVEPOINT a",
                "END",
                INDEX,
                "START TRANSACTION",
                "COMMIT",
            ),
            [("block", 0, 3), ("alone", 4, 4), ("block", 5, 6)],
        ),
        ((), []),
    ],
)
def test_transaction_false_runs_statement_by_statement(
    statements: tuple[str, ...], units: list[tuple[str, int, int]]
) -> None:
    """The script's own transactions are units of their own."""
    analysis = analyse(*statements, transaction=False)
    assert (Mode.STATEMENTS, units) == (analysis.mode, describe(analysis))


@pytest.mark.parametrize(
    ("statement", "mode"),
    [
        ("CALL fill()", "alone"),
        ("REINDEX TABLE t", "alone"),
        ("REINDEX (VERBOSE) INDEX i", "alone"),
        ("CLUSTER t USING i", "alone"),
        ("DO $$ BEGIN CALL fill(); END $$", "alone"),
        ("DO 'BEGIN IF true THEN CALL fill(); END IF; END'", "alone"),
        ("DO $$ BEGIN DO $x$ BEGIN CALL fill(); END $x$; END $$", "alone"),
        ("DO $$ BEGIN COMMIT; END $$", "alone"),
        # What cannot commit takes effect together with its record.
        ("DO $$ BEGIN PERFORM call(); END $$", "wrapped"),
        ("DO $$ BEGIN INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING; END $$", "wrapped"),
        ("DO LANGUAGE plpython3u 'CALL = 1'", "wrapped"),
        ("SELECT fill()", "wrapped"),
    ],
)
def test_transaction_false_keeps_out_what_only_the_server_can_judge(
    statement: str, mode: str
) -> None:
    """A procedure may commit and a table be partitioned: in a transaction of ours it could not run."""
    analysis = analyse(TABLE, statement, transaction=False)
    assert [("wrapped", 0, 0), (mode, 1, 1)] == describe(analysis)


@pytest.mark.parametrize("statement", ["CALL fill()", "REINDEX TABLE t", "CLUSTER t USING i"])
def test_what_only_the_server_can_judge_shares_a_transaction_unless_told(statement: str) -> None:
    """Most procedures do not commit; in the script's own transaction it is the script's word."""
    assert Mode.SHARED == analyse(statement).mode
    own = analyse("BEGIN", statement, "COMMIT", transaction=False)
    assert [("block", 0, 2)] == describe(own)
    beside = analyse("BEGIN", TABLE, "COMMIT", statement)
    assert [("block", 0, 2), ("wrapped", 3, 3)] == describe(beside)


@pytest.mark.parametrize(
    ("statement", "encoding"),
    [
        ("SET client_encoding = 'LATIN1'", "LATIN1"),
        ("set session CLIENT_ENCODING to win1252", "WIN1252"),
        ("SET LOCAL client_encoding TO 'LATIN1'", "LATIN1"),
        ('SET "client_encoding" = sql_ascii', "SQL_ASCII"),
        ("SET NAMES 'LATIN1'", "LATIN1"),
        ("SET LOCAL NAMES 'euc_jp'", "EUC_JP"),
        ("SELECT pg_catalog.set_config('client_encoding', 'LATIN1', false)", "LATIN1"),
        (
            "SELECT set_config('a.b', '1', true), set_config('client_encoding', 'LATIN1', true)",
            "LATIN1",
        ),
    ],
)
@pytest.mark.parametrize("transaction", [None, False])
def test_other_client_encoding_is_refused_at_its_place(
    *, statement: str, encoding: str, transaction: bool | None
) -> None:
    """The server would read what follows as that encoding, and store other characters."""
    with pytest.raises(MigrationFileInvalid) as caught:
        analyse(TABLE, f"  {statement}", transaction=transaction, first_line=11)
    error = caught.value
    assert (
        f"1_x.sql:12:3: the script sets client_encoding to {encoding}, and is sent as UTF-8."
    ) == error.message
    assert ("1_x.sql", 12, 3) == (error.file, error.line, error.column)


@pytest.mark.parametrize(
    "statement",
    [
        "SET client_encoding = 'UTF8'",
        'SET client_encoding TO "utf-8"',
        "SET client_encoding TO unicode",
        "SET client_encoding TO DEFAULT",
        "SET NAMES 'UTF8'",
        "SET NAMES",
        "RESET client_encoding",
        "SELECT set_config('client_encoding', 'UTF8', false)",
        "SELECT 'SET client_encoding = LATIN1'",
        "SELECT names FROM client_encoding",
        "SET search_path = names, client_encoding",
    ],
)
def test_utf8_as_client_encoding_is_accepted(statement: str) -> None:
    """The output of pg_dump says so, and a default brings back what the connection has."""
    assert Mode.SHARED == analyse(statement, TABLE).mode


def test_refusal_of_a_text_quotes_no_hidden_value() -> None:
    """What a variable stands for is not said, though the text that cannot be split has it."""
    script = Script(
        text="SELECT ${pw}",
        path="1_x.sql",
        first_line=1,
        language=Language.SQL,
        options=Options(),
        checksum="sha256:",
        substituted="SELECT \\hunter2",
        hidden=("\\hunter2",),
    )
    with pytest.raises(MigrationFileInvalid) as caught:
        analyse_script(script)
    assert "1_x.sql:1:8: psql meta-command … is not SQL." == caught.value.message
    assert "hunter2" not in repr(script)


@pytest.mark.parametrize(
    ("statements", "units"),
    [
        (("BEGIN", TABLE, "COMMIT"), [("block", 0, 2)]),
        (("START TRANSACTION", "END"), [("block", 0, 1)]),
        (("BEGIN", "SAVEPOINT a", TABLE, "RELEASE a", "COMMIT"), [("block", 0, 4)]),
        (
            ("SET a.b = 1", "BEGIN", TABLE, "COMMIT", "RESET a.b"),
            [("session", 0, 0), ("block", 1, 3), ("session", 4, 4)],
        ),
    ],
)
@pytest.mark.parametrize("transaction", [None, True])
def test_script_that_is_one_transaction_keeps_it(
    *, statements: tuple[str, ...], units: list[tuple[str, int, int]], transaction: bool | None
) -> None:
    """BEGIN to COMMIT is one unit, among statements that only set the session."""
    analysis = analyse(*statements, transaction=transaction)
    assert (Mode.OWN_TRANSACTION, units) == (analysis.mode, describe(analysis))
    assert "its own BEGIN and COMMIT" == analysis.reason


@pytest.mark.parametrize(
    "statements",
    [
        ("BEGIN", TABLE, "COMMIT", "BEGIN", TABLE, "COMMIT"),
        ("BEGIN", TABLE, "COMMIT", TABLE),
        (TABLE, "BEGIN", TABLE, "COMMIT"),
    ],
)
def test_script_of_several_transactions_runs_in_units(statements: tuple[str, ...]) -> None:
    """More than one transaction of its own, or a statement beside it, cannot be one of ours."""
    analysis = analyse(*statements)
    assert (Mode.STATEMENTS, "several transactions of its own") == (analysis.mode, analysis.reason)


@pytest.mark.parametrize(
    ("statements", "transaction", "line", "why"),
    [
        ((TABLE, INDEX), None, 12, MIXED),
        ((INDEX, TABLE), None, 11, MIXED),
        (("BEGIN", TABLE, "COMMIT", INDEX), None, 14, MIXED),
        (("ALTER TYPE mood ADD VALUE 'x'", "SELECT 1", INDEX), None, 13, MIXED),
        ((TABLE, INDEX), True, 12, ALONE),
        ((INDEX,), True, 11, ALONE),
        (("BEGIN", TABLE), None, 11, UNPAIRED),
        ((TABLE, "COMMIT"), None, 12, UNPAIRED),
        (("BEGIN", "BEGIN", "COMMIT"), None, 12, UNPAIRED),
        (("BEGIN", TABLE, "ROLLBACK"), None, 13, UNPAIRED),
        (("BEGIN", TABLE, "COMMIT AND CHAIN", "COMMIT"), None, 13, UNPAIRED),
        (("BEGIN", TABLE, "PREPARE TRANSACTION 'x'"), None, 13, UNPAIRED),
        ((TABLE, "BEGIN", "COMMIT", "BEGIN"), None, 14, UNPAIRED),
        (("BEGIN", TABLE), False, 11, UNPAIRED),
        (("ROLLBACK",), False, 11, UNPAIRED),
        (("COMMIT",), True, 11, UNPAIRED),
    ],
)
def test_script_that_cannot_be_run_is_refused_at_its_place(
    *, statements: tuple[str, ...], transaction: bool | None, line: int, why: str
) -> None:
    """The refusal names the line in the file and says that nothing was changed."""
    with pytest.raises(MigrationFileInvalid) as caught:
        analyse(*statements, transaction=transaction, first_line=11)
    error = caught.value
    assert f"1_x.sql:{line}:1: {why}" == error.message
    assert ("1_x.sql", line, 1) == (error.file, error.line, error.column)
    assert error.hint is not None


@pytest.mark.parametrize(
    ("sql", "line", "column", "what"),
    [
        ("SELECT 1;\r\n  SELECT 'x", 12, 10, "unterminated quoted string"),
        ("SELECT (1;\n", 11, 8, "unbalanced parenthesis"),
        ("SELECT 1;\n\\i other.sql\n", 12, 1, "psql meta-command \\i is not SQL"),
        ("COPY t FROM stdin;\n1\n2\n", 11, 1, "COPY data without \\."),
    ],
)
def test_text_that_cannot_be_split_is_refused_at_its_place(
    sql: str, line: int, column: int, what: str
) -> None:
    """The place is that in the file, not that in the script."""
    script = Script(sql, "1_x.sql", 11, Language.SQL, Options(), text_checksum(sql))
    with pytest.raises(MigrationFileInvalid) as caught:
        analyse_script(script)
    error = caught.value
    assert f"1_x.sql:{line}:{column}: {what}." == error.message
    assert ("1_x.sql", line, column) == (error.file, error.line, error.column)


def test_python_shares_a_transaction_unless_it_says_no() -> None:
    """A Python script is not looked into; its option decides."""
    text = "BEGIN; VACUUM"
    found = [
        analyse(text, language=Language.PYTHON, transaction=transaction)
        for transaction in (None, True, False)
    ]
    assert [Mode.SHARED, Mode.SHARED, Mode.STATEMENTS] == [analysis.mode for analysis in found]
    assert "transaction = False" == found[-1].reason
    assert [((), ())] * 3 == [(analysis.statements, analysis.units) for analysis in found]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((TABLE, INDEX, "SET a.b = 1"), Unit(UnitMode.ALONE, 1, 1)),
        (("BEGIN", TABLE, "COMMIT", "SET a.b = 1"), Unit(UnitMode.BLOCK, 0, 2)),
        (("SET a.b = 1",), None),
    ],
)
def test_last_unit_is_the_last_that_is_recorded(
    statements: tuple[str, ...], expected: Unit | None
) -> None:
    """A setting behind the last statement does not hold the migration back."""
    assert expected == analyse(*statements, transaction=False).last_unit


def test_substituted_text_is_what_is_analysed() -> None:
    """Statements are those that the server gets."""
    script = Script(
        "${what} t", "1_x.sql", 1, Language.SQL, Options(), text_checksum("${what} t"), "VACUUM t"
    )
    assert Mode.STATEMENTS == analyse_script(script).mode


@pytest.mark.parametrize(
    ("offset", "place"), [(0, (5, 1)), (3, (5, 4)), (5, (6, 1)), (6, (7, 1)), (8, (7, 3))]
)
def test_place_counts_from_where_the_script_begins(offset: int, place: tuple[int, int]) -> None:
    """Line and column are those of the file, over every line ending and character."""
    script = Script("äö;\r\n\nabc", "x.sql", 5, Language.SQL, Options(), "sha256:")
    assert place == place_of(script, offset)


@must_reach(several_statements=30, shared_unit=5)
@given(
    st.lists(
        st.sampled_from(["SET a.b = 1", "SAVEPOINT a", "VACUUM", "CALL p()", TABLE, INDEX]).map(
            lambda statement: [statement]
        )
        | st.lists(st.just(TABLE)).map(lambda inner: ["BEGIN", *inner, "COMMIT"])
    ).map(lambda parts: [statement for part in parts for statement in part])
)
def test_units_cover_every_statement_once(statements: list[str]) -> None:
    """Without a transaction the units are the statements, each once and in order."""
    units = analyse(*statements, transaction=False).units
    reached("several_statements", when=len(statements) > 1)
    reached("shared_unit", when=any(unit.last > unit.first for unit in units))
    covered = [index for unit in units for index in range(unit.first, unit.last + 1)]
    assert list(range(len(statements))) == covered
