"""From catalog and history to a plan: what runs, in which transactions, and what refuses it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.core.analysis import Analysis, analyse_script
from lockgate.core.catalog import Catalog, make_catalog
from lockgate.core.checksum import text_checksum
from lockgate.core.history import EMPTY_HISTORY, Applied, History, State
from lockgate.core.migration import Kind, Language, Migration, Options, Script, Version
from lockgate.core.plan import Plan, SkipReason, make_plan
from lockgate.core.policy import Atomicity, OutOfOrder, Policy
from lockgate.core.refusal import find_refusal
from lockgate.core.segment import (
    SEGMENT_MIGRATIONS,
    Cause,
    Segment,
    Step,
    make_segments,
    split_segment,
)
from lockgate.core.token_checksum import TokenDigest, token_checksum
from lockgate.core.transaction_mode import Mode
from lockgate.errors import (
    DriftDetected,
    HistoryForeign,
    MigrationFileInvalid,
    OutOfOrderFound,
    RequestInvalid,
)

AT = datetime(2026, 11, 22, tzinfo=UTC)
SELECT = "SELECT 1;"
INDEX = "CREATE INDEX CONCURRENTLY i ON t (id);"
OWN = "BEGIN; SELECT 1; COMMIT;"
ENUM = "ALTER TYPE mood ADD VALUE 'bad';"
TEXTS = {"shared": SELECT, "statements": INDEX, "own_transaction": OWN, "enum": ENUM}
KINDS = st.sampled_from(list(TEXTS))

Files = dict[str, str]


def make_migration(migration_id: str, text: str = SELECT, down: str | None = None) -> Migration:
    """Return a migration by its id: a version, or ``R__name``."""
    if migration_id.startswith("R__"):
        name = migration_id.removeprefix("R__")
        return Migration(None, name, Kind.REPEATABLE, make_script(migration_id, text), None)
    down_script = None if down is None else make_script(migration_id, down)
    version = Version.parse(migration_id)
    return Migration(version, "x", Kind.VERSIONED, make_script(migration_id, text), down_script)


def make_script(migration_id: str, text: str) -> Script:
    """Return an SQL script without options."""
    return Script(text, f"{migration_id}.sql", 1, Language.SQL, Options(), text_checksum(text))


def read(files: Files) -> Catalog:
    """Return the catalog of these files: text by id."""
    return make_catalog([make_migration(*item) for item in files.items()], "migrations")


def make_row(
    migration_id: str,
    text: str = SELECT,
    state: State = State.APPLIED,
    *,
    done: int | None = None,
    attempting: int | None = None,
    language: Language = Language.SQL,
) -> Applied:
    """Return the row of a migration applied with that text, wholly or its first ``done`` statements."""
    migration = make_migration(migration_id, text)
    part = None
    if done is not None:
        part = TokenDigest(migration.up.sql).after(done)
    return Applied(
        migration_id=migration_id,
        version=migration.version,
        name=migration.name,
        kind=migration.kind,
        checksum=text_checksum(text),
        token_checksum=token_checksum(text) if language is Language.SQL else None,
        has_down=False,
        state=state,
        statements_done=1 if done is None else done,
        statements_total=2,
        applied_at=AT,
        duration_ms=1,
        run_id="run",
        token=1,
        attempting=attempting,
        done_checksum=part,
    )


def plan_of(files: Files, *rows: Applied, policy: Policy | None = None) -> Plan:
    """Return the plan for files and rows."""
    return make_plan(read(files), History(rows), policy or Policy())


def ids(steps: tuple[Step, ...]) -> list[str]:
    """Return the ids of these steps."""
    return [step.migration.migration_id for step in steps]


def shape(segments: tuple[Segment, ...]) -> list[str]:
    """Return each segment's mode and ids in one string."""
    return [f"{segment.mode}:{'+'.join(ids(segment.steps))}" for segment in segments]


