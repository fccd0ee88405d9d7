"""Hints about files lead to a successful run, and never in a circle."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from lockgate.core.request import Action, Repair
from lockgate.formats.alembic import reader as alembic
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from tests.support.project import Project


def hint_of(report: Report) -> str:
    """Return the hint of a refused run."""
    assert report.error is not None
    assert report.error.hint is not None
    return report.error.hint


def follow(project: Project, hint: str) -> Report:
    """Carry out the repair command in a hint, and run up."""
    found = re.search(r"lockgate repair --(\w+) (\S+) --reason", hint)
    assert found is not None, hint
    report = project.do(
        Action.REPAIR, repair=Repair(found[1]), version=found[2], reason="test", requested_by="test"
    )
    assert report.error is None, report.error
    return project.run()


def test_hint_on_an_edited_file_ends_the_drift(project: Project) -> None:
    """Accepting the edited file ends the drift."""
    project.write({"1_a.sql": "CREATE TABLE a ();"})
    project.run()
    project.write({"1_a.sql": "CREATE TABLE a (id int);"})
    assert Status.UP_TO_DATE == follow(project, hint_of(project.run())).status


def test_hint_on_a_deleted_file_ends_the_drift(project: Project) -> None:
    """A deleted file has no text to accept, so the hint is to forget its row."""
    project.write({"1_a.sql": "CREATE TABLE a ();", "2_b.sql": "SELECT 1;"})
    project.run()
    project.remove("1_a.sql")
    hint = hint_of(project.run())
    assert "--forget 1 " in hint
    assert "accept" not in hint
    assert Status.UP_TO_DATE == follow(project, hint).status


@pytest.mark.parametrize("way", ["restore", "mark"])
def test_hint_on_an_edited_part_works(project: Project, way: str) -> None:
    """For an edited part, restoring the part or marking the whole migration leads to success."""
    text = "-- migrate:up transaction:false\nCREATE TABLE a ();\nCREATE TABLE b ();\nnonsense;\n"
    project.write({"1_a.sql": text})
    project.run()
    project.write({"1_a.sql": text.replace("TABLE a", "TABLE c").replace("nonsense;", "")})
    hint = hint_of(project.run())
    assert "accept" not in hint
    if way == "mark":
        assert Status.UP_TO_DATE == follow(project, hint).status
        return
    accepted = project.do(
        Action.REPAIR, repair=Repair.ACCEPT, version="1", reason="test", requested_by="test"
    )
    assert hint_of(accepted).startswith("Restore the part of the file that was done already")
    project.write({"1_a.sql": text.replace("nonsense;", "")})
    assert Status.APPLIED == project.run().status


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("lockgate", "-- migrate:env on\nCOMMENT ON SCHEMA public IS '${AWS_REGION}';\n"),
        (
            "goose",
            "-- +goose ENVSUB ON\n-- +goose Up\nCOMMENT ON SCHEMA public IS '${AWS_REGION}';\n",
        ),
    ],
)
def test_hint_on_a_withheld_variable_works(project: Project, tool: str, text: str) -> None:
    """A withheld variable is reported as withheld, and the proposed name works."""
    project.write({"1_a.sql": text})
    project.settings |= {"AWS_REGION": "eu-west-1", "LOCKGATE_FORMAT": tool}
    report = project.run()
    assert report.error is not None
    assert "is withheld from migrations" in report.error.message
    assert "as MIGRATION_AWS_REGION, and" in hint_of(report)
    project.write({"1_a.sql": text.replace("AWS_REGION", "MIGRATION_AWS_REGION")})
    assert Status.APPLIED == project.run(MIGRATION_AWS_REGION="eu-west-1").status


def test_hint_on_a_missing_alembic_names_what_pypi_has() -> None:
    """The hint about a missing Alembic installs it by a name that PyPI has."""
    hint = alembic._MISSING_LIBRARY.hint
    assert "lockgate[" not in hint
    assert "pip install 'alembic>=1.13,<2'" in hint


def test_up_files_alone_are_named_with_both_tools(project: Project) -> None:
    """Files with .up.sql alone are reported with both possible tools and how to tell them apart."""
    project.write({"1_a.up.sql": "CREATE TABLE a ();"})
    hint = hint_of(project.run())
    assert "LOCKGATE_FORMAT=golang-migrate" in hint
    assert "LOCKGATE_FORMAT=sqlx" in hint
    assert "tells them apart" in hint_of(project.run(LOCKGATE_FORMAT="auto")).lower()
    assert Status.APPLIED == project.run(LOCKGATE_FORMAT="golang-migrate").status


@pytest.mark.parametrize("tool", ["lockgate", "auto", "sqlx", "node-pg-migrate"])
def test_comment_about_a_down_migration_confuses_no_format(project: Project, tool: str) -> None:
    """A comment that mentions a down migration is not taken for another tool's marker."""
    project.write(
        {"1_a.sql": "-- migrate:up\n-- Up migration is all there is\nCREATE TABLE a ();\n"}
    )
    if tool in {"sqlx", "node-pg-migrate"}:
        project.write({"1_a.sql": "CREATE TABLE a ();\n"})
    assert Status.APPLIED == project.run(LOCKGATE_FORMAT=tool).status


