"""Read yoyo folders: directives, order, rollbacks, Python steps, and what Lockgate refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.foreign_folder import ForeignFolder

from lockgate.core.analysis import analyse_script
from lockgate.core.migration import Language
from lockgate.errors import MigrationFileInvalid

if TYPE_CHECKING:
    from pathlib import Path

SQL = "SELECT 1;\n"


@pytest.fixture
def folder(tmp_path: Path) -> ForeignFolder:
    """Give an empty yoyo folder."""
    return ForeignFolder(tmp_path / "migrations", "yoyo")


def test_two_files_become_a_migration(folder: ForeignFolder) -> None:
    """The name without its extension is the id, and each script is a whole file with its directives."""
    up = "-- a table\n-- transactional: false\nCREATE TABLE t ();\n"
    migration = folder.read_one({"0001.t.sql": up, "0001.t.rollback.sql": "DROP TABLE t;\n"})
    assert migration.down is not None
    expected = ("0001.t", up, False, "DROP TABLE t;\n", False)
    assert expected == (
        migration.migration_id,
        migration.up.text,
        migration.up.options.transaction,
        migration.down.text,
        migration.down.options.transaction,
    )


def test_order_is_that_of_names_unless_a_migration_waits(folder: ForeignFolder) -> None:
    """Migrations are sorted by file name, but each waits for its dependencies."""
    files = {
        "a.sql": "-- depends: z\n-- depends: m\nSELECT 1;",
        "b.sql": SQL,
        "m.sql": "\n-- depends: n\n\nSELECT 1;",
        "n.sql": SQL,
        "z.sql": SQL,
    }
    assert ["b", "n", "m", "z", "a"] == folder.ids(files)


def test_names_are_compared_with_their_extension(folder: ForeignFolder) -> None:
    """Names are compared with their extension, so a dash sorts before the dot."""
    assert ["a-b", "a"] == folder.ids({"a.sql": SQL, "a-b.sql": SQL})


def test_directive_below_the_first_statement_is_a_comment(folder: ForeignFolder) -> None:
    """Directives count only above the first SQL, and a block comment ends them too."""
    text = "SELECT 1;\n-- depends: nobody\n-- transactional: false\n"
    block = "/* head */\n-- transactional: false\nSELECT 1;\n"
    catalog = folder.read({"a.sql": text, "b.sql": block})
    assert [None, None] == [m.up.options.transaction for m in catalog.migrations]


@pytest.mark.parametrize(("word", "expected"), [("true", True), ("FALSE", False)])
def test_transactional_is_read_in_any_case(
    folder: ForeignFolder, word: str, *, expected: bool
) -> None:
    """True and false are accepted in any case."""
    migration = folder.read_one({"a.sql": f"-- transactional: {word}\nSELECT 1;"})
    assert expected is migration.up.options.transaction


def test_other_files_are_passed_over(folder: ForeignFolder) -> None:
    """Rollbacks alone, subfolders, drafts and suffixes in capitals are ignored."""
    others = ("b.rollback.sql", "sub/c.sql", "_tmp_yoyonew_d.sql", "E.SQL", "yoyo.ini")
    assert ["a"] == folder.ids({"a.sql": SQL, **dict.fromkeys(others, SQL)})


def test_python_steps_become_scripts(folder: ForeignFolder) -> None:
    """Each step keeps its line of the file, and rollbacks run in reverse order."""
    text = '''"""A table."""
from yoyo import step

__depends__ = {"0001.a"}
__transactional__ = False

steps = [
    step("""
