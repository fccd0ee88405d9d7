"""How a script runs, derived from its statements: in a shared transaction, in its own, or one by one."""

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
    """Analyse a script with one statement per line."""
    text = "".join(f"{statement};\n" for statement in statements)
    options = Options(transaction=transaction)
    return analyse_script(
        Script(text, "1_x.sql", first_line, language, options, text_checksum(text))
    )


def describe(analysis: Analysis) -> list[tuple[str, int, int]]:
    """Return each unit as mode, first and last index."""
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
    """A script that may run in a transaction shares one, even with savepoints and session settings."""
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
    """A script that adds an enum value shares a transaction; the plan ends the segment after it."""
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
    """Without an option, such a statement runs alone; only session settings may accompany it."""
    analysis = analyse(*statements)
    assert (Mode.STATEMENTS, units) == (analysis.mode, describe(analysis))
    assert analysis.reason is not None
    assert analysis.reason.endswith("cannot run inside a transaction block")


def test_mixture_runs_with_transaction_false() -> None:
    """With transaction:false, each statement is a unit, wrapped in a transaction if it allows one."""
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
    """With transaction:false, each BEGIN to COMMIT block is a unit."""
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
        # A block that cannot commit runs in one transaction with its record.
        ("DO $$ BEGIN PERFORM call(); END $$", "wrapped"),
        ("DO $$ BEGIN INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING; END $$", "wrapped"),
        ("DO LANGUAGE plpython3u 'CALL = 1'", "wrapped"),
        ("SELECT fill()", "wrapped"),
    ],
)
def test_transaction_false_keeps_out_what_only_the_server_can_judge(
    statement: str, mode: str
) -> None:
    """A procedure may commit and a table may be partitioned, so the statement is not wrapped."""
    analysis = analyse(TABLE, statement, transaction=False)
    assert [("wrapped", 0, 0), (mode, 1, 1)] == describe(analysis)


@pytest.mark.parametrize("statement", ["CALL fill()", "REINDEX TABLE t", "CLUSTER t USING i"])
def test_statement_judged_only_by_the_server_shares_a_transaction_by_default(
    statement: str,
) -> None:
    """Most procedures do not commit, so by default such a statement shares a transaction."""
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
    """Another encoding is refused: the server would misread the script and store wrong characters."""
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
    """UTF-8 is accepted, because pg_dump writes it and a default restores the connection's encoding."""
    assert Mode.SHARED == analyse(statement, TABLE).mode


def test_refusal_of_a_text_quotes_no_hidden_value() -> None:
    """An error about text that cannot be split masks the values of hidden variables."""
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
def test_script_with_its_own_transaction_keeps_it(
    *, statements: tuple[str, ...], units: list[tuple[str, int, int]], transaction: bool | None
) -> None:
    """BEGIN to COMMIT is one unit; other statements may only set session settings."""
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
    """A script with several transactions, or with statements outside its own, runs unit by unit."""
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
    """The refusal names file, line and column and has a hint."""
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
    """The error gives the position in the file, not in the script."""
    script = Script(sql, "1_x.sql", 11, Language.SQL, Options(), text_checksum(sql))
    with pytest.raises(MigrationFileInvalid) as caught:
        analyse_script(script)
    error = caught.value
    assert f"1_x.sql:{line}:{column}: {what}." == error.message
    assert ("1_x.sql", line, column) == (error.file, error.line, error.column)


def test_python_shares_a_transaction_by_default() -> None:
    """A Python script is not inspected; its option decides."""
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
def test_last_unit_is_recorded_last(statements: tuple[str, ...], expected: Unit | None) -> None:
    """Session settings after the last statement do not delay the record."""
    assert expected == analyse(*statements, transaction=False).last_unit


def test_substituted_text_is_analysed() -> None:
    """The analysis reads the text that the server receives."""
    script = Script(
        "${what} t", "1_x.sql", 1, Language.SQL, Options(), text_checksum("${what} t"), "VACUUM t"
    )
    assert Mode.STATEMENTS == analyse_script(script).mode


@pytest.mark.parametrize(
    ("offset", "place"), [(0, (5, 1)), (3, (5, 4)), (5, (6, 1)), (6, (7, 1)), (8, (7, 3))]
)
def test_place_counts_from_where_the_script_begins(offset: int, place: tuple[int, int]) -> None:
    """Line and column refer to the file, with any line ending and any character."""
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
    """With transaction:false, the units cover every statement once and in order."""
    units = analyse(*statements, transaction=False).units
    reached("several_statements", when=len(statements) > 1)
    reached("shared_unit", when=any(unit.last > unit.first for unit in units))
    covered = [index for unit in units for index in range(unit.first, unit.last + 1)]
    assert list(range(len(statements))) == covered
