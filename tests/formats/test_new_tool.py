"""Add a tool with a package of its own and no other change."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.docs.markdown import list_undocumented
from tests.support.folders import write_folder

from lockgate import formats
from lockgate.core.request import Action
from lockgate.formats.names import list_formats, list_tools
from lockgate.formats.registry import read_migrations, recognise_format
from lockgate.report.report import Status
from lockgate.settings import read_settings
from lockgate.terminal.arguments import parse_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.project import Project

NAME = "toy-tool"
PACKAGE = """
from lockgate.core.migration import Version
from lockgate.formats.shared.scripts import (
    catalog_by_number, list_names, make_versioned, read_script,
)
from lockgate.formats.tool import ForeignHistory, ForeignRow, HistoryTable, TableShape, Tool


def read_folder(folder, variables):
    names = list_names(folder, (".toy",))
    return catalog_by_number([read_file(folder, name) for name in names], folder)


def read_file(folder, name):
    version = Version.parse(name.removesuffix(".toy"))
    return make_versioned(version, "", read_script(folder, name), None)


def recognise(folder):
    return "it has .toy files" if list_names(folder, (".toy",)) else None


def read_table(ask, table):
    rows = ask(f"SELECT number::text FROM {table} ORDER BY number")
    return ForeignHistory(table, tuple(ForeignRow(*row) for row in rows))


TOOL = Tool(
    name="toy-tool",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(TableShape("toy_history", ("number",)), read_table),
    evidence="has toy_history",
)
"""
FILES = {"1.toy": "CREATE TABLE one ();\n", "2.toy": "CREATE TABLE two ();\n"}


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add the toy package to the formats for one test."""
    write_folder(tmp_path / "more", {"toy_tool/__init__.py": "", "toy_tool/tool.py": PACKAGE})
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path / "more")])
    yield
    for name in [one for one in sys.modules if one.startswith("lockgate.formats.toy_tool")]:
        del sys.modules[name]


def test_new_tool_is_read_and_recognised(tmp_path: Path) -> None:
    """The new tool's name is accepted as a format, and its folder is read and recognised."""
    folder = write_folder(tmp_path / "m", FILES)

    assert NAME == read_settings({"LOCKGATE_FORMAT": NAME}).format
    assert NAME in list_formats()
    assert NAME == recognise_format(folder)
    assert ["1", "2"] == [m.migration_id for m in read_migrations(NAME, folder, {}).migrations]


def test_new_tool_can_be_named_in_a_terminal() -> None:
    """`adopt --from` accepts the new tool's name."""
    options = parse_arguments(["adopt", "--from", NAME, "--reason", "r"])
    assert NAME == options.source


def test_history_of_a_new_tool_is_adopted_and_the_rest_planned_and_applied(
    project: Project,
) -> None:
    """The history of a new tool is found and adopted, and a pending file is planned and applied."""
    project.write(FILES)
    project.settings["LOCKGATE_FORMAT"] = NAME
    project.database.run(
        "CREATE TABLE toy_history (number int); INSERT INTO toy_history VALUES (1)"
    )

    adopted = project.do(Action.ADOPT, reason="test", requested_by="me")
    planned = project.run(Action.PLAN)
    applied = project.run()

    assert [Status.APPLIED, Status.PLANNED, Status.APPLIED] == [
        one.status for one in (adopted, planned, applied)
    ]
    assert [("1", "applied"), ("2", "applied")] == project.history()


def test_first_run_respects_the_history_of_a_new_tool(project: Project) -> None:
    """A first run is refused with the new tool's name if its history table exists."""
    project.write(FILES)
    project.settings["LOCKGATE_FORMAT"] = NAME
    project.has_product_default = True
    project.database.run(
        "CREATE TABLE toy_history (number int); INSERT INTO toy_history VALUES (1)"
    )

    report = project.run()

    assert report.error is not None
    assert "toy-tool" in report.error.message


def test_new_tool_without_a_page_is_found_undocumented() -> None:
    """A new tool without a documentation page is found."""
    assert [NAME] == list_undocumented(list_tools())
