"""Runs from end to end on a real server: what is applied, recorded, refused and reported."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.engine import act_before_lock
from tests.support.waiting import Background, Gate, is_asleep, wait_until

from lockgate.core.deadline import Deadline
from lockgate.core.request import Action
from lockgate.formats.native import tool as native
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from tests.support.project import Project


TABLE = (
    "-- migrate:up\nCREATE TABLE account (id int PRIMARY KEY);\n"
    "-- migrate:down\nDROP TABLE account;\n"
)
# Time to cancel, record and answer, even on the slowest machine.
RESERVE_MS = 60_000


def versions(entries: tuple[object, ...]) -> list[str | None]:
    """Return the versions in a report's list."""
    return [entry.version for entry in entries]  # type: ignore[attr-defined]


def test_up_on_fresh_database_applies_and_records(project: Project) -> None:
    """A first run applies all migrations in order, repeatables last, and frees the lock."""
    project.write(
        {
            "2_email.sql": "ALTER TABLE account ADD COLUMN email text;",
            "1_account.sql": TABLE,
            "R__mails.sql": "CREATE VIEW mails AS SELECT email FROM account;",
        }
    )
    report = project.run()
    assert Status.APPLIED == report.status
    assert ["1", "2", None] == versions(report.applied)
    assert (None, "2") == (report.from_version, report.to_version)
    assert [("1", "applied"), ("2", "applied"), ("R__mails", "applied")] == project.history()
    assert ["applied"] == project.runs()
    assert project.lock_owner() is None


def test_up_with_nothing_pending_takes_no_lock(project: Project) -> None:
    """A run with nothing pending takes no lock and does not change the token."""
    project.write({"1_account.sql": TABLE})
    project.run()
    report = project.run()
    assert Status.UP_TO_DATE == report.status
    assert report.lock is None
    assert [[1]] == project.database.run("SELECT token FROM lockgate.migration_lock")
    assert ["applied"] == project.runs()


def test_up_stores_the_down_script(project: Project) -> None:
    """The history stores the down script, for packages that no longer have the file."""
    project.write({"1_account.sql": TABLE})
    project.run()
    rows = project.database.run(
        "SELECT down_script, up_checksum, down_checksum FROM lockgate.migration_history"
    )
    script, up_checksum, down_checksum = rows[0]
    assert "\nDROP TABLE account;\n" == script
    assert up_checksum.startswith("sha256:")
    assert down_checksum.startswith("sha256:")


def test_second_up_applies_only_new_migrations(project: Project) -> None:
    """Applied migrations are neither run nor recorded again, including repeatables."""
    files = {"1_account.sql": TABLE, "R__mails.sql": "CREATE VIEW mails AS SELECT id FROM account;"}
    project.write(files)
    project.run()
    before = project.database.run("SELECT * FROM lockgate.migration_history")
    project.write({"2_email.sql": "ALTER TABLE account ADD COLUMN email text;"})
    report = project.run()
    assert Status.APPLIED == report.status, report.error
    assert (["2"], "1", "2") == (versions(report.applied), report.from_version, report.to_version)
    rows = project.database.run("SELECT * FROM lockgate.migration_history ORDER BY token, version")
    assert before == rows[:2]
    assert 3 == len(rows)


