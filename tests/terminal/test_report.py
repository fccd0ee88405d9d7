"""Show reports on the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lockgate.core.backup import BackupInfo, BackupKind, BackupSource, SnapshotInfo
from lockgate.core.request import Action
from lockgate.report.report import (
    Blocker,
    DatabaseInfo,
    DriftEntry,
    Entry,
    ErrorInfo,
    HolderInfo,
    LockInfo,
    Report,
    SegmentEntry,
    Status,
)
from lockgate.terminal.line import measure
from lockgate.terminal.report import describe_report
from lockgate.terminal.report_headline import describe_headline

AT = datetime(2026, 11, 22, 10, 2, 11, tzinfo=UTC)


def make(status: Status, action: Action = Action.UP, **fields: Any) -> Report:
    """Return a report of a run against one database."""
    database = DatabaseInfo("db.example.com", 5432, "shop", "18.6")
    return Report(status, action, "0123456789abcdef", "terminal", database, **fields)


def say(report: Report, width: int | None = None, **options: Any) -> str:
    """Return a report as text."""
    lines = describe_report(report.to_json(), width, **options)
    return "\n".join("".join(span.text for span in line) for line in lines)


def entry(version: str | None, name: str, **fields: Any) -> Entry:
    """Return an entry of a versioned or repeatable migration."""
    return Entry(version, name, "repeatable" if version is None else "versioned", **fields)


FAILED = make(
    Status.FAILED,
    from_version="0011",
    to_version="0011",
    duration_ms=1_900,
    pending=(entry("0012", "add_email"),),
    error=ErrorInfo(
        code="migration-failed",
        message='Statement 3 of migration 0012 add_email failed: column "email" already exists'
        " (42701). It was rolled back; the schema is as it was.",
        type="MigrationFailed",
        hint="Fix the file and invoke again.",
        sqlstate="42701",
        file="0012_add_email.sql",
        line=14,
        column=25,
        excerpt="ALTER TABLE account ADD email text;\n                        ^",
        blockers=(Blocker(41, "ada", "psql", "idle in transaction", 75.0, "SELECT ?"),),
    ),
)


def test_place_in_a_stored_script_is_in_no_folder() -> None:
    """The path of a down script that exists only in the history has no folder."""
    error = ErrorInfo("x", "It failed.", "MigrationFailed", file="2 (down script in the history)")
    assert "\n  2 (down script in the history)" in say(
        make(Status.FAILED, error=error), folder="db"
    )


def test_failure_is_shown_from_cause_to_hint() -> None:
    """A failure shows message, place, source with caret, blocking sessions and hint in this order."""
    expected = """\
✗ failed after 1.9 s, at 0011
  db.example.com:5432/shop, PostgreSQL 18.6, run 0123456789abcdef

  Error  migration-failed 42701
  Statement 3 of migration 0012 add_email failed: column "email" already exists
  (42701). It was rolled back; the schema is as it was.

  db/0012_add_email.sql:14:25
  14 │ ALTER TABLE account ADD email text;
     │                         ^

  In the way
    pid 41  ada  psql  idle in transaction  1 min 15 s  SELECT ?

  Hint  Fix the file and invoke again.

  Still pending
    0012  add_email"""
    assert expected == say(FAILED, 80, folder="db/")


def test_failed_down_lists_migrations_still_to_undo() -> None:
    """Applied migrations that a down did not undo are not called pending."""
    left = (entry("0012", "add_email", reason="reverted"),)
    shown = say(make(Status.REFUSED, Action.DOWN, pending=left))
    assert "\n  Still to undo\n    0012  add_email" in shown
    assert "Still pending" not in shown


def test_success_lists_what_was_applied_and_not_yet_seen() -> None:
    """Applied migrations that the progress has shown on the same terminal are not repeated."""
    applied = (
        entry("1", "create_account", duration_ms=12),
        entry(None, "balance", duration_ms=1_500),
    )
    report = make(Status.APPLIED, to_version="1", duration_ms=1_612, applied=applied)

    expected = """\
✓ applied 2 migrations in 1.6 s, empty → 1
  db.example.com:5432/shop, PostgreSQL 18.6, run 0123456789abcdef

  Applied
    1           create_account  12 ms
    repeatable  balance         1.5 s"""
    assert expected == say(report)
    shown = say(report, shown=frozenset({"1", "R__balance"}))
    assert expected.partition("\n\n")[0] == shown


def test_plan_shows_shared_transactions_and_statements_without_one() -> None:
    """A plan numbers its transactions and shows the reason for each separate migration."""
    report = make(
        Status.PLANNED,
        Action.PLAN,
        from_version="1",
        to_version="1",
        pending=(
            entry("2", "create_orders", reason="pending"),
            entry("3", "index_orders", reason="pending"),
            entry(None, "balance", reason="changed"),
        ),
        segments=(
            SegmentEntry("shared", ("2",)),
            SegmentEntry("statements", ("3",), "CREATE INDEX CONCURRENTLY"),
            SegmentEntry("own_transaction", ("R__balance",), "its own BEGIN and COMMIT"),
        ),
        next_action="Run up to apply what is pending.",
    )

    expected = """\
