"""Details that the server adds to an error: names are always shown, row data only in a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lockgate.awslambda.callers.reason import make_reason
from lockgate.terminal.cli import main
from lockgate.terminal.progress import MAX_MESSAGES

if TYPE_CHECKING:
    from tests.support.project import Project

SECRET_ROW = "SENTINEL-of-a-row"
TABLE = f"CREATE TABLE t (a text PRIMARY KEY); INSERT INTO t VALUES ('{SECRET_ROW}');"
FUNCTION = (
    "CREATE FUNCTION f(i int) RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  PERFORM 1 / i;\nEND $$;"
)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            "CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t; CREATE VIEW w AS TABLE t;",
            "DROP TABLE t;",
            "Detail: view v depends on table t; view w depends on table t.",
        ),
        (
            "CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t;",
            "ALTER TABLE t ALTER a TYPE bigint;",
            'Detail: rule _RETURN on view v depends on column "a".',
        ),
        (FUNCTION, "SELECT f(0);", "In: PL/pgSQL function f(integer) line 3 at PERFORM."),
        (
            FUNCTION,
            "DO $$ BEGIN PERFORM f(0); END $$;",
            (
                "In: PL/pgSQL function f(integer) line 3 at PERFORM; PL/pgSQL function"
                " inline_code_block line 1 at PERFORM."
            ),
        ),
    ],
)
def test_names_that_the_server_adds_are_in_the_report(
    project: Project, first: str, second: str, expected: str
) -> None:
    """Dependent views, rules on a column and the failed line are in the report and a caller's reason."""
    project.write({"1_first.sql": first, "2_second.sql": second})
    report = project.run()
    assert report.error is not None
    assert expected in report.error.message
    lines = (report.error.detail or report.error.context or "").replace("\n", "; ")
    assert expected.partition(": ")[2] == f"{lines}."
    assert expected in make_reason(report)


LACKING = "INSERT INTO t VALUES ('SENTINEL', NULL);"
ROWS = (
    f"INSERT INTO t VALUES ('{SECRET_ROW}');",
    f"CREATE TABLE u (a text REFERENCES t); INSERT INTO u VALUES ('{SECRET_ROW} too');",
    f"ALTER TABLE t ADD CHECK (a <> '{SECRET_ROW}');",
    f"ALTER TABLE t ADD b int; UPDATE t SET b = 1; ALTER TABLE t ALTER b SET NOT NULL; {LACKING}",
    "SELECT a::int FROM t;",
    "DO $$ BEGIN RAISE EXCEPTION 'no' USING DETAIL = (SELECT a FROM t), ERRCODE = '42P01'; END $$;",
    "DO $$ BEGIN EXECUTE format('SELECT %L::int', (SELECT a FROM t)); END $$;",
    "COPY t FROM stdin;\nSENTINEL\tand\tmore\n\\.\n",
)


@pytest.mark.parametrize("script", ROWS)
@pytest.mark.parametrize("language", ["sql", "python"])
def test_row_data_is_in_no_report_and_no_event(
    project: Project, script: str, language: str
) -> None:
    """Keys, rows and values are neither in the report nor in an event."""
    body = f"\n{script}".replace("; ", ";\n")
    name, text = "2_bad.sql", body
    if language == "python":
        if script.startswith("COPY"):
            pytest.skip("a function has no COPY data")
        name = "2_bad.py"
        text = f"SQL = {script!r}\n\n\ndef up(connection):\n    connection.exec_driver_sql(SQL)\n"
    project.write({"1_t.sql": TABLE, name: text})
    report = project.run()
    assert report.error is not None
    told = report.error.message + str(report.error.detail) + str(report.error.context)
    assert "SENTINEL" not in told + str(project.events)


class Shell:
    """A terminal in which `lockgate up` runs."""

    def __init__(
        self,
        project: Project,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        self._capfd = capfd
        for name, value in project.database.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("LOCKGATE_MIGRATIONS", str(project.folder))

    def run(self, *words: str) -> tuple[str, str]:
        """Return the output on standard output and on standard error."""
        main(["up", *words])
        captured = self._capfd.readouterr()
        return captured.out, captured.err


@pytest.fixture
def shell(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Shell:
    """Give a terminal on the project's database."""
    return Shell(project, monkeypatch, capfd)


@pytest.mark.parametrize("words", [(), ("--quiet",)])
def test_terminal_shows_the_conflicting_row(
    project: Project, shell: Shell, words: tuple[str, ...]
) -> None:
    """A terminal shows the key of the conflicting row."""
    project.write({"1_t.sql": TABLE, "2_bad.sql": ROWS[0]})
    assert f"DETAIL  Key (a)=({SECRET_ROW}) already exists." in shell.run(*words)[1]


def test_terminal_shows_what_a_migration_raises_for_people(project: Project, shell: Shell) -> None:
    """A terminal shows the notices and warnings of a migration."""
    say = "DO $$ BEGIN RAISE NOTICE 'moved % rows', 7; RAISE WARNING 'look at t'; END $$;"
    project.write({"1_say.sql": say})
    shown = shell.run()[1]
    assert "NOTICE  moved 7 rows" in shown
    assert "WARNING  look at t" in shown


def test_terminal_shows_a_hundred_notices_of_a_loop(project: Project, shell: Shell) -> None:
    """A terminal shows at most a hundred notices, and says that more are not shown."""
    loop = "DO $$ BEGIN FOR i IN 1..1000 LOOP RAISE NOTICE 'row %', i; END LOOP; END $$;"
    project.write({"1_say.sql": loop})
    shown = shell.run()[1]
    assert MAX_MESSAGES == shown.count("NOTICE")
    assert "further messages are not shown" in shown


def test_copy_with_a_trigger_that_notices_each_row_ends(project: Project, shell: Shell) -> None:
    """COPY with a trigger that raises a notice for each row does not deadlock."""
    trigger = (
        "CREATE TABLE t (a text); CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE NOTICE '%', repeat('x', 1000); RETURN new; END $$;"
        "CREATE TRIGGER say BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION say();"
    )
    rows = "x\n" * 20_000
    project.write({"1_t.sql": trigger, "2_copy.sql": f"COPY t FROM stdin;\n{rows}\\.\n"})
    assert "applied 2 migrations" in shell.run()[0]


def test_json_of_a_terminal_has_no_row(project: Project, shell: Shell) -> None:
    """With --json, a terminal shows no row data, because the output may be logged."""
    project.write({"1_t.sql": TABLE, "2_bad.sql": "SELECT a::int FROM t;"})
    out, _ = shell.run("--json")
    assert "22P02" == json.loads(out)["error"]["sqlstate"]
    assert SECRET_ROW not in out


def test_values_that_are_hidden_are_masked_in_what_a_terminal_shows(
    project: Project, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable's value is masked in notices and details in a terminal."""
    monkeypatch.setenv("TOKEN", "hunter2hunter2")
    body = "RAISE NOTICE 'it is ${TOKEN}'; RAISE 'x' USING DETAIL = 'so ${TOKEN}';"
    project.write({"1_t.sql": f"-- migrate:env on\nDO $$ BEGIN {body} END $$;"})
    out, shown = shell.run()
    assert "hunter2" not in out + shown
    assert "NOTICE  it is …" in shown
    assert "DETAIL  so …" in shown