def test_files_are_read_once_while_the_server_answers(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are read once, while the server answers, even if one is invalid."""
    sessions: list[list[list[Any]]] = []
    read = native.TOOL.read_folder

    def read_folder(*arguments: Any) -> Any:
        sessions.append(
            project.database.run(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
        )
        return read(*arguments)

    monkeypatch.setattr(native, "TOOL", replace(native.TOOL, read_folder=read_folder))
    project.write({"1_account.sql": TABLE})
    assert Status.APPLIED == project.run().status
    project.write({"no-version.sql": TABLE})
    assert Status.REFUSED == project.run().status
    assert [[[1]], [[1]]] == sessions


def test_second_up_of_a_listed_order_applies_only_new_migrations(project: Project) -> None:
    """For a tool whose versions are names, the known migrations are the beginning of its list."""
    signed = "2026-01-01T12:00:00Z P <p@example.com>"
    plan = "%syntax-version=1.0.0\n%project=shop\n\n"
    project.settings["LOCKGATE_FORMAT"] = "sqitch"
    ids: list[str | None] = []
    for name in ("zebra", "middle", "ant"):
        plan += f"{name} {signed}\n"
        sql = f"CREATE TABLE {name} ();"
        project.write({"sqitch.plan": plan, f"deploy/{name}.sql": sql})
        report = project.run()
        assert Status.APPLIED == report.status, report.error
        before = ids[-1] if ids else None
        ids += versions(report.applied)
        assert (before, ids[-1]) == (report.from_version, report.to_version)
    assert 3 == len(set(ids))
    assert Status.UP_TO_DATE == project.run().status
    project.write({"deploy/zebra.sql": "CREATE TABLE zebra (id int);"})
    assert Status.REFUSED == project.run().status


def test_failing_second_up_reports_the_current_version(project: Project) -> None:
    """A failed run reports the database's version even if the history was not read."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write({"2_bad.sql": "SELECT nonsense;"})
    planned = project.run(Action.PLAN)
    assert (["2"], "1") == (versions(planned.pending), planned.from_version)
    report = project.run()
    assert Status.FAILED == report.status
    assert ("1", "1") == (report.from_version, report.to_version)


def test_failing_migration_leaves_the_schema_unchanged(project: Project) -> None:
    """A migration whose second statement fails leaves the schema unchanged."""
    project.write({"1_account.sql": TABLE})
    project.run()
    before = project.database.dump(without=("lockgate",))
    project.write({"2_bad.sql": "CREATE TABLE a ();\nALTER TABLE nowhere\n  ADD x int;"})
    report = project.run()
    assert before == project.database.dump(without=("lockgate",))
    assert Status.FAILED == report.status
    assert report.error is not None
    assert (
        'Statement 2 of migration 2 bad failed: relation "nowhere" does not exist (42P01).'
        " 2_bad.sql:2:1. It was rolled back; the schema is as it was."
    ) == report.error.message
    assert ["applied", "failed"] == project.runs()
    assert project.lock_owner() is None


def test_error_position_is_shown_with_caret(project: Project) -> None:
    """An error with a position shows line, column and text of the file."""
    project.write(
        {
            "1_account.sql": TABLE,
            "2_bad.sql": "-- migrate:up\nSELECT 1;\n\n  SELECT nothing FROM account;\n",
        }
    )
    error = project.run().error
    assert error is not None
    assert ("2_bad.sql", 4, 10, 2) == (error.file, error.line, error.column, error.statement)
    assert "  SELECT nothing FROM account;\n         ^" == error.excerpt
    assert "42703" == error.sqlstate


@pytest.mark.parametrize("atomicity", ["auto", "run", "migration"])
def test_failing_first_run_by_atomicity(project: Project, atomicity: str) -> None:
    """The atomicity decides what remains of a failed first run."""
    project.write({"1_account.sql": TABLE, "2_bad.sql": "SELECT nonsense;"})
    report = project.run(LOCKGATE_ATOMICITY=atomicity, LOCKGATE_ROLLBACK="off")
    kept = [("1", "applied")] if atomicity == "migration" else []
    assert Status.FAILED == report.status
    assert kept == project.history()


def test_five_runners_at_once_apply_once(project: Project) -> None:
    """Of five simultaneous first runs, one applies, the others find nothing to do, and none fails."""
    project.write(
        {
            "1_account.sql": TABLE,
            "2_slow.sql": "SELECT pg_sleep(0.3);",
            "3_once.sql": "INSERT INTO account VALUES (1);",
        }
    )
    reports = project.run_at_once(5)
    assert [Status.APPLIED] + [Status.UP_TO_DATE] * 4 == sorted(report.status for report in reports)
    assert [[1]] == project.database.run("SELECT count(*) FROM account")
    assert project.lock_owner() is None


def test_five_runners_with_work_in_a_used_database(project: Project) -> None:
    """Of five simultaneous deploys on an existing history, one applies the new migration."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write({"2_once.sql": "INSERT INTO account VALUES (1);"})
    reports = project.run_at_once(5)
    assert [Status.APPLIED] + [Status.UP_TO_DATE] * 4 == sorted(report.status for report in reports)


def test_non_transactional_statement_runs_alone(project: Project) -> None:
    """CREATE INDEX CONCURRENTLY runs alone without an option, between two shared segments."""
    project.write(
        {
            "1_account.sql": TABLE,
            "2_index.sql": "CREATE INDEX CONCURRENTLY account_id ON account (id);",
            "3_email.sql": "ALTER TABLE account ADD COLUMN email text;",
        }
    )
    report = project.run()
    assert Status.APPLIED == report.status
    assert ["shared", "statements", "shared"] == [s.mode for s in report.segments]
    assert [[True]] == project.database.run(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'account_id'::regclass"
    )


def test_enum_value_is_committed_before_its_use(project: Project) -> None:
    """A new enum value can be used by the next migration of a first run."""
    project.write(
        {
            "1_type.sql": "CREATE TYPE mood AS ENUM ('good'); CREATE TABLE t (m mood);",
            "2_value.sql": "ALTER TYPE mood ADD VALUE 'bad';",
            "3_use.sql": "INSERT INTO t VALUES ('bad');",
        }
    )
    report = project.run(LOCKGATE_ATOMICITY="run")
    assert Status.APPLIED == report.status
    assert [("1", "2"), ("3",)] == [s.migrations for s in report.segments]


def test_script_with_own_transaction_keeps_it(project: Project) -> None:
    """A script's own transaction also contains the history row."""
    project.write({"1_own.sql": "BEGIN;\nCREATE TABLE t (id int);\nCOMMIT;\n"})
    report = project.run()
    assert Status.APPLIED == report.status
    assert ["own_transaction"] == [s.mode for s in report.segments]


def test_script_with_own_transaction_fails_whole(project: Project) -> None:
    """A failure in a script's own transaction leaves neither its work nor a history row."""
    project.write({"1_own.sql": "BEGIN;\nCREATE TABLE t (id int);\nSELECT 1/0;\nCOMMIT;\n"})
    report = project.run()
    assert Status.FAILED == report.status
    assert [] == project.history()
    assert [[None]] == project.database.run("SELECT to_regclass('t')")


def test_statements_without_transaction_resume_where_they_stopped(project: Project) -> None:
    """After a failure with transaction:false, the next run resumes after the applied statements."""
    script = (
        "-- migrate:up transaction:false\nCREATE TABLE t (id int);\n"
        "CREATE INDEX CONCURRENTLY t_id ON t (id);\nINSERT INTO t VALUES (1/{});\n"
    )
    project.write({"1_steps.sql": script.format(0)})
    failed = project.run()
    assert Status.FAILED == failed.status
    assert [("1", "partial")] == project.history()
    project.write({"1_steps.sql": script.format(1)})
    assert Status.APPLIED == project.run().status
    assert [("1", "applied")] == project.history()
    assert [[1]] == project.database.run("SELECT count(*) FROM t")


def test_python_migration_shares_the_transaction(project: Project) -> None:
    """A Python migration runs in the run's transaction and is rolled back with it."""
    project.write(
        {
            "1_account.sql": TABLE,
            "2_fill.py": (
                "import sqlalchemy as sa\n\n"
                "def up(connection):\n"
                "    connection.execute(sa.text('INSERT INTO account VALUES (:id)'), {'id': 7})\n"
            ),
            "3_bad.sql": "SELECT nonsense;",
        }
    )
    assert Status.FAILED == project.run().status
    assert [] == project.history()
    project.remove("3_bad.sql")
    assert Status.APPLIED == project.run().status
    assert [[7]] == project.database.run("SELECT id FROM account")


@pytest.mark.parametrize("call", ["commit", "rollback"])
def test_python_migration_cannot_end_the_transaction(project: Project, call: str) -> None:
    """A Python migration that commits or rolls back fails, and its work is rolled back."""
    project.write(
        {
            "1_account.sql": TABLE,
            "2_bad.py": (
                "def up(connection):\n"
                "    connection.exec_driver_sql('INSERT INTO account VALUES (1)')\n"
                f"    connection.{call}()\n"
            ),
        }
    )
    report = project.run()
    assert Status.FAILED == report.status
    assert report.error is not None
    assert f"the migration called {call}" in report.error.message
    assert ("2_bad.py", 3) == (report.error.file, report.error.line)
    assert [] == project.history()


def test_python_migration_outside_transaction(project: Project) -> None:
    """With ``transaction = False``, a Python migration gets a connection that commits each statement."""
    project.write(
        {
            "1_account.sql": TABLE,
            "2_index.py": (
                "transaction = False\n\n"
                "def up(connection):\n"
                "    connection.exec_driver_sql('CREATE INDEX CONCURRENTLY i ON account (id)')\n"
            ),
        }
    )
    assert Status.APPLIED == project.run().status
    assert [("1", "applied"), ("2", "applied")] == project.history()


def test_python_error_shows_no_parameters(project: Project) -> None:
    """The report of a failed Python migration contains no parameter values."""
    project.write(
        {
            "1_account.sql": TABLE,
            "2_bad.py": (
                "import sqlalchemy as sa\n\ndef up(connection):\n"
                "    for _ in range(2):\n"
                "        connection.execute(sa.text('INSERT INTO account VALUES (:i)'), {'i': 42424})\n"
            ),
        }
    )
    report = project.run()
    assert report.error is not None
    assert "23505" == report.error.sqlstate
    assert 5 == report.error.line
    assert "42424" not in report.error.message


def test_copy_data_reaches_the_server(project: Project) -> None:
    """COPY data in a dump is sent, and the statements after it run."""
    project.write(
        {
            "1_dump.sql": (
                "\\restrict abc\nSET search_path = '';\nCREATE TABLE public.t (a int, b text);\n"
                "COPY public.t (a, b) FROM stdin;\n1\tone; two\n2\t\\N\n\\.\n\n"
                "COPY public.t FROM stdin;\n3\tthree\n\\.\n"
                "ALTER TABLE public.t ADD PRIMARY KEY (a);\n\\unrestrict abc\n"
            ),
            "2_more.sql": "INSERT INTO t VALUES (4, 'found by the usual search_path');",
        }
    )
    assert Status.APPLIED == project.run().status
    rows = project.database.run("SELECT a, b FROM t ORDER BY a")
    assert [[1, "one; two"], [2, None], [3, "three"]] == rows[:3]


def test_session_state_does_not_leak(project: Project) -> None:
    """Session settings of one migration do not affect the next."""
    project.write(
        {
            "1_set.sql": "SET search_path = pg_catalog; SET TIME ZONE 'Asia/Tokyo';",
            "2_table.sql": (
                "CREATE TABLE t AS SELECT current_setting('search_path') AS path,"
                " current_setting('TimeZone') AS zone;"
            ),
        }
    )
    expected = project.database.run(
        "SELECT current_setting('search_path'), current_setting('TimeZone')"
    )
    assert Status.APPLIED == project.run().status
    assert expected == project.database.run("SELECT path, zone FROM public.t")


def test_verbatim_sql_is_not_interpreted(project: Project) -> None:
    """Colons, percent signs, question marks and dollars are sent unchanged."""
    text = "'%s :name ? ${x} $1 100% {\"k\":true}'"
    project.write({"1_text.sql": f"CREATE TABLE t AS SELECT {text} AS a;"})
    assert Status.APPLIED == project.run().status
    assert [['%s :name ? ${x} $1 100% {"k":true}']] == project.database.run("SELECT a FROM t")


def test_edited_migration_is_drift(project: Project) -> None:
    """An edited applied file refuses the run before anything is changed."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write({"1_account.sql": TABLE.replace("int", "bigint"), "2_more.sql": "SELECT 1;"})
    report = project.run()
    assert Status.REFUSED == report.status
    assert report.error is not None
    assert ("drift-detected", "DriftDetected") == (report.error.code, report.error.type)
    assert report.error.message.startswith(
        "Migration 1 account was edited after it was applied. 1_account.sql: history has sha256:"
    )
    assert report.error.message.endswith("Nothing was changed.")
    assert [("1", "applied")] == project.history()


def test_layout_edit_is_a_warning(project: Project) -> None:
    """An edit of comments or layout in an applied file is a warning."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write(
        {"1_account.sql": TABLE.replace("CREATE", "-- why\n create"), "2_m.sql": "SELECT 1"}
    )
    report = project.run()
    assert Status.APPLIED == report.status
    assert 1 == len(report.warnings)
    assert "edited in layout only" in report.warnings[0]


