"""Run the cases of all tools; `kit.py` explains them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.formats.kit import describe, fits, list_cases, look, package_of
from tests.support.folders import write_folder
from tests.support.tables import find_table, make_ask

from lockgate.core.analysis import analyse_script
from lockgate.core.request import Action
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.names import list_formats
from lockgate.formats.registry import find_tool
from lockgate.report.report import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.formats.kit import (
        Adoption,
        Checksum,
        Files,
        History,
        NotRun,
        Read,
        Recognised,
        Refused,
        Stub,
    )
    from tests.support.database import Database
    from tests.support.project import Project


def each(kind: str) -> pytest.MarkDecorator:
    """Give a test every case of a kind, with the name of its tool."""
    found = [
        pytest.param(cases.name, case, id=f"{package_of(cases)}: {describe(case)}")
        for cases in list_cases()
        for case in getattr(cases, kind)
    ]
    return pytest.mark.parametrize(("tool", "case"), found)


def write(tmp_path: Path, files: Files) -> Path:
    """Write files into a folder inside a folder of its own, so that some can be beside it."""
    (tmp_path / "project").mkdir()
    return write_folder(tmp_path / "project" / "migrations", files)


def test_every_format_has_cases() -> None:
    """A tool in the registry without cases fails here."""
    assert set(list_formats()) == {cases.name for cases in list_cases()}


@pytest.mark.parametrize("name", list_formats())
def test_missing_folder_is_refused_with_its_path(tmp_path: Path, name: str) -> None:
    """The error names the missing folder, in every format."""
    with pytest.raises(MigrationFileInvalid) as caught:
        find_tool(name).read_folder(tmp_path / "gone", {})
    assert f"The migrations folder {tmp_path / 'gone'} does not exist." == str(caught.value)


@each("read")
def test_folder_is_read_as_its_tool_reads_it(tmp_path: Path, tool: str, case: Read) -> None:
    """The migrations have the expected attributes and order."""
    catalog = find_tool(tool).read_folder(write(tmp_path, case.files), case.variables)
    found = {path: [look(one, path) for one in catalog.migrations] for path in case.expected}
    expected = {path: list(values) for path, values in case.expected.items()}
    assert expected == found, case.about
    assert case.order in {None, catalog.order}


@each("refused")
def test_folder_that_the_tool_cannot_run_is_refused(
    tmp_path: Path, tool: str, case: Refused
) -> None:
    """The error names the file, the line if there is one, and the fix."""
    with pytest.raises(MigrationFileInvalid) as caught:
        find_tool(tool).read_folder(write(tmp_path, case.files), case.variables)
    assert fits(case.message, str(caught.value)), str(caught.value)
    assert caught.value.hint
    assert fits(case.hint, caught.value.hint), caught.value.hint
    line = re.search(r":(\d+)[: ]", str(caught.value))
    assert (line and int(line[1]), case.column) == (caught.value.line, caught.value.column)
    file = (caught.value.file or "").rpartition("../")[2]
    assert str(caught.value).startswith(file) or str(caught.value).endswith(f" {file}.")


@each("not_run")
def test_script_that_cannot_be_run_is_refused_when_it_is_to_run(
    tmp_path: Path, tool: str, case: NotRun
) -> None:
    """The folder can be read, and the error names the file and the line; no text is filled in."""
    catalog = find_tool(tool).read_folder(write(tmp_path, case.files), case.variables)
    with pytest.raises(MigrationFileInvalid) as caught:
        _ = [analyse_script(migration.up) for migration in catalog.migrations]
    assert fits(case.message, str(caught.value)), str(caught.value)
    assert caught.value.hint
    assert {None} >= {one.up.substituted for one in catalog.migrations if one.up.obstacle}


@each("recognised")
def test_folder_is_recognised_by_what_only_the_tool_has(
    tmp_path: Path, tool: str, case: Recognised
) -> None:
    """The answer is the sign of the tool, or none."""
    assert case.sign == find_tool(tool).recognise(write(tmp_path, case.files))


@each("stubs")
def test_script_that_names_the_tools_table_gets_it(tmp_path: Path, tool: str, case: Stub) -> None:
    """A folder whose scripts touch the tool's history has a stub of the table, any other has none."""
    stub = find_tool(tool).read_folder(write(tmp_path, case.files), {}).stub
    assert case.table == (None if stub is None else stub.table)
    assert case.sql in ("" if stub is None else stub.sql)


@each("stubs")
def test_script_that_names_the_tools_table_runs(project: Project, tool: str, case: Stub) -> None:
    """The table is there, and empty, when the first script runs."""
    project.settings["LOCKGATE_FORMAT"] = tool
    project.write(case.files)
    report = project.run()
    assert Status.APPLIED is report.status, report.error
    if case.table is not None:
        count = f"SELECT count(*) FROM {case.table}"
        assert [[case.rows]] == project.database.run(count)


@each("checksums")
def test_checksum_is_the_one_that_the_tool_records(
    tmp_path: Path, tool: str, case: Checksum
) -> None:
    """The file has the tool's checksum, and others are accepted as the tool accepts them."""
    folder = write(tmp_path, case.files)
    table = find_tool(tool).table
    assert table is not None
    (migration,) = find_tool(tool).read_folder(folder, {}).migrations
    if table.file_checksum is not None:
        assert case.expected == table.file_checksum(folder, migration), case.about
    if table.matches_checksum is not None:
        given = (*case.accepted, *case.refused)
        found = [one for one in given if table.matches_checksum(folder, migration, one)]
        assert list(case.accepted) == found, case.about


@each("histories")
def test_history_is_read_from_the_tools_table(database: Database, tool: str, case: History) -> None:
    """The table is found by its shape, and its rows are in the order of application."""
    table = find_tool(tool).table
    assert table is not None
    if case.setup:
        database.run(case.setup)
    ask = make_ask(database, setup="SET TIME ZONE 'UTC'")
    found = find_table(table.shape, ask)
    assert case.expected == (None if found is None else table.read(ask, found)), case.about


@each("adoptions")
def test_history_is_adopted_and_continued(project: Project, tool: str, case: Adoption) -> None:
    """What the tool applied is not run again, and its own table is left unchanged."""
    project.settings |= {"LOCKGATE_FORMAT": tool, **case.settings}
    project.write(case.files)
    if case.before is not None:
        refused = project.run()
        assert refused.error is not None
        assert fits(case.before, refused.error.message), refused.error.message
    project.database.run(case.setup)
    rows = list_rows(project.database, tool)
    report = project.do(Action.ADOPT, source=tool, reason="we move", requested_by="test")
    if case.refused is not None:
        assert report.error is not None
        assert Status.REFUSED is report.status
        assert fits(case.refused, report.error.message), report.error.message
        return
    assert Status.APPLIED is report.status, report.error
    assert sorted((one, "applied") for one in case.adopted) == project.history()
    project.write(case.later)
    finished = project.run()
    assert list(case.applied) == [one.version for one in finished.applied]
    expected = [*case.adopted, *case.applied]
    assert sorted((one, "applied") for one in expected) == project.history()
    assert Status.UP_TO_DATE is project.run().status
    assert rows == list_rows(project.database, tool)


def list_rows(database: Database, tool: str) -> list[list[object]]:
    """Return the rows of a tool's history table."""
    table = find_tool(tool).table
    assert table is not None
    found = find_table(table.shape, make_ask(database))
    return database.run(f"SELECT row::text FROM {found} AS row ORDER BY 1")
