"""Read Prisma's table as a history, compare its checksums, and adopt it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from tests.support.asking import make_ask
from tests.support.tables import find_table

from lockgate.core.request import Action
from lockgate.formats.prisma import table as prisma
from lockgate.formats.prisma.reader import read_folder
from lockgate.formats.tool import ForeignState
from lockgate.report.report import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.database import Database
    from tests.support.project import Project

    from lockgate.formats.tool import ForeignHistory

# As created by Prisma.
TABLE = """
CREATE TABLE {schema}._prisma_migrations (
    id varchar(36) PRIMARY KEY NOT NULL, checksum varchar(64) NOT NULL, finished_at timestamptz,
    migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz,
    started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count integer NOT NULL DEFAULT 0
)"""
ROW = """
INSERT INTO _prisma_migrations
    (id, checksum, migration_name, started_at, finished_at, rolled_back_at, applied_steps_count)
VALUES (gen_random_uuid(), '{checksum}', '{name}', '{started}', {finished}, {rolled_back}, 1)"""
LOCK = 'provider = "postgresql"\n'
FIRST = "CREATE TABLE one ();\n"
SECOND = "CREATE TABLE two ();\n"


def digest_of(text: str) -> str:
    """Return the checksum that Prisma records."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_row(
    database: Database,
    name: str,
    text: str = FIRST,
    *,
    started: str = "2024-01-01 00:00:00+00",
    finished: bool = True,
    rolled_back: bool = False,
) -> None:
    """Write a row as Prisma does."""
    database.run(
        ROW.format(
            checksum=digest_of(text),
            name=name,
            started=started,
            finished=f"'{started}'::timestamptz + interval '1 s'" if finished else "NULL",
            rolled_back="now()" if rolled_back else "NULL",
        )
    )


def read(database: Database) -> ForeignHistory:
    """Return the history in the table."""
    table = find_table(prisma.SHAPE, make_ask(database))
    assert table is not None
    return prisma.read_table(make_ask(database), table)


def test_table_is_found_where_it_is_the_only_one(database: Database) -> None:
    """The table is found in any schema; if there are several, none is chosen."""
    ask = make_ask(database)
    assert find_table(prisma.SHAPE, ask) is None
    database.run('CREATE SCHEMA "My app"; CREATE SCHEMA other')
    database.run(TABLE.format(schema='"My app"'))
    assert find_table(prisma.SHAPE, ask) == '"My app"._prisma_migrations'
    database.run(TABLE.format(schema="other"))
    assert find_table(prisma.SHAPE, ask) is None
    database.run(TABLE.format(schema="public"))
    assert find_table(prisma.SHAPE, ask) is None


def test_rows_become_what_is_applied(database: Database) -> None:
    """Rows are ordered by start time and have the end time."""
    database.run(TABLE.format(schema="public"))
    write_row(database, "2_b", SECOND, started="2024-01-02 00:00:00+00")
    write_row(database, "1_a", started="2024-01-01 00:00:00+00")
    rows = read(database).rows
    expected = [
        ("1_a", digest_of(FIRST), ForeignState.APPLIED, "2024-01-01T00:00:01+00:00"),
        ("2_b", digest_of(SECOND), ForeignState.APPLIED, "2024-01-02T00:00:01+00:00"),
    ]
    found = [
        (r.version, r.checksum, r.state, r.applied_at and r.applied_at.isoformat()) for r in rows
    ]
    assert found == expected


def test_rolled_back_row_is_not_applied(database: Database) -> None:
    """A rolled-back row is ignored, and a later attempt counts."""
    database.run(TABLE.format(schema="public"))
    write_row(database, "1_a", finished=False, rolled_back=True)
    write_row(database, "1_a", started="2024-01-02 00:00:00+00")
    write_row(database, "2_b", finished=False, rolled_back=True)
    found = [(row.version, row.state) for row in read(database).rows]
    assert found == [("1_a", ForeignState.APPLIED)]