def test_missing_migration_is_drift(project: Project) -> None:
    """A missing file below the latest version refuses the run."""
    project.write({"1_account.sql": TABLE, "2_more.sql": "SELECT 1;"})
    project.run()
    project.remove("1_account.sql")
    report = project.run()
    assert Status.REFUSED == report.status
    assert report.error is not None
    assert "was applied, and its file is missing" in report.error.message


def test_version_without_a_file_is_ahead(project: Project) -> None:
    """A version that only the database knows is reported as ahead and is not an error."""
    project.write({"1_account.sql": TABLE, "2_more.sql": "SELECT 1;"})
    project.run()
    project.remove("2_more.sql")
    report = project.run()
    assert Status.UP_TO_DATE == report.status
    assert ["2"] == versions(report.ahead)


@pytest.mark.parametrize(
    ("policy", "status", "history"),
    [
        ("refuse", Status.REFUSED, ["1", "3"]),
        ("apply", Status.APPLIED, ["1", "2", "3"]),
        ("skip", Status.UP_TO_DATE, ["1", "3"]),
    ],
)
def test_out_of_order_by_policy(
    project: Project, policy: str, status: Status, history: list[str]
) -> None:
    """The policy decides whether a version below the latest is refused, applied or skipped."""
    project.write({"1_a.sql": "SELECT 1;", "3_c.sql": "SELECT 3;"})
    project.run()
    project.write({"2_b.sql": "SELECT 2;"})
    report = project.run(LOCKGATE_OUT_OF_ORDER=policy)
    assert status == report.status
    assert history == [row[0] for row in project.history()]