def make_step(migration_id: str, statements: int = 1, **changes: object) -> Step:
    """Return a step that shares a transaction and has that many statements."""
    migration = make_migration(migration_id, SELECT * statements)
    found = analyse_script(migration.up)
    analysis = Analysis(**{"mode": Mode.SHARED, "statements": found.statements, **changes})  # type: ignore[arg-type]
    return Step(migration, analysis, Cause.PENDING)


# Pending migrations and their order.


def test_versions_run_as_numbers_and_repeatables_last() -> None:
    """Versions run in numerical order, then repeatables by name, in whatever order they were read."""
    plan = plan_of({"R__b": SELECT, "10": SELECT, "9": SELECT, "R__a": SELECT, "0008": SELECT})
    assert ["0008", "9", "10", "R__a", "R__b"] == ids(plan.steps)
    assert {Cause.PENDING} == {step.cause for step in plan.steps}


def test_nothing_pending_gives_an_empty_plan() -> None:
    """A migration that was applied with this text is not in the plan."""
    plan = plan_of({"1": SELECT, "R__v": SELECT}, make_row("1"), make_row("R__v"))
    assert Plan((), (), (), (), ()) == plan
    assert not plan.has_pending


def test_version_is_known_however_it_is_written() -> None:
    """A file renamed from 7 to 0007 does not run again."""
    assert not plan_of({"0007": SELECT}, make_row("7")).has_pending


def test_repeatable_runs_again_only_when_its_text_changed() -> None:
    """A changed repeatable is in the plan with its row; an unchanged one is not."""
    changed = make_row("R__a", "SELECT 0;")
    plan = plan_of({"R__a": SELECT, "R__b": SELECT}, changed, make_row("R__b"))
    assert [("R__a", Cause.CHANGED, changed)] == [
        (step.migration.migration_id, step.cause, step.row) for step in plan.steps
    ]


def test_repeatable_named_like_a_version_is_another_migration() -> None:
    """``R__1`` and version 1 are different migrations."""
    assert ["R__1"] == ids(plan_of({"1": SELECT, "R__1": SELECT}, make_row("1")).steps)
    assert ["1"] == ids(plan_of({"1": SELECT, "R__1": SELECT}, make_row("R__1")).steps)


@pytest.mark.parametrize("migration_id", ["2", "R__v"])
def test_partial_migration_is_resumed(migration_id: str) -> None:
    """A partly applied migration is in the plan again, with its row, even if it was edited."""
    for text in (INDEX, f"{INDEX} VACUUM;"):
        row = make_row(migration_id, INDEX, State.PARTIAL)
        plan = plan_of({"1": SELECT, migration_id: text}, make_row("1"), row)
        assert [(Cause.RESUMED, row)] == [(step.cause, step.row) for step in plan.steps]
        assert find_refusal(plan, Policy()) is None


def test_partial_migration_below_the_latest_is_resumed_in_its_place() -> None:
    """A partly applied migration below the latest is not out of order."""
    plan = plan_of(
        {"1": INDEX, "2": SELECT, "3": SELECT}, make_row("1", INDEX, State.PARTIAL), make_row("2")
    )
    assert ["1", "3"] == ids(plan.steps)
    assert () == plan.out_of_order


def test_version_after_a_partial_latest_is_in_order() -> None:
    """A partly applied migration does not count as the latest."""
    plan = plan_of({"1": SELECT, "2": SELECT}, make_row("2", INDEX, State.PARTIAL))
    assert (["1", "2"], ()) == (ids(plan.steps), plan.out_of_order)


@pytest.mark.parametrize(
    ("now", "is_edited"),
    [
        ("VACUUM a; VACUUM b;", False),
        ("VACUUM a; VACUUM mended; VACUUM c;", False),
        ("-- why\nvacuum A;VACUUM mended", False),
        ("VACUUM a;", False),
        ("VACUUM other; VACUUM b;", True),
        ("VACUUM b; VACUUM a;", True),
        ("-- nothing left", True),
    ],
)
def test_executed_part_must_equal_the_file(*, now: str, is_edited: bool) -> None:
    """The part not yet applied may be edited; an edit of the applied part is drift."""
    row = make_row("1", "VACUUM a; VACUUM b;", State.PARTIAL, done=1)
    plan = plan_of({"1": now}, row)
    assert is_edited == isinstance(find_refusal(plan, Policy()), DriftDetected)
    assert ["1"] == ids(plan.steps)