CREATE TABLE t ()
    """, "DROP TABLE t"),
    step("SELECT 2 -- two", rollback="SELECT 3"),
    step("SELECT 4"),
]
'''
    catalog = folder.read({"0001.a.sql": SQL, "0002.b.py": text})
    migration = catalog.migrations[1]
    up = "\n" * 7 + "\nCREATE TABLE t ()\n    ;\nSELECT 2 -- two\n;SELECT 4;"
    down = "\n" * 10 + "SELECT 3;DROP TABLE t;"
    assert migration.down is not None
    expected = ("0002.b", up, False, Language.SQL, down)
    assert expected == (
        migration.migration_id,
        migration.up.text,
        migration.up.options.transaction,
        migration.up.language,
        migration.down.text,
    )


def test_groups_of_named_steps_run_where_the_group_is(folder: ForeignFolder) -> None:
    """A step that is part of a group runs with the group, not where it is defined."""
    text = (
        "import yoyo\nfirst = yoyo.step('SELECT 1')\nyoyo.step('SELECT 2')\nyoyo.group(first, "
        "yoyo.step('SELECT 3'))\nyoyo.transaction([yoyo.step('SELECT 4')])\n"
    )
    migration = folder.read_one({"a.py": text})
    assert ["SELECT 2", "SELECT 1", "SELECT 3", "SELECT 4"] == [
        part.strip() for part in migration.up.text.split(";") if part.strip()
    ]
    assert migration.down is None


@pytest.mark.parametrize(
    ("code", "line", "why"),
    [
        (
            "from yoyo import step\n\ndef up(conn): ...\nstep(up)",
            3,
            "more than steps with literal SQL",
        ),
        ("from yoyo import step\nstep('SELECT 1', ignore_errors='all')", 2, "passes ignore_errors"),
        (
            "from yoyo import step\nfrom app import SQL\nstep(SQL)",
            2,
            "more than steps with literal SQL",
        ),
        ("from yoyo import step\nstep(f'SELECT {1}')", 2, "more than steps with literal SQL"),
        (
            "from yoyo import step\nfor i in range(3):\n    step('SELECT 1')",
            2,
            "more than steps with literal SQL",
        ),
    ],
)
def test_python_that_must_be_run_is_an_obstacle(
    folder: ForeignFolder, code: str, line: int, why: str
) -> None:
    """A file that must be executed keeps its place in the order and is refused when it is to run."""
    catalog = folder.read({"a.sql": "-- depends: b\nSELECT 1;", "b.py": code})
    migration = catalog.migrations[0]
    with pytest.raises(MigrationFileInvalid) as caught:
        analyse_script(migration.up)
    assert ("b", f"b.py:{line}: the script ") == (migration.migration_id, str(caught.value)[:19])
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "contains no migrations"),
        ({"post-apply.sql": SQL}, "post-apply.sql is a hook"),
        ({"a.sql": "\n-- depends: b\n"}, "a.sql:2 depends on b, which is not a migration"),
        (
            {"a.sql": "-- depends: b\n", "b.sql": "-- depends: a\n", "c.sql": "-- depends: a\n"},
            "is part of a circle of dependencies: a, b, c",
        ),
        ({"a.sql": "-- transactional: no\n"}, 'a.sql:1 has transactional: "no"'),
        ({"a.sql": SQL, "a.py": ""}, "Two files have version a: a.py and a.sql"),
        ({"a.py": "step("}, "a.py:1 has a Python syntax error"),
        ({"a.py": "\n__depends__ = find()"}, "a.py:2 has a __depends__ that is not a literal"),
    ],
)
def test_folder_is_refused_with_its_reason(
    folder: ForeignFolder, files: dict[str, str], expected: str
) -> None:
    """The message names the file and, where there is one, the line."""
    folder.write({"README": ""})
    message = folder.refuse(files)
    assert expected in message


def test_own_table_stands_in_where_a_script_names_it(folder: ForeignFolder) -> None:
    """A script that names yoyo's table finds it with its columns."""
    catalog = folder.read({"a.sql": "DELETE FROM _yoyo_migration;"})
    assert catalog.stub is not None
    assert "migration_hash" in catalog.stub.sql


def test_folder_without_its_table_has_no_stub(folder: ForeignFolder) -> None:
    """A folder that does not name yoyo's table gets no stub."""
    assert folder.read({"a.sql": SQL}).stub is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.sql": "-- depends: b\nSELECT 1"}, "a.sql has -- depends:"),
        ({"a.sql": SQL, "a.rollback.sql": SQL}, "a.rollback.sql is beside its migration"),
        ({"a.py": "from yoyo import step"}, "a.py imports yoyo"),
        ({"a.sql": SQL}, None),
        ({"a.rollback.sql": SQL}, None),
        ({"a.py": "import os", "b.sql": "SELECT 1;\n-- depends: a"}, None),
    ],
)
def test_folder_is_recognised_by_what_only_yoyo_has(
    folder: ForeignFolder, files: dict[str, str], expected: str | None
) -> None:
    """A directive, a rollback beside its migration or an import of yoyo identifies the folder."""
    assert expected == folder.recognise(files)
