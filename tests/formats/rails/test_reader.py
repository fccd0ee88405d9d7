"""Read the SQL migrations of a Rails project; its Ruby migrations are not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.folders import list_versions, write_folder

from lockgate.core.request import Action
from lockgate.formats.native import reader as lockgate
from lockgate.formats.rails.reader import read_folder, recognise

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.project import Project


def test_folder_is_read_as_a_native_one(tmp_path: Path) -> None:
    """A Ruby migration with an SQL file of the same version is ignored."""
    marked = "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"
    files = {"20240102_b.sql": marked, "20240101_a.sql": "a", "20240101_a.rb": "", "x.rb": ""}
    folder = write_folder(tmp_path / "m", files)
    catalog = read_folder(folder, {})
    assert [("20240101", "a"), ("20240102", "b")] == list_versions(catalog)
    assert lockgate.read_folder(folder, {}) == catalog


def test_ruby_migration_is_known_by_its_name_and_not_run(project: Project) -> None:
    """A Ruby migration that Rails applied is adopted, and a pending one is refused."""
    project.settings["LOCKGATE_FORMAT"] = "rails"
    project.write({"20240101_a.rb": "class A", "sub/20240102_b.engine.rb": "", "schema.rb": ""})
    refused = project.run(Action.UP)
    project.database.run(
        "CREATE TABLE ar_internal_metadata (key varchar);"
        "CREATE TABLE schema_migrations (version varchar PRIMARY KEY);"
        "INSERT INTO schema_migrations VALUES ('20240101'), ('20240102')"
    )
    adopted = project.do(Action.ADOPT, source="rails", reason="we move")
    project.write({"20240103_c.sql": "CREATE TABLE c ();\n"})
    applied = project.run(Action.UP)
    assert refused.error is not None
    expected = (
        "20240101_a.rb:1: the script is a Ruby migration, and Lockgate cannot run Ruby."
        " Nothing was changed."
    )
    assert (expected, "applied") == (refused.error.message, adopted.status)
    assert ["20240103"] == [entry.version for entry in applied.applied]


def test_script_that_names_railss_table_gets_it(tmp_path: Path) -> None:
    """A script that writes the versions as structure.sql does finds the table."""
    folder = write_folder(tmp_path / "m", {"1_a.sql": "INSERT INTO schema_migrations VALUES ('1')"})
    stub = read_folder(folder, {}).stub
    assert stub is not None
    assert "schema_migrations" == stub.table


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


@pytest.mark.parametrize(
    ("files", "expected"),
    [({"1_a.rb": "", "1_a.sql": ""}, "Ruby migrations such as 1_a.rb"), ({"1_a.sql": ""}, None)],
)
def test_recognise_answers_for_ruby_migrations(
    tmp_path: Path, files: dict[str, str], expected: str | None
) -> None:
    """A folder without Ruby migrations is not recognised."""
    assert expected == recognise(write_folder(tmp_path / "m", files))