def follow_past_psql(project: Project, hint: str, sql: str) -> Report:
    """Follow the hint about a script for psql; ``sql`` is the effect of running psql."""
    target = re.search(r"lockgate up --target (\S+); then", hint)
    if target is not None:
        assert project.run(target=target[1].strip("'")).error is None
    project.database.run(sql)
    command = shlex.split(hint[hint.index("lockgate repair") :])
    _, _, option, version, _, reason, apply = command
    assert ("--mark", "run with psql", "--apply") == (option, reason, apply)
    report = project.do(
        Action.REPAIR, repair=Repair.MARK, version=version, reason=reason, requested_by="test"
    )
    assert report.error is None, report.error
    return project.run()


OF_PSQL = {
    "lockgate": {"1_a.sql": "CREATE TABLE a ();", "2_b.sql": "\\i b.sql\n", "3_c.sql": "SELECT 1;"},
    "goose": {
        "1_a.sql": "-- +goose Up\nCREATE TABLE a ();\n",
        "2_b.sql": "-- +goose Up\n\\i b.sql;\n-- +goose Down\nDROP TABLE b;\n",
    },
    "flyway": {"V1__a.sql": "CREATE TABLE a ();", "V2__b.sql": "SELECT 1 \\gexec\n"},
    "sqitch": {
        "sqitch.plan": "%syntax-version=1.0.0\n%project=p\n\n"
        "a 2026-01-01T12:00:00Z P <p@example.com>\nb/c 2026-01-01T12:00:00Z P <p@example.com>\n",
        "deploy/a.sql": "CREATE TABLE a ();",
        "deploy/b/c.sql": "\\i b.sql\n",
    },
    "yoyo": {"a.sql": "CREATE TABLE a ();", "b c.sql": "-- depends: a\n\\set x 1\n"},
}


@pytest.mark.parametrize("is_begun", [False, True], ids=["fresh", "begun"])
@pytest.mark.parametrize("tool", OF_PSQL)
def test_hint_on_a_script_for_psql_gets_past_it(
    project: Project, tool: str, *, is_begun: bool
) -> None:
    """The hint leads past a script for psql: apply up to it, run it with psql, mark it."""
    project.settings["LOCKGATE_FORMAT"] = tool
    project.write(OF_PSQL[tool])
    hint = hint_of(project.run())
    if tool == "sqitch":
        assert "lockgate adopt --from sqitch --reason 'applied by sqitch' --format sqitch" in hint
        assert Status.APPLIED == project.run(target="a").status
        hint = hint_of(project.run())
        assert "adopt" not in hint
    elif is_begun:
        assert "lockgate up --target" in hint
        first = {"yoyo": "a"}.get(tool, "1")
        assert Status.APPLIED == project.run(target=first).status
        hint = hint_of(project.run())
        assert "lockgate up --target" not in hint
    assert ("the up part of the file alone" in hint) == (tool == "goose")
    assert follow_past_psql(project, hint, "CREATE TABLE b ()").error is None
    assert Status.UP_TO_DATE == project.run().status


@pytest.mark.parametrize(
    ("written", "instead", "word"),
    [
        ("\\copy b from 'rows.txt'\n", "COPY b FROM stdin;\n1\n2\n\\.\n", "COPY … FROM stdin;"),
        ("\\i b.sql\n", "INSERT INTO b VALUES (1), (2);\n", "the text of that file"),
        ("\\ir b.sql\n", "INSERT INTO b VALUES (1), (2);\n", "the text of that file"),
        ("\\echo on\n", "", "Remove it"),
        ("\\connect other\n", "", "Remove it"),
        ("SELECT 'SELECT 1' \\gexec\n", "DO $$ BEGIN EXECUTE 'SELECT 1'; END $$;\n", "a DO block"),
        ("\\set x 1\n", "", "Write the value in"),
        ("SELECT 1 \\g\n", "SELECT 1;\n", "a semicolon"),
        ("\\watch\n", "", "Only psql understands its commands"),
    ],
)
def test_hint_on_a_psql_command_gives_its_replacement(
    project: Project, written: str, instead: str, word: str
) -> None:
    """The replacement that the hint names for a psql command works."""
    text = "CREATE TABLE b (id int);\n{}SELECT 2;\n"
    project.write({"1_a.sql": text.format(written)})
    assert word in hint_of(project.run())
    project.write({"1_a.sql": text.format(instead)})
    assert Status.APPLIED == project.run().status