def test_open_attempt_is_a_failure(database: Database) -> None:
    """An unfinished attempt is a failure, whatever other rows the migration has, as in Prisma."""
    database.run(TABLE.format(schema="public"))
    write_row(database, "1_a", finished=False)
    write_row(database, "1_a", started="2024-01-02 00:00:00+00")
    (row,) = read(database).rows
    expected = (
        "It failed, or is still running. Check what it changed, then run: prisma migrate resolve"
        " --applied 1_a, or --rolled-back 1_a."
    )
    assert (row.state, row.detail) == (ForeignState.FAILED, expected)


@pytest.mark.parametrize(
    ("text", "written", "expected"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\r\nb\r\n", True),
        ("a\r\nb\r\n", "a\nb\n", True),
        ("a\nb\n", "a\nb", False),
    ],
)
def test_digest_is_compared_as_prisma_does(
    tmp_path: Path, text: str, written: str, *, expected: bool
) -> None:
    """Line endings do not affect the comparison of checksums; other characters do."""
    (tmp_path / "1_a").mkdir()
    (tmp_path / "1_a" / "migration.sql").write_bytes(text.encode())
    (migration,) = read_folder(tmp_path, {}).migrations
    assert prisma.file_checksum(tmp_path, migration) == digest_of(text)
    assert prisma.matches_checksum(tmp_path, migration, digest_of(written)) is expected


def test_digest_of_the_first_releases_is_accepted(tmp_path: Path) -> None:
    """Early Prisma releases wrote bytes below 16 as a single digit."""
    (tmp_path / "1_a").mkdir()
    (tmp_path / "1_a" / "migration.sql").write_bytes(b"hello")
    (migration,) = read_folder(tmp_path, {}).migrations
    short = "2cf24dba5fb0a3e26e83b2ac5b9e29e1b161e5c1fa7425e7343362938b9824"
    assert prisma.matches_checksum(tmp_path, migration, short)


@pytest.fixture
def adopted(project: Project) -> Project:
    """Give a project with two migrations, the first of them applied by Prisma."""
    project.settings["LOCKGATE_FORMAT"] = "prisma"
    project.write(
        {
            "migration_lock.toml": LOCK,
            "1_a/migration.sql": FIRST,
            "2_b/migration.sql": SECOND,
        }
    )
    project.database.run(TABLE.format(schema="public"))
    project.database.run(FIRST)
    write_row(project.database, "1_a")
    return project


def test_adopted_history_is_continued(adopted: Project) -> None:
    """A migration that Prisma applied is not run again, and Prisma's table is unchanged."""
    report = adopted.do(Action.ADOPT, source="prisma", reason="we move")
    assert report.status is Status.APPLIED
    assert adopted.run().status is Status.APPLIED
    assert adopted.history() == [("1_a", "applied"), ("2_b", "applied")]
    assert adopted.database.run("SELECT migration_name FROM _prisma_migrations") == [["1_a"]]


def test_edited_file_is_not_adopted(adopted: Project) -> None:
    """A file that was edited after Prisma applied it is not adopted."""
    adopted.write({"1_a/migration.sql": FIRST + "SELECT 1;\n"})
    report = adopted.do(Action.ADOPT, source="prisma", reason="we move")
    expected = (
        "Files were edited after prisma applied them, by its own checksums: 1_a."
        " Nothing was changed."
    )
    assert report.error is not None
    assert report.error.message == expected


def test_failed_migration_is_not_adopted(adopted: Project) -> None:
    """The refusal includes the prisma command that resolves it."""
    write_row(adopted.database, "2_b", SECOND, finished=False)
    report = adopted.do(Action.ADOPT, source="prisma", reason="we move")
    expected = (
        "prisma's table public._prisma_migrations has problems. 2_b: It failed, or is still"
        " running. Check what it changed, then run: prisma migrate resolve --applied 2_b, or"
        " --rolled-back 2_b. Nothing was changed."
    )
    assert report.error is not None
    assert report.error.message == expected