• planned 3 migrations, at 1
  db.example.com:5432/shop, PostgreSQL 18.6, run 0123456789abcdef

  Pending
    2           create_orders  transaction 1
    3           index_orders   no transaction: CREATE INDEX CONCURRENTLY
    repeatable  balance        changed; transaction 2: its own BEGIN and COMMIT

  Next  Run up to apply what is pending."""
    assert expected == say(report)


def test_plan_shows_what_is_undone_before_what_is_applied() -> None:
    """Undos have their own section; a migration that is undone and applied again is in both."""
    report = make(
        Status.PLANNED,
        Action.PLAN,
        from_version="1",
        to_version="1",
        pending=(
            entry("2", "index_orders", reason="reverted"),
            entry("2", "index_orders", reason="pending"),
            entry("3", "create_orders", reason="pending"),
        ),
        segments=(
            SegmentEntry("statements", ("2",), "transaction:false"),
            SegmentEntry("shared", ("2", "3")),
        ),
        next_action="Run up to do what is listed.",
    )

    expected = """\
• planned 1 migration to undo and 2 migrations to apply, at 1
  db.example.com:5432/shop, PostgreSQL 18.6, run 0123456789abcdef

  To undo
    2  index_orders  reverted; no transaction: transaction:false

  Pending
    2  index_orders   transaction 1
    3  create_orders  transaction 1

  Next  Run up to do what is listed."""
    assert expected == say(report)
    shown = say(make(Status.PLANNED, Action.STATUS, pending=report.pending))
    assert "• 1 migration to undo and 2 migrations pending" in shown
    assert "\n  To undo\n    2  index_orders\n\n  Pending\n    2  index_orders\n" in shown


def test_status_shows_history_drift_newer_versions_and_lock_holder() -> None:
    """Status shows drift, history with UTC times, partial migrations, ahead ones and the lock."""
    report = make(
        Status.UP_TO_DATE,
        Action.STATUS,
        from_version="2",
        to_version="2",
        drift=(
            DriftEntry("1", "a", "1_a.sql", "up", "sha256:1", "sha256:2", "error"),
            DriftEntry("2", "b", "2_b.sql", "up", "sha256:1", "sha256:2", "warning"),
            DriftEntry("3", "c", None, "up", "sha256:1", None, "error"),
            DriftEntry("4", "d", "4_d.sql", "down", "sha256:1", "sha256:2", "warning"),
            DriftEntry("5", "e", "5_e.sql", "down", "sha256:1", None, "warning"),
        ),
        history=(
            entry("1", "a", applied_at=AT, duration_ms=3, state="applied"),
            entry("2", "b", applied_at=AT, duration_ms=84, state="partial"),
        ),
        ahead=(entry("9", "z", duration_ms=1),),
        lock=LockInfo(0, None, HolderInfo("feed", "cloudformation", AT, AT, "2#4")),
        warnings=("Something\nto act on.",),
    )

    expected = """\
! up to date, at 2
  db.example.com:5432/shop, PostgreSQL 18.6, run 0123456789abcdef

  Drift
    1  1_a.sql  edited
    2  2_b.sql  different text
    3  c        file is missing
    4  4_d.sql  down script edited
    5  5_e.sql  down script removed

  History
    1  a  2026-11-22 10:02:11Z   3 ms
    2  b  2026-11-22 10:02:11Z  84 ms  partial

  Only in the database, from a newer package
    9  z  1 ms

  Lock  Run feed (cloudformation) has held it since 2026-11-22 10:02:11Z; its lease ends at \