def test_script_without_executed_statements_can_be_edited() -> None:
    """If no statement was applied, the whole file may change."""
    row = make_row("1", "VACUUM a;", State.PARTIAL, done=0)
    assert find_refusal(plan_of({"1": SELECT}, row), Policy()) is None


@pytest.mark.parametrize(
    ("done", "attempting", "what"),
    [
        (1, None, "1 of its statements is done"),
        (1, 2, "1 of its statements is done and statement 2 was begun"),
        (0, 1, "0 of its statements are done and statement 1 was begun"),
    ],
)
def test_part_that_was_done_is_not_taken_into_a_transaction(
    done: int, attempting: int | None, what: str
) -> None:
    """Removing transaction:false from a partly applied file is drift: it would start again."""
    row = make_row("1", "SELECT 1; SELECT 1/0;", State.PARTIAL, done=done, attempting=attempting)
    refusal = find_refusal(plan_of({"1": SELECT}, row), Policy())
    assert isinstance(refusal, DriftDetected)
    assert (
        "Migration 1 x was applied in part outside a transaction, and its file now asks for one:"
        f" {what}, and would be run again. 1.sql."
    ) == refusal.message
    assert (
        "Keep transaction:false in the file until all of the migration is applied." == refusal.hint
    )


@pytest.mark.parametrize(
    ("text", "attempting", "is_refused"),
    [
        ("BEGIN; SELECT 1; COMMIT; CALL fill();", None, False),
        ("BEGIN; SELECT 1; COMMIT; CALL fill();", 4, True),
        ("BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT;", 4, True),
        ("BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT;", 7, False),
        ("VACUUM a; VACUUM b; VACUUM c; VACUUM d;", 4, False),
    ],
)
def test_statement_that_was_begun_is_not_run_in_a_transaction(
    *, text: str, attempting: int | None, is_refused: bool
) -> None:
    """A begun statement is not repeated in a transaction; one that runs alone is checked first."""
    row = make_row("1", text, State.PARTIAL, done=3, attempting=attempting)
    refusal = find_refusal(plan_of({"1": text}, row), Policy())
    assert is_refused == isinstance(refusal, DriftDetected)


@pytest.mark.parametrize("transaction", [None, True, False])
def test_python_that_was_begun_is_not_taken_into_a_transaction(*, transaction: bool | None) -> None:
    """A Python migration that was begun outside a transaction and now asks for one is drift."""
    text = "def up(connection): ...\n"
    options = Options(transaction=transaction)
    script = Script(text, "1_x.py", 1, Language.PYTHON, options, text_checksum(text))
    migration = Migration(Version.parse("1"), "x", Kind.VERSIONED, script, None)
    row = make_row("1", text, State.PARTIAL, attempting=1, language=Language.PYTHON)
    plan = make_plan(make_catalog([migration], "migrations"), History((row,)), Policy())
    refusal = find_refusal(plan, Policy())
    if transaction is False:
        assert refusal is None
    else:
        assert isinstance(refusal, DriftDetected)
        assert "now asks for one: it was begun, and would be run again. 1_x.py." in refusal.message
        assert (
            "Keep transaction = False in the file until all of the migration is applied."
            == refusal.hint
        )


# A database ahead of the package.

OLD_VIEW = "CREATE OR REPLACE VIEW v AS SELECT 1;"


