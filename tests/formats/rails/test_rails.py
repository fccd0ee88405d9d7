"""Read and run SQL files of a Rails project as native ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.formats.rails.cases import FILES
from tests.support.folders import write_folder

from lockgate.core.request import Action
from lockgate.formats.native import reader as lockgate
from lockgate.formats.rails.reader import read_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.project import Project


def test_folder_is_read_as_a_native_one(tmp_path: Path) -> None:
    """The catalog is the one that the native format gives."""
    folder = write_folder(tmp_path / "m", FILES)
    assert lockgate.read_folder(folder, {}) == read_folder(folder, {})


def test_structure_that_makes_railss_tables_itself_is_applied(project: Project) -> None:
    """A complete structure.sql creates both tables and its versions itself."""
    project.settings["LOCKGATE_FORMAT"] = "rails"
    text = """SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.ar_internal_metadata (key character varying NOT NULL);
CREATE TABLE public.schema_migrations (
    version character varying NOT NULL
);
SET search_path TO "$user", public;
INSERT INTO "schema_migrations" (version) VALUES ('20240101'), ('20230101');
"""
    project.write({"20240101_structure.sql": text})
    project.run(Action.UP)
    assert [[2]] == project.database.run("SELECT count(*) FROM public.schema_migrations")
