"""Choose the table to adopt when several have the columns of a tool's history."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from tests.formats.kit import list_cases

from lockgate.core.request import Action
from lockgate.formats.names import list_tools
from lockgate.terminal.arguments import parse_arguments

if TYPE_CHECKING:
    from tests.formats.kit import Files
    from tests.support.database import Database
    from tests.support.project import Project

    from lockgate.report.report import Report

TABLES = {cases.name: cases.table for cases in list_cases() if cases.table is not None}
IN_ANY_SCHEMA = [tool for tool, table in TABLES.items() if table.schema is None]
CHOSEN_BY = [tool for tool, table in TABLES.items() if table.chosen_by]
CHOSEN_IN = [
    pytest.param(tool, files, id=f"{tool}-{min(files)}")
    for tool, table in TABLES.items()
    for files in table.chosen_in
]


def make_table(database: Database, tool: str, table: str, *, is_empty: bool = False) -> None:
    """Create a tool's table, its schema and what the tool has beside it."""
    given = TABLES[tool]
    schema = table.partition(".")[0]
    database.run(f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE {table} ({given.columns})")
    if given.beside:
        database.run(given.beside.format(schema=schema))
    if not is_empty:
        database.run(f"INSERT INTO {table} VALUES ({given.row})")


def make_tables(project: Project, tool: str) -> tuple[str, str]:
    """Create a tool's table in two places, the first with a row that must not be read."""
    first, second = TABLES[tool].first, TABLES[tool].second
    make_table(project.database, tool, first)
    make_table(project.database, tool, second, is_empty=True)
    return first, second


def test_every_tool_has_a_table() -> None:
    """Every tool in the registry has a history table among its cases."""
    assert set(TABLES) == set(list_tools())


def adopt(project: Project, tool: str, table: str | None = None) -> Report:
    """Request a dry run of an adoption."""
    return project.do(
        Action.ADOPT, source=tool, table=table, dry_run=True, reason="test", requested_by="me"
    )


@pytest.mark.parametrize("tool", IN_ANY_SCHEMA)
def test_adoption_with_two_tables_of_a_tool_is_refused_with_their_names(
    project: Project, tool: str
) -> None:
    """With two tables, none is chosen, and the refusal lists both."""
    project.write({"1_one.sql": "-- migrate:up\nSELECT 1;\n"})
    first, second = make_tables(project, tool)
    report = adopt(project, tool)
    assert report.error is not None
    assert report.error.message == (
        f"There are 2 tables with the columns of {tool}'s history in this database:"
        f" {', '.join(sorted((first, second)) if tool == 'flyway' else (first, second))};"
        " no setting chooses one. Nothing was changed."
    )
    hint = report.error.hint or ""
    options = parse_arguments(shlex.split(hint[hint.index("lockgate ") :])[1:])
    found = (options.action, options.source, options.table, options.dry_run)
    named = min(first, second) if tool == "flyway" else first
    assert (Action.ADOPT, tool, named, True) == found


@pytest.mark.parametrize("tool", IN_ANY_SCHEMA)
def test_adoption_reads_the_table_that_the_request_names(project: Project, tool: str) -> None:
    """The table that the request names is read: it is empty, unlike the other."""
    project.write({"1_one.sql": "-- migrate:up\nSELECT 1;\n"})
    _, second = make_tables(project, tool)
    report = adopt(project, tool, second)
    assert report.error is not None
    assert f"{tool}'s table {second} contains no applied migration" in report.error.message


@pytest.mark.parametrize("tool", CHOSEN_BY)
def test_adoption_reads_the_table_that_a_variable_names(project: Project, tool: str) -> None:
    """The table that the tool's own variable names is read: it is empty, unlike the other."""
    project.write({"1_one.sql": "-- migrate:up\nSELECT 1;\n"})
    _, second = make_tables(project, tool)
    project.settings |= TABLES[tool].chosen_by
    report = adopt(project, tool)
    assert report.error is not None
    assert f"{tool}'s table {second} contains no applied migration" in report.error.message


@pytest.mark.parametrize(("tool", "files"), CHOSEN_IN)
def test_adoption_reads_the_table_that_a_file_of_settings_names(
    project: Project, tool: str, files: Files
) -> None:
    """The table that the tool's settings file names is read, in the folder or beside it."""
    project.folder = project.folder / "db" / "migrate"
    project.write({"1_one.sql": "-- migrate:up\nSELECT 1;\n", **files})
    _, second = make_tables(project, tool)
    report = adopt(project, tool)
    assert report.error is not None
    assert f"{tool}'s table {second} contains no applied migration" in report.error.message


def test_adoption_with_a_setting_for_a_missing_table_is_refused_with_those_that_are_there(
    project: Project,
) -> None:
    """A setting that names a missing table is refused, with the tables that exist."""
    project.write({"1_one.sql": "-- migrate:up\nSELECT 1;\n"})
    make_tables(project, "goose")
    report = project.do(
        Action.ADOPT, source="goose", dry_run=True, reason="r", requested_by="me", GOOSE_TABLE="x"
    )
    assert report.error is not None
    assert report.error.message == (
        "There is no history table of goose with the name x, which GOOSE_TABLE sets. Tables with"
        " its columns: public.goose_db_version, app.goose_db_version. Nothing was changed."
    )