@pytest.mark.parametrize("state", [State.APPLIED, State.PARTIAL])
def test_older_repeatable_is_left_to_the_newer_package(state: State) -> None:
    """After a stack rollback, an older repeatable does not replace that of the newer package."""
    row = make_row("R__v", "CREATE OR REPLACE VIEW v AS SELECT 1, 2;", state, done=0)
    plan = plan_of({"1": SELECT, "R__v": OLD_VIEW}, make_row("1"), make_row("2"), row)
    assert not plan.has_pending
    assert find_refusal(plan, Policy()) is None
    assert [("R__v", SkipReason.DATABASE_AHEAD)] == [
        (one.migration.migration_id, one.reason) for one in plan.skipped
    ]
    assert (
        "Migration R__v differs from what was applied and was skipped: the database is ahead of"
        " this package, so the text may be too old for it."
    ) == plan.skipped[0].describe()


def test_repeatable_runs_where_only_repeatables_are_ahead() -> None:
    """A repeatable whose file was deleted does not make the database ahead of the package."""
    rows = (make_row("1"), make_row("R__gone"), make_row("R__v"))
    assert ["R__v"] == ids(plan_of({"1": SELECT, "R__v": OLD_VIEW}, *rows).steps)


def test_new_repeatable_and_interrupted_one_run_while_the_database_is_ahead() -> None:
    """If the database is ahead, repeatables that no newer package changed still run."""
    rows = (make_row("1"), make_row("2"), make_row("R__v", INDEX, State.PARTIAL, done=0))
    plan = plan_of({"1": SELECT, "R__a": SELECT, "R__v": INDEX}, *rows)
    assert (["R__a", "R__v"], ()) == (ids(plan.steps), plan.skipped)


# Another project's history.


@pytest.mark.parametrize(
    ("files", "applied", "what"),
    [
        (
            ["10"],
            ["1", "2"],
            "it holds 2 versions from 1 to 2, and migrations holds version 10",
        ),
        (
            ["9", "0010"],
            ["5"],
            "it holds version 5, and migrations holds 2 versions from 9 to 0010",
        ),
    ],
)
def test_history_without_a_common_version_is_refused(
    files: list[str], applied: list[str], what: str
) -> None:
    """A history without a common version is refused, because it belongs to another project."""
    plan = plan_of(dict.fromkeys([*files, "R__v"], SELECT), *map(make_row, [*applied, "R__v"]))
    refusal = find_refusal(plan, Policy())
    assert isinstance(refusal, HistoryForeign)
    assert (
        f"The history in this database belongs to other migrations: {what}. They share no version."
    ) == refusal.message
    assert (
        "Check that this is the right database, and that LOCKGATE_MIGRATIONS names the right folder."
        " Projects that share a database each need a LOCKGATE_SCHEMA of their own."
    ) == refusal.hint


@pytest.mark.parametrize(
    ("files", "applied"),
    [
        (["1"], []),
        (["1"], ["R__v"]),
        (["R__v"], ["1"]),
        (["0001", "5"], ["1", "2"]),
        (["1"], ["1", "2", "3"]),
    ],
)
def test_history_with_a_common_version_or_none_is_ours(
    files: list[str], applied: list[str]
) -> None:
    """One common version is enough, and without versions on both sides there is no conflict."""
    plan = plan_of(dict.fromkeys(files, SELECT), *map(make_row, applied))
    assert plan.foreign is None


# Targets.


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, ["2", "10", "R__v"]),
        ("10", ["2", "10", "R__v"]),
        ("0010", ["2", "10", "R__v"]),
        ("2", ["2"]),
        ("1", []),
    ],
)
def test_target_is_the_last_version_to_run(target: str | None, expected: list[str]) -> None:
    """Repeatables belong to the latest version, so an earlier target omits them."""
    files = {"1": SELECT, "2": SELECT, "10": SELECT, "R__v": SELECT}
    plan = plan_of(files, make_row("1"), policy=Policy(target=target))
    assert expected == ids(plan.steps)


