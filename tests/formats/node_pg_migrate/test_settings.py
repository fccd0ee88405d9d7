"""Find the name of node-pg-migrate's table in a project's scripts and settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.folders import write_folder

from lockgate.formats.node_pg_migrate.settings import find_table_name
from lockgate.formats.tool import TableName

if TYPE_CHECKING:
    from pathlib import Path

HERE = "migrations-table in ../package.json"
DEFAULT = "../config/default.json"


def scripts(*commands: str) -> dict[str, str]:
    """Return a package.json with these scripts."""
    named = {f"s{place}": command for place, command in enumerate(commands)}
    return {"../package.json": json.dumps({"scripts": named})}


@pytest.mark.parametrize(
    ("files", "variables", "expected"),
    [
        ({}, {}, None),
        ({"../package.json": "[]"}, {}, None),
        ({"../package.json": '{"scripts": {"a": 1}}'}, {}, None),
        ({"../package.json": "{"}, {}, None),
        (scripts("node-pg-migrate up"), {}, None),
        (scripts("node-pg-migrate up -t applied"), {}, ("applied", HERE)),
        (scripts("node-pg-migrate -t 'applied' up; other -t b"), {}, ("applied", HERE)),
        (scripts("A=1 npx node-pg-migrate up --migrations-table=x && b"), {}, ("x", HERE)),
        (scripts("tsc && ./node_modules/.bin/pg-migrate up --migrations-table x"), {}, ("x", HERE)),
        (scripts("node-pg-migrate up -t x -s a"), {}, ("a.x", HERE)),
        (scripts("node-pg-migrate up -t x -s a --migrations-schema b"), {}, ("b.x", HERE)),
        (
            scripts("node-pg-migrate up -s a"),
            {},
            ("a.pgmigrations", "migrations-schema in ../package.json"),
        ),
        (scripts("node-pg-migrate up -t x", "node-pg-migrate create"), {}, ("x", HERE)),
        (scripts("node-pg-migrate up -t x", "node-pg-migrate up -t y"), {}, None),
        (scripts("knex -t x", "echo node-pg-migrates -t y"), {}, None),
        (
            {DEFAULT: '{// c\n"db": {"migrations-table": "x"}}'},
            {},
            ("x", f"migrations-table in {DEFAULT}"),
        ),
        (
            {
                DEFAULT: '{"db": {"migrations-table": "x"}}',
                "../config/production.json": '{"db": {"migrations-table": "y"}}',
            },
            {"NODE_ENV": "production"},
            ("y", "migrations-table in ../config/production.json"),
        ),
        (
            {"../config/production.json": '{"db": {"migrations-table": "y"}}'},
            {"NODE_ENV": "../config/production"},
            None,
        ),
        (
            scripts("node-pg-migrate up -t x") | {DEFAULT: '{"db": {"migrations-table": "y"}}'},
            {},
            ("y", f"migrations-table in {DEFAULT}"),
        ),
        (
            {},
            {"NODE_CONFIG": '{"db": {"migrations-table": "x"}}'},
            ("x", "migrations-table in NODE_CONFIG"),
        ),
        (
            scripts("node-pg-migrate up -f ./db/pg.json --config-value prod")
            | {"../db/pg.json": '{"prod": {"migrations-schema": "a"}, "dev": {"schema": "b"}}'},
            {},
            ("a.pgmigrations", "migrations-schema in ../db/pg.json"),
        ),
        (
            scripts("node-pg-migrate up --config-file pg.json")
            | {"../pg.json": '{"migrations-table": "x"}'},
            {},
            ("x", "migrations-table in ../pg.json"),
        ),
        (scripts("node-pg-migrate up -f pg.config.js"), {}, None),
        (scripts("node-pg-migrate up -f ../../pg.json"), {}, None),
        ({DEFAULT: '{"db": "postgres://h/d"}'}, {}, None),
        ({DEFAULT: '{"db": {"migrations-table": 1, "schema": []}}'}, {}, None),
    ],
)
def test_name_is_found_where_the_tool_reads_it(
    tmp_path: Path,
    files: dict[str, str],
    variables: dict[str, str],
    expected: tuple[str, str] | None,
) -> None:
    """Command lines in package.json, config's files and variable, and the named file count."""
    (tmp_path / "project").mkdir()
    folder = write_folder(tmp_path / "project" / "migrations", files)
    found = find_table_name(folder, variables)
    assert found == (None if expected is None else TableName(*expected))
