"""Name the places of mistakes in graphile-migrate's files and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.formats.graphile_migrate.cases import SQL, commit
from tests.support.folders import write_folder

from lockgate.errors import MigrationFileInvalid
from lockgate.formats.graphile_migrate.reader import read_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.project import Project


def test_place_of_settings_is_seen_from_the_folder(tmp_path: Path) -> None:
    """The error's path is relative to the folder, so that a terminal can print one to open."""
    folder = write_folder(tmp_path / "migrations", commit(SQL) | {"../.gmrc": "{,"})
    with pytest.raises(MigrationFileInvalid) as caught:
        read_folder(folder, {})
    assert ("../.gmrc", 1) == (caught.value.file, caught.value.line)


def test_failing_line_is_named_where_it_stands(project: Project) -> None:
    """Headers and session settings do not shift lines, and the history tables exist for scripts."""
    project.settings["LOCKGATE_FORMAT"] = "graphile-migrate"
    body = "delete from graphile_migrate.migrations;\nselect 1,\n  no_such_column;\n"
    gmrc = '{ "pgSettings": { "search_path": "app, public" } }'
    project.write(commit("create schema app;\n", body) | {".gmrc": gmrc})
    report = project.run()
    assert report.error is not None
    place = (report.error.file, report.error.line, report.error.column)
    assert place == ("committed/000002-step.sql", 7, 3)