@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        (
            "9",
            "The target 9 is not a version in migrations.",
            "The latest is 2.",
        ),
        (
            "two",
            "The target two is not a version in migrations.",
            "The latest is 2.",
        ),
    ],
)
def test_target_that_is_not_a_version_is_refused(target: str, message: str, hint: str) -> None:
    """A target that is not the version of a file is refused: a typo would stop too early or too late."""
    with pytest.raises(RequestInvalid) as caught:
        plan_of({"1": SELECT, "2": SELECT}, policy=Policy(target=target))
    assert (message, hint) == (caught.value.message, caught.value.hint)


# Out of order.


@pytest.mark.parametrize(
    ("policy", "steps", "skipped"),
    [
        (OutOfOrder.REFUSE, ["2", "4"], []),
        (OutOfOrder.APPLY, ["2", "4"], []),
        (OutOfOrder.SKIP, ["4"], ["2"]),
    ],
)
def test_version_below_the_latest_is_out_of_order(
    policy: OutOfOrder, steps: list[str], skipped: list[str]
) -> None:
    """An out-of-order version is planned, or skipped if the policy says so, and always reported."""
    plan = plan_of(
        dict.fromkeys(["1", "2", "3", "4"], SELECT),
        make_row("1"),
        make_row("3"),
        policy=Policy(out_of_order=policy),
    )
    assert steps == ids(plan.steps)
    assert ["2"] == [migration.migration_id for migration in plan.out_of_order]
    assert skipped == [one.migration.migration_id for one in plan.skipped]
    assert {SkipReason.OUT_OF_ORDER} >= {one.reason for one in plan.skipped}


def test_out_of_order_is_measured_by_the_database() -> None:
    """A version below one that exists only in the database is out of order."""
    plan = plan_of({"1": SELECT, "2": SELECT}, make_row("1"), make_row("3"))
    assert ["2"] == [migration.migration_id for migration in plan.out_of_order]
    assert ["3"] == [row.migration_id for row in plan.ahead]


def test_skipped_version_is_described() -> None:
    """The report warns of a skipped version."""
    policy = Policy(out_of_order=OutOfOrder.SKIP)
    (skipped,) = plan_of({"1": SELECT, "2": SELECT}, make_row("2"), policy=policy).skipped
    expected = "Migration 1 x is below the latest applied one and was skipped."
    assert expected == skipped.describe()


def test_repeatable_is_never_out_of_order() -> None:
    """A repeatable has no version, so it is never out of order."""
    plan = plan_of({"1": SELECT, "R__v": SELECT}, make_row("1"))
    assert () == plan.out_of_order


# Refusals.


def test_plan_in_order_is_not_refused() -> None:
    """Pending versions above the latest, and migrations that are ahead, cause no refusal."""
    plan = plan_of({"1": SELECT, "2": SELECT}, make_row("1"), make_row("R__gone"))
    assert plan.ahead
    assert find_refusal(plan, Policy()) is None


def test_drift_is_refused_by_name() -> None:
    """The refusal describes the first drifted migration and gives the number of the others."""
    plan = plan_of({"1": INDEX, "2": INDEX, "3": INDEX}, make_row("1"), make_row("2"))
    refusal = find_refusal(plan, Policy())
    assert isinstance(refusal, DriftDetected)
    assert refusal.message.startswith("Migration 1 x was edited after it was applied. 1.sql: ")
    assert refusal.message.endswith(" And 1 more.")
    assert refusal.hint == (
        "Restore the file, and put the change in a new migration. If the file is right as it is,"
        ' accept it: lockgate repair --accept 1 --reason "…" --apply.'
    )
    assert {"file": "1.sql", "migration": "1 x"} == refusal.fields


def test_drift_of_one_migration_counts_no_others() -> None:
    """An edit of layout is not counted as further drift."""
    plan = plan_of({"1": INDEX, "2": "select 1"}, make_row("1"), make_row("2"))
    refusal = find_refusal(plan, Policy())
    assert refusal is not None
    assert " more. " not in refusal.message


