"""The first run on a database with foreign tables is refused, unless it is allowed."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.formats.test_adoption import TABLES, make_table
from tests.support.engine import act_before_lock
from tests.support.layouts import Step, lay_out

from lockgate.core.address import Address
from lockgate.core.policy import FirstRun
from lockgate.core.request import Action, Caller, Request
from lockgate.report.report import Status
from lockgate.terminal.arguments import parse_arguments
from lockgate.terminal.cli import main

if TYPE_CHECKING:
    from tests.support.project import Project

    from lockgate.report.report import Report

FILES = {
    f"000{number}_{name}.sql": f"-- migrate:up\nCREATE TABLE {name} (id int);\n"
    f"-- migrate:down\nDROP TABLE {name};\n"
    for number, name in ((1, "account"), (2, "orders"))
}
CHECKED = [Action.UP, Action.PLAN, Action.VALIDATE]


@pytest.fixture
def first(project: Project) -> Project:
    """Give a project with two migrations and the product's default, which refuses."""
    project.has_product_default = True
    project.write(FILES)
    return project


def refusal(report: Report) -> str:
    """Return the message of a refused first run."""
    assert report.error is not None
    assert (Status.REFUSED, "first-contact") == (report.status, report.error.code)
    assert "RequestRefused" == report.error.type
    return report.error.message


def tables_of(project: Project) -> set[str]:
    """Return every table of the database."""
    rows = project.database.run(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.oid > 16383"
    )
    return {row[0] for row in rows}


@pytest.mark.parametrize("action", CHECKED)
@pytest.mark.parametrize(
    "setup",
    [
        "CREATE TABLE customer (id int)",
        "CREATE UNLOGGED TABLE customer (id int)",
        'CREATE SCHEMA "A b"; CREATE TABLE "A b".customer (id int)',
        "CREATE SCHEMA lockgate; CREATE TABLE lockgate.customer (id int)",
        "CREATE TABLE customer (id int) PARTITION BY LIST (id)",
        "CREATE EXTENSION IF NOT EXISTS plpgsql; CREATE TABLE customer (id int)",
        "CREATE TABLE migration_history (id int)",
        "CREATE SCHEMA lockgate; CREATE TABLE lockgate.migration_note (id int)",
    ],
)
def test_first_run_beside_a_table_is_refused(first: Project, action: Action, setup: str) -> None:
    """A first run beside any table in any schema is refused."""
    first.database.run(setup)
    before = tables_of(first)
    message = refusal(first.run(action))
    assert "This is the first run on this database, and it holds 1 table (" in message
    assert before == tables_of(first)


def test_refusal_with_schema_public_checks_every_table(first: Project) -> None:
    """With LOCKGATE_SCHEMA=public, Lockgate's tables are recognised by their shape, not their schema."""
    first.database.run("CREATE TABLE customer (id int)")
    assert "public.customer" in refusal(first.run(LOCKGATE_SCHEMA="public"))