def test_target_stops_before_later_versions(project: Project) -> None:
    """With a target, later versions and repeatables stay pending."""
    project.write({"1_a.sql": "SELECT 1;", "2_b.sql": "SELECT 2;", "R__c.sql": "SELECT 3;"})
    assert ["1"] == versions(project.run(target="1").applied)
    assert ["2", None] == versions(project.run().applied)


def test_unknown_target_is_refused(project: Project) -> None:
    """A target that no file has is refused by name."""
    project.write({"1_a.sql": "SELECT 1;"})
    report = project.run(target="9")
    assert Status.REFUSED == report.status
    assert report.error is not None
    assert "The target 9 is not a version in" in report.error.message


def test_repeatable_runs_again_when_changed(project: Project) -> None:
    """A repeatable migration runs again only if its text changed."""
    project.write({"R__v.sql": "CREATE OR REPLACE VIEW v AS SELECT 1 AS a;"})
    project.run()
    assert Status.UP_TO_DATE == project.run().status
    project.write({"R__v.sql": "CREATE OR REPLACE VIEW v AS SELECT 2 AS a;"})
    assert Status.APPLIED == project.run().status
    assert [[2]] == project.database.run("SELECT a FROM v")


@pytest.mark.parametrize("action", [Action.PLAN, Action.STATUS, Action.VALIDATE])
def test_reading_actions_change_nothing(project: Project, action: Action) -> None:
    """Read-only actions create nothing in the database, not even Lockgate's tables."""
    project.write({"1_account.sql": TABLE})
    report = project.run(action)
    assert Status.PLANNED == report.status
    assert ["1"] == versions(report.pending)
    assert [[None]] == project.database.run("SELECT to_regnamespace('lockgate')")