def test_layout_edit_is_not_refused() -> None:
    """An edit of layout is reported as drift and does not refuse the run."""
    plan = plan_of({"1": "-- why\nselect 1"}, make_row("1"))
    assert 1 == len(plan.drift)
    assert find_refusal(plan, Policy()) is None


@pytest.mark.parametrize("policy", [OutOfOrder.APPLY, OutOfOrder.SKIP])
def test_out_of_order_is_not_refused_where_it_is_allowed(policy: OutOfOrder) -> None:
    """The policies ``apply`` and ``skip`` do not refuse an out-of-order version."""
    chosen = Policy(out_of_order=policy)
    plan = plan_of({"1": SELECT, "2": SELECT}, make_row("2"), policy=chosen)
    assert find_refusal(plan, chosen) is None


def test_out_of_order_is_refused_by_name() -> None:
    """The refusal names the file and both remedies."""
    refusal = find_refusal(plan_of({"1": SELECT, "2": SELECT}, make_row("2")), Policy())
    assert isinstance(refusal, OutOfOrderFound)
    assert (
        "Migration 1 x is pending, but a later version was applied already. 1.sql."
    ) == refusal.message
    assert (
        "Give the file a version above the latest applied one, or set LOCKGATE_OUT_OF_ORDER=apply."
    ) == refusal.hint


def test_drift_is_refused_before_order() -> None:
    """Drift takes precedence over an out-of-order version."""
    plan = plan_of({"1": SELECT, "2": INDEX}, make_row("2"))
    assert isinstance(find_refusal(plan, Policy()), DriftDetected)


def test_pending_script_that_cannot_be_read_is_refused() -> None:
    """An error in a pending script is found before anything runs."""
    with pytest.raises(MigrationFileInvalid, match=r"^1\.sql:1:8: unterminated quoted string"):
        plan_of({"1": "SELECT 'x"})


def test_down_script_that_cannot_be_read_is_a_warning() -> None:
    """An invalid down script is a warning, because only an undo needs it."""
    catalog = make_catalog([make_migration("1", SELECT, "SELECT 'x")], "migrations")
    plan = make_plan(catalog, EMPTY_HISTORY, Policy())
    assert ["1"] == ids(plan.steps)
    assert (
        "Cannot undo 1 x: its down script cannot be run: 1.sql:1:8: unterminated quoted string.",
    ) == plan.warnings


def test_applied_script_is_not_read_again() -> None:
    """A script applied by an earlier release is not checked against the current rules."""
    mixed = f"CREATE TABLE t (); {INDEX}"
    assert not plan_of({"1": mixed}, make_row("1", mixed)).has_pending


# Segments.


@pytest.mark.parametrize(
    ("atomicity", "is_fresh", "expected"),
    [
        (Atomicity.AUTO, True, ["shared:1+2+3"]),
        (Atomicity.AUTO, False, ["shared:1", "shared:2", "shared:3"]),
        (Atomicity.RUN, True, ["shared:1+2+3"]),
        (Atomicity.RUN, False, ["shared:1+2+3"]),
        (Atomicity.MIGRATION, True, ["shared:1", "shared:2", "shared:3"]),
        (Atomicity.MIGRATION, False, ["shared:1", "shared:2", "shared:3"]),
    ],
)
def test_atomicity_decides_what_shares_a_transaction(
    *, atomicity: Atomicity, is_fresh: bool, expected: list[str]
) -> None:
    """By default, migrations share a transaction only on a fresh database."""
    policy = Policy(atomicity=atomicity, is_fresh=is_fresh)
    plan = plan_of({"1": SELECT, "2": SELECT, "3": SELECT}, policy=policy)
    assert expected == shape(plan.segments)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([SELECT, INDEX, SELECT, SELECT], ["shared:1", "statements:2", "shared:3+4"]),
        ([INDEX, INDEX], ["statements:1", "statements:2"]),
        ([SELECT, OWN, SELECT], ["shared:1", "own_transaction:2", "shared:3"]),
        ([SELECT, ENUM, SELECT], ["shared:1+2", "shared:3"]),
        ([ENUM, ENUM, SELECT], ["shared:1", "shared:2", "shared:3"]),
        ([ENUM, INDEX], ["shared:1", "statements:2"]),
        ([SELECT, ENUM], ["shared:1+2"]),
        ([], []),
    ],
)
def test_segment_ends_at_what_cannot_share(texts: list[str], expected: list[str]) -> None:
    """A statement that forbids a transaction, an own transaction and a new enum value end a segment."""
    files = {str(number): text for number, text in enumerate(texts, 1)}
    plan = plan_of(files, policy=Policy(atomicity=Atomicity.RUN))
    assert expected == shape(plan.segments)