2026-11-22 10:02:11Z. It is in migration 2, statement 4.

  Warning  Something
           to act on."""
    assert expected == say(report)


CLUSTER = BackupSource("cluster", "main", "arn:aws:rds:…:main", "aurora-postgresql")
SNAPSHOT = SnapshotInfo("lockgate-feed", "arn:aws:rds:…:lockgate-feed", "available", AT, "feed")
RESTORE = (f"aws rds restore-db-cluster-from-snapshot {'--option value ' * 9}--region r",)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (
            BackupInfo(BackupKind.SNAPSHOT, CLUSTER, AT, SNAPSHOT, RESTORE),
            "Snapshot lockgate-feed of cluster main, available.",
        ),
        (
            BackupInfo(BackupKind.POINT_IN_TIME, CLUSTER, AT, None, RESTORE),
            "The cluster main can be restored to 2026-11-22 10:02:11Z.",
        ),
        (
            BackupInfo(BackupKind.POINT_IN_TIME, CLUSTER, None, None, ()),
            "The cluster main cannot be restored to a point in time.",
        ),
    ],
)
def test_backup_is_one_line_and_after_a_failure_its_commands(
    info: BackupInfo, expected: str
) -> None:
    """The backup is one line; after a failure, restore commands follow without line breaks."""
    error = ErrorInfo("migration-failed", "It failed.", "MigrationFailed")
    done = say(make(Status.APPLIED, backup=info.to_value()), 80)
    failed = say(make(Status.FAILED, backup=info.to_value(), error=error), 80)

    assert done.endswith(f"\n\n  Backup  {expected}")
    assert failed.endswith("\n".join([expected, *(f"    {command}" for command in info.restore)]))


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (make(Status.UP_TO_DATE), "up to date"),
        (make(Status.UP_TO_DATE, from_version="7", to_version="7"), "up to date, at 7"),
        (make(Status.REFUSED), "refused"),
        (make(Status.APPLIED, Action.UNLOCK), "the lock was released"),
        (make(Status.UP_TO_DATE, Action.UNLOCK), "the lock was free"),
        (make(Status.BUSY, duration_ms=5_000), "busy after 5.0 s"),
        (make(Status.INCOMPLETE, to_version="3"), "incomplete, empty → 3"),
        (
            make(Status.ROLLED_BACK, Action.DOWN, from_version="3", reverted=(entry("3", "c"),)),
            "undid 1 migration in 0 ms, 3 → empty",
        ),
        (
            make(Status.APPLIED, Action.BASELINE, recorded=(entry("1", "a"),), to_version="1"),
            "recorded 1 migration, empty → 1",
        ),
        (
            make(Status.PLANNED, Action.REPAIR, forgotten=(entry("1", "a"),)),
            "would forget 1 migration",
        ),
        (
            make(Status.PLANNED, Action.STATUS, pending=(entry("1", "a"),)),
            "1 migration pending",
        ),
    ],
)
def test_headline_gives_the_outcome_in_a_few_words(report: Report, expected: str) -> None:
    """The headline is the outcome, with duration and versions if there are any."""
    assert expected == describe_headline(report.to_json())


def test_report_without_a_database_has_no_place() -> None:
    """A report without a database shows only the run."""
    assert say(Report(Status.REFUSED, None, "feed")) == "✗ refused\n  run feed"


def test_long_lists_say_what_they_leave_out() -> None:
    """A failed run shows ten pending migrations, and a plan as many as its JSON form."""
    pending = tuple(entry(str(number), "t") for number in range(1_500))

    assert say(make(Status.FAILED, pending=pending)).endswith("9  t\n    … and 1,490 more")
    assert say(make(Status.PLANNED, Action.PLAN, pending=pending)).endswith("… and 500 more")


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("column", [1, 60, 100, 240])
def test_nothing_is_wider_than_the_screen(width: int, column: int) -> None:
    """Long names wrap, and a long source line is cut around its caret."""
    source = "SELECT " + "x" * 240
    error = ErrorInfo(
        code="migration-failed",
        message="word " * 60,
        type="MigrationFailed",
        hint="hint " * 40,
        file="0012_a.sql",
        line=3,
        column=column,
        excerpt=f"{source}\n{' ' * (column - 1)}^",
    )
    name = "a_rather_long_name_of_a_migration_that_is_wider_than_all_of_the_screen"
    report = make(
        Status.FAILED,
        error=error,
        applied=(entry("20261122093000", name, duration_ms=12), entry("2", "日本語" * 12)),
    )

    lines = say(report, width).splitlines()

    assert [] == [line for line in lines if measure(line) > width]
    caret = next(i for i, line in enumerate(lines) if line.endswith("^"))
    pointed = lines[caret - 1][len(lines[caret]) - 1]
    assert pointed == source[column - 1]


@pytest.mark.parametrize("hidden", ["\x1b[31m", "\x07", "\x9b31m", "\u202e", "\u2066", "\x1b]0;x"])
def test_control_characters_never_reach_the_screen(hidden: str) -> None:
    """Names and messages cannot move the cursor, change colours or the direction of the text."""
    said = f"a{hidden}b"
    report = make(
        Status.FAILED,
        error=ErrorInfo(
            "migration-failed", said, "MigrationFailed", hint=said, file=said, detail=said
        ),
        applied=(entry("1", "\x1b[2J"), entry("2", said)),
    )

    text = say(report)

    assert [] == [c for c in text if not c.isprintable() and c != "\n"]