@pytest.mark.parametrize("action", [Action.PLAN, Action.VALIDATE])
def test_plan_and_validate_refuse_drift(project: Project, action: Action) -> None:
    """Plan and validate refuse drift; status does not."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write({"1_account.sql": "SELECT 1;"})
    assert Status.REFUSED == project.run(action).status
    assert Status.UP_TO_DATE == project.run(Action.STATUS).status


@pytest.mark.parametrize(("pending", "status"), [(0, Status.UP_TO_DATE), (1, Status.PLANNED)])
def test_status_with_drift_leads_on_as_up_does(
    project: Project, pending: int, status: Status
) -> None:
    """Where up would be refused, the next step of status is the hint of up, not up itself."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write(
        {"1_account.sql": "SELECT 1;", **{f"{n}_more.sql": "" for n in range(2, 2 + pending)}}
    )
    refused, report = project.run(), project.run(Action.STATUS)
    assert refused.error is not None
    assert (status, None) == (report.status, report.error)
    assert refused.error.hint == report.next_action
    assert "--accept 1 " in str(report.next_action)
    assert report.warnings[0].startswith("An up would be refused: Migration 1 account was edited")


def test_status_below_the_latest_version_leads_on_as_up_does(project: Project) -> None:
    """A pending migration that up refuses as out of order is not one to run up for."""
    project.write({"2_account.sql": TABLE})
    project.run()
    project.write({"1_more.sql": "SELECT 1;"})
    report = project.run(Action.STATUS)
    assert Status.PLANNED == report.status
    assert str(report.next_action).startswith("Give the file a version above the latest")