def test_segment_has_the_reason_why_it_is_alone() -> None:
    """The plan shows the reason why a segment runs alone; a shared segment has none."""
    plan = plan_of({"1": SELECT, "2": INDEX, "3": OWN}, policy=Policy(is_fresh=True))
    assert [
        None,
        "CREATE INDEX CONCURRENTLY cannot run inside a transaction block",
        "its own BEGIN and COMMIT",
    ] == [segment.reason for segment in plan.segments]


def test_run_that_fits_the_lock_table_is_one_segment() -> None:
    """A run within the limit of statements is one segment, whatever its number of migrations."""
    steps = [make_step(str(number)) for number in range(1, 351)]
    policy = Policy(is_fresh=True, most_statements=350)
    assert [350] == [len(segment.steps) for segment in make_segments(steps, policy)]


def test_run_beyond_the_lock_table_is_segments_of_a_hundred() -> None:
    """A run with one statement above the limit is divided into segments of a hundred migrations."""
    steps = [make_step(str(number)) for number in range(1, 351)]
    policy = Policy(is_fresh=True, most_statements=349)
    assert [100, 100, 100, 50] == [len(segment.steps) for segment in make_segments(steps, policy)]


def test_segment_is_bounded_by_its_statements() -> None:
    """A segment is limited by its number of statements; a migration above the limit has its own."""
    sizes = [3, 4, 3, 11, 1, 9, 1]
    steps = [make_step(str(number), size) for number, size in enumerate(sizes, 1)]
    policy = Policy(is_fresh=True, most_statements=10)
    assert ["shared:1+2+3", "shared:4", "shared:5+6", "shared:7"] == shape(
        make_segments(steps, policy)
    )


@pytest.mark.parametrize(
    ("count", "expected"),
    [(2, [1, 1]), (100, [1] * 100), (101, [100, 1]), (250, [100, 100, 50])],
)
def test_segment_that_was_too_much_is_split(count: int, expected: list[int]) -> None:
    """A segment is split into hundreds, then into single migrations, and the plan gives the reason."""
    segment = Segment(Mode.SHARED, tuple(make_step(str(n)) for n in range(count)))
    parts = split_segment(segment)
    assert expected == [len(part.steps) for part in parts]
    assert {(Mode.SHARED, "split for the server")} == {(p.mode, p.reason) for p in parts}


# Properties.

STEPS = st.lists(
    st.builds(
        lambda kind, size: make_step(
            "1",
            size,
            mode=Mode.SHARED if kind == "enum" else Mode(kind),
            adds_enum_value=kind == "enum",
        ),
        st.sampled_from([*TEXTS, "shared", "shared", "shared", "enum"]),
        st.integers(min_value=0, max_value=6),
    ),
    max_size=40,
)
POLICIES = st.builds(
    Policy,
    atomicity=st.sampled_from([*Atomicity, Atomicity.RUN]),
    is_fresh=st.booleans(),
    most_statements=st.integers(0, 12) | st.integers(20, 60),
)