@pytest.mark.parametrize(
    "setup",
    [
        "SELECT 1",
        "CREATE VIEW seen AS SELECT 1 AS one",
        "CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one",
        "CREATE SEQUENCE s; CREATE TYPE mood AS ENUM ('ok'); CREATE SCHEMA empty",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_first_run_without_a_table_is_applied(first: Project, setup: str) -> None:
    """Views, sequences, types and functions do not count as tables."""
    first.database.run(setup)
    assert Status.APPLIED == first.run().status


def test_tables_of_an_extension_and_their_partitions_do_not_count(first: Project) -> None:
    """Tables of an extension and their partitions do not refuse the run."""
    first.database.run(
        "CREATE TABLE spatial_ref_sys (id int); CREATE TABLE part (id int) PARTITION BY LIST (id);"
        "CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1) PARTITION BY LIST (id);"
        "CREATE TABLE part_1_1 PARTITION OF part_1 FOR VALUES IN (1);"
        "ALTER EXTENSION plpgsql ADD TABLE spatial_ref_sys; ALTER EXTENSION plpgsql ADD TABLE part"
    )
    assert Status.APPLIED == first.run().status


def adopted_by(report: Report) -> tuple[str | None, str | None, bool]:
    """Return tool, table and whether it is a dry run of the command in a refusal's hint."""
    assert report.error is not None
    found = re.search(r"lockgate (adopt .*? --dry-run)", report.error.hint or "")
    assert found is not None, report.error.hint
    options = parse_arguments(shlex.split(found[1]))
    return options.source, options.table, options.dry_run


@pytest.mark.parametrize("tool", TABLES)
def test_first_run_beside_a_history_with_rows_is_refused_with_the_command_that_adopts_it(
    first: Project, tool: str
) -> None:
    """The hint contains a complete command that adopts the tool's table, in either format."""
    table = TABLES[tool].first
    make_table(first.database, tool, table)
    first.database.run("CREATE TABLE customer (id int)")
    before = tables_of(first)
    report = first.run()
    assert f"it holds {tool}'s history {table} (1 row), and 1 other table" in refusal(report)
    assert (tool, table, True) == adopted_by(report)
    for name in FILES:
        first.remove(name)
    first.write(lay_out(tool, Step("CREATE TABLE one ();\n"), Step("CREATE TABLE two ();\n")))
    for action in CHECKED:
        report = first.run(action, LOCKGATE_FORMAT=tool)
        assert f"{tool}'s history {table} (1 row)" in refusal(report)
        assert (tool, table, True) == adopted_by(report)
    assert before == tables_of(first)


RENAMED = {
    "dbmate": {"DBMATE_MIGRATIONS_TABLE": "applied"},
    "golang-migrate": {"DATABASE_URL": "postgres://h/d?x-migrations-table=applied"},
}


@pytest.mark.parametrize("tool", RENAMED)
def test_first_run_beside_a_history_that_a_setting_renamed_is_refused_with_its_adoption(
    first: Project, tool: str
) -> None:
    """A table that only the tool's own setting identifies is adopted, and empty it is no obstacle."""
    make_table(first.database, tool, "public.applied")
    first.settings |= RENAMED[tool]
    report = first.run()
    assert f"it holds {tool}'s history public.applied (1 row). " in refusal(report)
    assert (tool, "public.applied", True) == adopted_by(report)
    first.database.run("DELETE FROM applied")
    assert Status.APPLIED == first.run().status


@pytest.mark.parametrize("tool", TABLES)
def test_first_run_beside_an_empty_history_is_applied(first: Project, tool: str) -> None:
    """An empty history of another tool does not refuse the run."""
    make_table(first.database, tool, TABLES[tool].first, is_empty=True)
    assert Status.APPLIED == first.run().status


@pytest.mark.parametrize(
    "setup",
    [
        "REVOKE ALL ON goose_db_version FROM worker",
        "ALTER TABLE goose_db_version ENABLE ROW LEVEL SECURITY",
    ],
)
def test_history_that_cannot_be_read_counts_as_having_rows(first: Project, setup: str) -> None:
    """A history that the role cannot read counts as having rows."""
    table = TABLES["goose"]
    role = f"reader_{first.database.name}"
    first.database.run(
        f"CREATE ROLE {role}; GRANT CREATE ON DATABASE {first.database.name} TO {role};"
        f"CREATE TABLE {table.name} ({table.columns}); GRANT SELECT ON {table.name} TO {role};"
        + setup.replace("worker", role)
    )
    try:
        message = refusal(first.run(Action.PLAN, LOCKGATE_SET_ROLE=role))
        assert "goose's history public.goose_db_version, which this role cannot read" in message
    finally:
        first.database.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_first_run_beside_another_project_is_refused_and_names_its_history(first: Project) -> None:
    """The message names another project's Lockgate history and the tables of its migrations."""
    assert Status.APPLIED == first.run(LOCKGATE_SCHEMA="billing").status
    for name in FILES:
        first.remove(name)
    first.write({"0001_customer.sql": "CREATE TABLE customer (id int);"})
    report = first.run()
    message = refusal(report)
    assert "it holds 2 tables (public.account, public.orders)" in message
    assert "Another Lockgate history is in schema billing." in message
    assert report.error is not None
    assert "set LOCKGATE_SCHEMA=billing;" in (report.error.hint or "")
    assert Status.APPLIED == first.do(Action.UP, first_run=FirstRun.ALLOW).status


def test_first_run_after_a_failed_one_is_applied(first: Project) -> None:
    """After a failed first run, which was rolled back, the next one is not refused."""
    first.write({"0003_broken.sql": "SELECT no_such_column;"})
    assert Status.FAILED == first.run().status
    first.remove("0003_broken.sql")
    assert Status.APPLIED == first.run().status


def test_stub_table_of_a_killed_run_does_not_count(first: Project) -> None:
    """An empty stub table left by a killed run does not refuse the run."""
    first.settings["LOCKGATE_FORMAT"] = "dbmate"
    first.write({"0003_x.sql": "-- migrate:up\nDELETE FROM schema_migrations;\n"})
    first.database.run("CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY)")
    assert Status.APPLIED == first.run().status


def test_run_after_everything_was_undone_is_not_a_first_run(first: Project) -> None:
    """After all migrations were undone, a run is not a first run."""
    assert Status.APPLIED == first.run().status
    assert Status.ROLLED_BACK == first.do(Action.DOWN, target="0", reason="r").status
    first.database.run("CREATE TABLE customer (id int)")
    assert Status.APPLIED == first.run().status


def test_run_after_a_killed_down_is_not_a_first_run(first: Project) -> None:
    """A run after a killed down is not a first run, because the commit is on record."""
    assert Status.APPLIED == first.run().status
    first.database.run(
        "CREATE TABLE customer (id int); DELETE FROM lockgate.migration_history;"
        "UPDATE lockgate.migration_run SET status = 'abandoned', report = NULL"
    )
    assert [[True]] == first.database.run("SELECT has_committed FROM lockgate.migration_run")
    first.database.run("DROP TABLE account, orders")
    assert Status.APPLIED == first.run().status


@pytest.mark.parametrize(
    ("status", "report", "expected"),
    [
        ("applied", None, Status.APPLIED),
        ("rolled_back", None, Status.APPLIED),
        ("failed", '{"applied": [{"version": "1"}]}', Status.APPLIED),
        ("failed", '{"applied": [], "reverted": [{"version": "1"}]}', Status.APPLIED),
        ("failed", '{"applied": [], "reverted": []}', Status.REFUSED),
        ("abandoned", None, Status.REFUSED),
        ("up_to_date", None, Status.REFUSED),
    ],
)
def test_run_of_an_earlier_build_is_judged_by_its_status_and_report(
    first: Project, status: str, report: str | None, expected: Status
) -> None:
    """Without the column has_committed, a run is judged by its status and report."""
    assert Status.APPLIED == first.run().status
    written = "NULL" if report is None else f"'{report}'"
    first.database.run(
        "DELETE FROM lockgate.migration_history; DROP TABLE account, orders;"
        "ALTER TABLE lockgate.migration_run DROP COLUMN has_committed;"
        f"UPDATE lockgate.migration_run SET status = '{status}', report = {written};"
        "CREATE TABLE customer (id int)"
    )
    plan = first.run(Action.PLAN)
    assert (Status.REFUSED if expected is Status.REFUSED else Status.PLANNED) == plan.status
    assert expected == first.run().status


def test_baselined_and_adopted_databases_are_known(first: Project) -> None:
    """After a baseline, a run is not a first run."""
    first.database.run("CREATE TABLE account (id int)")
    given: dict[str, Any] = {"reason": "r", "requested_by": "me"}
    assert Status.APPLIED == first.do(Action.BASELINE, target="1", **given).status
    assert ["0002"] == [entry.version for entry in first.run().applied]


def test_first_run_is_refused_again_under_the_lock(
    first: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table created after the first look is found under the lock, before anything is applied."""

    def make_table() -> None:
        first.database.run("CREATE TABLE IF NOT EXISTS customer (id int)")

    act_before_lock(monkeypatch, make_table)
    report = first.runner().run(Request(Action.UP, Caller("test")))
    assert "public.customer" in refusal(report)
    assert "account" not in tables_of(first)


@pytest.mark.parametrize("action", CHECKED)
def test_request_allows_a_first_run(first: Project, action: Action) -> None:
    """The request's first_run takes precedence over the setting."""
    first.database.run("CREATE TABLE customer (id int)")
    refusal(first.do(action, first_run=FirstRun.REFUSE, LOCKGATE_FIRST_RUN="allow"))
    expected = Status.APPLIED if action is Action.UP else Status.PLANNED
    assert expected == first.do(action, first_run=FirstRun.ALLOW).status


def test_setting_allows_a_first_run(first: Project) -> None:
    """The setting is the default of the request's first_run."""
    first.database.run("CREATE TABLE customer (id int)")
    assert Status.APPLIED == first.run(LOCKGATE_FIRST_RUN="allow").status


def test_status_reports_what_up_would_refuse(first: Project) -> None:
    """Status succeeds and warns that up would be refused."""
    first.database.run("CREATE TABLE customer (id int)")
    report = first.run(Action.STATUS)
    assert Status.PLANNED == report.status
    assert "An up would be refused: This is the first run" in report.warnings[0]
    assert "lockgate baseline" in (report.next_action or "")
    assert "lockgate up --first-run allow" in (report.next_action or "")


def test_refusal_lists_versions_and_leaves_the_target_to_fill_in(first: Project) -> None:
    """A long list of versions is shortened in the middle, and the command leaves VERSION to fill in."""
    first.write({f"{n:04}_more.sql": "SELECT 1;" for n in range(3, 31)})
    first.database.run("CREATE TABLE customer (id int)")
    report = first.run()
    assert report.error is not None
    assert (report.error.hint or "").startswith(
        "If the database already has the migrations up to some version, record them:"
        " lockgate baseline --reason 'the database has these migrations' --dry-run --target VERSION"
        " (VERSION is one of 0001, 0002, 0003, 0004, 0005, …, 0026, 0027, 0028, 0029, 0030);"
        " or, if the tables"
    )


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("cloudformation", "deploy with the parameter FirstRun"),
        ("codedeploy", "set LOCKGATE_FIRST_RUN=allow"),
        ("direct", 'send {"action": "up", "first_run": "allow"}'),
        ("terminal", "lockgate up --first-run allow"),
    ],
)
def test_refusal_tells_each_caller_how_to_allow_it(
    first: Project, caller: str, expected: str
) -> None:
    """The hint tells each caller how to allow the first run."""
    first.database.run("CREATE TABLE customer (id int)")
    runner = first.runner()
    address = Address(is_terminal=caller == "terminal")
    runner.dependencies = replace(runner.dependencies, address=address)
    report = runner.run(Request(Action.UP, Caller(caller)))
    assert report.error is not None
    assert expected in (report.error.hint or "")


def test_terminal_refuses_with_status_2_and_a_command_that_names_the_same_database(
    first: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal exits with 2, and the command repeats its options without the password."""
    for name, value in first.database.environment.items():
        if name not in {"LOCKGATE_HOST", "LOCKGATE_PORT", "LOCKGATE_DATABASE_URL"}:
            monkeypatch.setenv(name, value)
    first.database.run("CREATE TABLE customer (id int)")
    arguments = ["--dir", str(first.folder), "--database-url", first.address(), "--json"]
    assert 2 == main(["up", *arguments])
    shown = capsys.readouterr().out
    assert f"lockgate baseline --database-url postgresql://{first.database.user}:PASSWORD@" in shown
    assert f"--dir {first.folder}" in shown
    assert 0 == main(["up", *arguments, "--first-run", "allow"])