def test_status_lists_history(project: Project) -> None:
    """Status lists the applied and the pending migrations."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write({"2_more.sql": "SELECT 1;"})
    report = project.run(Action.STATUS)
    assert ["1"] == versions(report.history)
    assert ["2"] == versions(report.pending)


def test_busy_database_names_the_holder(project: Project) -> None:
    """A run that may not wait for the lock reports its holder and the holder's current migration."""
    gate = Gate(project.database)
    project.write({"20261122_slow.sql": Gate.SQL})
    holder = Background.start(project.run)
    gate.wait()
    report = project.run(LOCKGATE_LOCK_WAIT="0")
    gate.open()
    assert Status.APPLIED == holder.result().status
    assert Status.BUSY == report.status
    assert report.error is not None
    assert "DatabaseBusy" == report.error.type
    assert report.lock is not None
    assert report.lock.holder is not None
    assert "20261122" == report.lock.holder.at
    assert "and is in migration 20261122; its lease ends in" in report.error.message


def test_lock_timeout_is_retried(project: Project) -> None:
    """A segment that waits for a locked table is retried, and finally fails."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write({"2_email.sql": "ALTER TABLE account ADD COLUMN email text;"})
    other = project.database.connect()
    other.run("BEGIN")
    other.run("LOCK TABLE account")
    report = project.run(LOCKGATE_LOCK_TIMEOUT="100ms", LOCKGATE_LOCK_RETRIES="1")
    other.run("ROLLBACK")
    assert (Status.FAILED, "55P03") == (report.status, report.error and report.error.sqlstate)
    assert 1 == len(project.emitted("segment_retried"))
    assert Status.APPLIED == project.run().status


def test_lock_timeout_names_the_blockers(project: Project) -> None:
    """The sessions that block a statement are reported, without literals in their queries.

    The blocking session ends as soon as it was seen. The failure that follows imitates a lock timeout,
    without its timing.
    """
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write(
        {
            "2_wait.sql": "SET LOCAL lock_timeout = '10min';\nLOCK TABLE account;\n"
            "DO $$ BEGIN RAISE EXCEPTION SQLSTATE '55P03'; END $$;"
        }
    )
    other = project.database.connect()
    other.run("SET application_name = 'reporting'")
    other.run("BEGIN")
    other.run("SELECT 'secret', * FROM account WHERE id = 12345")

    asked_at: set[Any] = set()

    def has_asked_twice() -> bool:
        rows = project.database.run(
            "SELECT query_start FROM pg_stat_activity WHERE application_name = 'lockgate observer'"
            " AND datname = current_database() AND query LIKE '%pg_blocking_pids%'"
        )
        asked_at.update(row[0] for row in rows)
        return len(asked_at) > 1

    def leave() -> None:
        # A second query means that the first answer was read.
        wait_until(has_asked_twice, "an observer that asks who is in the way")
        other.run("ROLLBACK")

    leaving = Background.start(leave)
    # An observer asks after half of the configured lock_timeout.
    error = project.run(LOCKGATE_LOCK_TIMEOUT="400ms", LOCKGATE_LOCK_RETRIES="0").error
    leaving.result()
    assert error is not None
    assert "55P03" == error.sqlstate
    assert ["reporting"] == [blocker.application for blocker in error.blockers]
    assert "SELECT ?, * FROM account WHERE id = ?" == error.blockers[0].query


def test_lock_timeout_passes_when_the_blocker_leaves(project: Project) -> None:
    """A blocker that ends between two attempts costs one retry, and the next migration follows."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write(
        {
            "2_email.sql": "ALTER TABLE account ADD COLUMN email text;",
            "3_emails.sql": "CREATE INDEX emails ON account (email);",
        }
    )
    other = project.database.connect()
    other.run("BEGIN")
    other.run("LOCK TABLE account")

    def leave() -> None:
        wait_until(lambda: project.emitted("segment_retried"), "a further try")
        other.run("ROLLBACK")

    leaving = Background.start(leave)
    report = project.run(LOCKGATE_LOCK_TIMEOUT="100ms", LOCKGATE_LOCK_RETRIES="100")
    leaving.result()
    assert (Status.APPLIED, ["2", "3"]) == (report.status, versions(report.applied))