@must_reach(several_segments=15, shared=8)
@settings(max_examples=300)
@given(STEPS, POLICIES)
def test_segments_keep_every_step_in_order(steps: list[Step], policy: Policy) -> None:
    """The segments, concatenated, are the steps; no segment is empty."""
    segments = make_segments(steps, policy)
    reached("several_segments", when=len(segments) > 1)
    reached("shared", when=any(len(segment.steps) > 1 for segment in segments))
    assert steps == [step for segment in segments for step in segment.steps]
    assert all(segment.steps for segment in segments)


@must_reach(several_steps=8, enum_value_at_the_end=4)
@settings(max_examples=300)
@given(STEPS, POLICIES)
def test_segments_contain_steps_that_can_share(steps: list[Step], policy: Policy) -> None:
    """A segment has one mode, an enum value only at its end, and no more statements than the limit."""
    for segment in make_segments(steps, policy):
        assert {segment.mode} == {step.analysis.mode for step in segment.steps}
        if len(segment.steps) > 1:
            reached("several_steps")
            reached("enum_value_at_the_end", when=segment.steps[-1].analysis.adds_enum_value)
            assert Mode.SHARED == segment.mode
            assert Atomicity.MIGRATION != policy.atomicity
            assert not any(step.analysis.adds_enum_value for step in segment.steps[:-1])
            held = sum(len(step.analysis.statements) for step in segment.steps)
            assert held <= policy.most_statements


@must_reach(neighbours=10, neighbours_too_large=4)
@settings(max_examples=300)
@given(STEPS, POLICIES)
def test_segments_are_as_few_as_possible(steps: list[Step], policy: Policy) -> None:
    """If migrations may share, two adjacent segments cannot be merged."""
    total = sum(len(step.analysis.statements) for step in steps)
    may_share = policy.atomicity is Atomicity.RUN or (
        policy.atomicity is Atomicity.AUTO and policy.is_fresh
    )
    for before, after in pairwise(make_segments(steps, policy)):
        if not may_share or {before.mode, after.mode} != {Mode.SHARED}:
            continue
        held = sum(len(step.analysis.statements) for step in before.steps)
        next_size = len(after.steps[0].analysis.statements)
        reached("neighbours")
        reached("neighbours_too_large", when=not before.steps[-1].analysis.adds_enum_value)
        assert before.steps[-1].analysis.adds_enum_value or (
            total > policy.most_statements and held + next_size > policy.most_statements
        )


@must_reach(hundreds=15, single=3)
@given(st.integers(min_value=2, max_value=450))
def test_split_segments_keep_every_step_in_order(count: int) -> None:
    """A split keeps all steps, and each part is smaller than the whole."""
    steps = tuple(make_step("1") for _ in range(count))
    parts = split_segment(Segment(Mode.SHARED, steps))
    reached("hundreds", when=count > SEGMENT_MIGRATIONS)
    reached("single", when=count <= SEGMENT_MIGRATIONS)
    assert steps == tuple(step for part in parts for step in part.steps)
    assert max(len(part.steps) for part in parts) < count
    assert max(len(part.steps) for part in parts) <= SEGMENT_MIGRATIONS


@must_reach(pending=15, applied=5, out_of_order=5)
@given(
    st.dictionaries(st.integers(1, 30).map(str), KINDS, min_size=1),
    st.sets(st.integers(1, 30).map(str)),
    POLICIES,
)
def test_plan_is_what_is_pending_in_order(
    files: dict[str, str], applied: set[str], policy: Policy
) -> None:
    """Every file that was not applied is a step, once and in numerical order; nothing else is."""
    texts = {one: TEXTS[kind] for one, kind in files.items()}
    rows = [make_row(one, texts.get(one, SELECT)) for one in sorted(applied)]
    plan = plan_of(texts, *rows, policy=policy)
    assert sorted(set(files) - applied, key=int) == ids(plan.steps)
    reached("pending", when=set(files) - applied)
    reached("applied", when=set(files) & applied)
    early = [one for one in ids(plan.steps) if applied and int(one) < max(map(int, applied))]
    reached("out_of_order", when=early)
    assert early == [migration.migration_id for migration in plan.out_of_order]