@pytest.mark.parametrize(("atomicity", "between"), [("migration", 0), ("run", 99)])
def test_remaining_time_is_that_of_the_migration_itself(
    project: Project, atomicity: str, between: int
) -> None:
    """The statement timeout of a migration is the time that remains at its own start.

    It is set again in the next transaction, or, in a shared one, in the message after 100 migrations.
    """
    look = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
    project.write({"001_seen.sql": f"CREATE TABLE seen AS {look}; SELECT pg_sleep(1.1);"})
    project.write({f"{n:03}_none.sql": "SELECT;" for n in range(2, 2 + between)})
    project.write({"200_seen.sql": f"INSERT INTO seen {look};"})
    ends_at = time.monotonic() + 600
    deadline = Deadline(lambda: int((ends_at - time.monotonic()) * 1000), RESERVE_MS)
    report = project.run(deadline=deadline, LOCKGATE_ATOMICITY=atomicity)
    seen = project.database.run("SELECT max(setting) - min(setting), count(*) FROM seen")[0]
    assert (Status.APPLIED, 2) == (report.status, seen[1])
    assert seen[0] >= 1_100


def test_history_is_read_again_where_another_run_had_the_lock(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another run had the lock since the first look, the run plans again with the current history."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write({"2_email.sql": "ALTER TABLE account ADD COLUMN email text;"})
    overtaking: list[Report] = []
    act_before_lock(monkeypatch, lambda: overtaking.append(project.run()), is_once=True)
    report = project.run()
    assert ["2"] == versions(overtaking[0].applied)
    assert (Status.UP_TO_DATE, ()) == (report.status, report.applied)


def test_row_written_by_hand_before_the_lock_is_met_and_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row written by hand before the lock is not overwritten, and its migration is not applied."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write({"2_email.sql": "ALTER TABLE account ADD COLUMN email text;"})

    def write_row() -> None:
        project.database.run(
            "INSERT INTO lockgate.migration_history SELECT (h).* FROM (SELECT jsonb_populate_record("
            "h, jsonb_build_object('migration_id', '2', 'version', '2', 'name', 'email', 'run_id',"
            " 'by hand')) AS h FROM lockgate.migration_history AS h) AS x"
        )

    act_before_lock(monkeypatch, write_row)
    error = project.run().error
    rows = project.database.run(
        "SELECT migration_id, run_id = 'by hand' FROM lockgate.migration_history ORDER BY 1"
    )
    assert error is not None
    assert ("23505", "2 email") == (error.sqlstate, error.migration)
    assert "wrote to the history by hand" in (error.hint or "")
    assert [["1", False], ["2", True]] == rows
    assert [] == project.database.run(
        "SELECT FROM pg_attribute WHERE attrelid = 'account'::regclass AND attname = 'email'"
    )
    assert project.lock_owner() is None


def test_rows_that_are_there_and_rows_that_are_new_are_written_together(project: Project) -> None:
    """A changed repeatable and a new migration share a transaction, and both rows are written."""
    project.write({"1_account.sql": TABLE, "R__one.sql": "CREATE VIEW one AS SELECT 1 AS x;"})
    project.run()
    project.write(
        {
            "2_email.sql": "ALTER TABLE account ADD COLUMN email text;",
            "R__one.sql": "CREATE OR REPLACE VIEW one AS SELECT 2 AS x;",
        }
    )
    report = project.run(LOCKGATE_ATOMICITY="run")
    rows = project.database.run(
        "SELECT migration_id, up_script FROM lockgate.migration_history ORDER BY migration_id"
    )
    assert (Status.APPLIED, 1) == (report.status, len(report.segments))
    assert ["1", "2", "R__one"] == [row[0] for row in rows]
    assert "SELECT 2" in rows[2][1]


def sessions(project: Project) -> list[list[Any]]:
    """Return the remaining sessions of Lockgate."""
    return project.database.run(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'lockgate%'"
        " AND datname = current_database()"
    )


def test_deadline_cancels_on_the_server(project: Project) -> None:
    """A run out of time cancels its statement, rolls back, frees the lock and reports incomplete."""
    project.write({"1_account.sql": TABLE, "2_slow.sql": "SELECT pg_sleep(60);"})
    deadline = Deadline(lambda: 3_600_000, RESERVE_MS)
    running = Background.start(lambda: project.run(deadline=deadline))
    wait_until(lambda: is_asleep(project.database), "a statement that sleeps")
    ends_at = time.monotonic() + RESERVE_MS / 1000
    deadline.remaining = lambda: int((ends_at - time.monotonic()) * 1000)
    assert Status.INCOMPLETE == running.result().status
    assert time.monotonic() < ends_at
    assert [] == project.history()
    assert project.lock_owner() is None
    assert ["incomplete"] == project.runs()
    wait_until(lambda: not sessions(project), "the end of every session")


def test_interrupt_ends_the_run(project: Project) -> None:
    """An interrupted run stops like one out of time, and the next run finishes the work."""
    gate = Gate(project.database)
    project.write({"1_account.sql": TABLE, "2_slow.sql": Gate.SQL})
    deadline = Deadline(None, RESERVE_MS)
    running = Background.start(
        lambda: project.run(deadline=deadline, LOCKGATE_ATOMICITY="migration")
    )
    gate.wait()
    deadline.interrupt("Ctrl-C")
    report = running.result()
    gate.open()
    assert Status.INCOMPLETE == report.status
    assert report.error is not None
    assert "Ctrl-C" in report.error.message
    assert ["1"] == versions(report.applied)
    assert ["2"] == versions(project.run().applied)


def test_many_migrations_share_messages(project: Project) -> None:
    """On a fresh database, hundreds of migrations are one segment, and each has its own row."""
    project.write({f"{n:04}_t.sql": f"CREATE TABLE t{n} (id int);" for n in range(1, 351)})
    report = project.run()
    assert Status.APPLIED == report.status
    assert 1 == len(report.segments)
    assert 350 == len(report.applied)
    assert all(entry.duration_ms is not None for entry in report.applied)


def test_scripts_of_megabytes_share_a_transaction(project: Project) -> None:
    """Scripts of megabytes share a transaction, and each is recorded once and in order."""
    long = f"SELECT '{'x' * 1_200_000}';\n"
    project.write({f"{n}_t.sql": f"{long}CREATE TABLE t{n} (id int);" for n in range(1, 4)})
    project.write({"4_t.py": "def up(connection):\n    pass\n", "5_t.sql": f"{long}SELECT 5;"})
    report = project.run()
    assert (Status.APPLIED, 1) == (report.status, len(report.segments))
    assert [(str(n), "applied") for n in range(1, 6)] == project.history()
    assert ["1", "2", "3", "4", "5"] == versions(report.applied)


def test_failure_deep_in_a_long_segment_is_found(project: Project) -> None:
    """A failed statement is found by its number even if the server gives no position."""
    project.write({f"{n:04}_t.sql": f"CREATE TABLE t{n} (id int);" for n in range(1, 251)})
    project.write(
        {"0187_t.sql": "CREATE TABLE t187 (id int);\nSELECT 1;\n DO $$ BEGIN RAISE 'no'; END $$;"}
    )
    error = project.run().error
    assert error is not None
    assert ("0187 t", 3, 3, 2) == (error.migration, error.statement, error.line, error.column)
    assert [] == project.history()


def test_statement_of_more_migrations_than_the_lock_table_holds(project: Project) -> None:
    """A run that exceeds the lock table is split into segments of a hundred migrations."""
    project.write({f"{n:05}_t.sql": f"CREATE TABLE t{n} (id int);" for n in range(1, 260)})
    report = project.run(LOCKGATE_ATOMICITY="run")
    slots = int(
        project.database.run(
            "SELECT current_setting('max_locks_per_transaction')::int"
            " * (current_setting('max_connections')::int"
            " + current_setting('max_prepared_transactions')::int)"
        )[0][0]
    )
    assert (3 if slots * 0.4 < 259 else 1) == len(report.segments)
