"""The order of a catalog, and its digest against the server's."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.catalog import make_catalog
from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Kind, Language, Migration, Options, Script, Version
from lockgate.postgres.digest import digest_sql
from lockgate.postgres.schema import Tables, creation_sql

if TYPE_CHECKING:
    import pg8000.native
    from tests.support.database import Database

TABLES = Tables("lockgate")
RECORD = """
INSERT INTO lockgate.migration_history (
    migration_id, name, kind, up_checksum, language, state, statements_done, statements_total,
    applied_at, duration_ms, run_id, token, database_user, package_version)
VALUES (:id, 'x', 'versioned', :checksum, 'sql', 'applied', 1, 1, now(), 0, 'run', 1, 'me', '0')
"""
# No file system and no reader lets all of these through; the digest must not depend on that.
AWKWARD = [
    "R__größe",
    "R__Größe",
    "R__groesse",
    "R__a",
    "R__a ",
    "R__a b",
    "R__a!",
    "R__A",
    "R__a\tb",
    "R__a\nb",
    "R__it's \\ 50% :x $1",
    "R__é",
    "R__e\u0301",
    "R__\uffff",
    "R__🐘",
    "R__",
]
NAMES = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def make_migration(migration_id: str, text: str = "SELECT 1;") -> Migration:
    """Return a migration by its id: ``R__name`` or a version."""
    script = Script(text, "x.sql", 1, Language.SQL, Options(), text_checksum(text))
    if migration_id.startswith("R__"):
        return Migration(None, migration_id.removeprefix("R__"), Kind.REPEATABLE, script, None)
    return Migration(Version.parse(migration_id), "x", Kind.VERSIONED, script, None)


@pytest.fixture
def history(database: Database) -> pg8000.native.Connection:
    """Give a connection to a database with our tables, all empty."""
    database.run(creation_sql(TABLES, schema_exists=False))
    return database.connect()


def read_digest(connection: pg8000.native.Connection) -> str:
    """Return what the server computes over the history."""
    digest: str = connection.run(digest_sql(TABLES))[0][0]
    return digest


def test_catalog_orders_versions_as_numbers_and_repeatables_last() -> None:
    """Versions come as numbers, then repeatables by the bytes of their names."""
    ids = ["R__b", "10", "R__B", "0009", "2.10", "R__ä", "2.9", "R__a"]
    catalog = make_catalog([make_migration(one) for one in ids], "migrations")
    assert ["2.9", "2.10", "0009", "10", "R__B", "R__a", "R__b", "R__ä"] == [
        migration.migration_id for migration in catalog.migrations
    ]


def test_latest_is_the_highest_version() -> None:
    """Repeatables have no part in it."""
    catalog = make_catalog([make_migration(one) for one in ["R__z", "10", "9"]], "migrations")
    assert Version.parse("10") == catalog.latest
    assert make_catalog([make_migration("R__z")], "migrations").latest is None


def test_migration_is_found_by_version_however_written() -> None:
    """The index is by number, that by id is by text."""
    catalog = make_catalog([make_migration("0007")], "migrations")
    assert "0007" == catalog.by_version[Version.parse("7")].migration_id
    assert ["0007"] == list(catalog.by_id)


def test_digest_of_known_catalog_never_changes() -> None:
    """A golden vector: the server's side of it is in every database in use."""
    catalog = make_catalog([make_migration("2"), make_migration("10")], "migrations")
    line = text_checksum("SELECT 1;")
    expected = hashlib.sha256(f"10 {line}\n2 {line}\n".encode()).hexdigest()
    assert expected == catalog.digest()


@given(st.permutations(AWKWARD))
def test_digest_does_not_depend_on_the_order_of_reading(ids: list[str]) -> None:
    """Files in any order have one digest."""
    first = make_catalog([make_migration(one) for one in AWKWARD], "migrations").digest()
    assert first == make_catalog([make_migration(one) for one in ids], "migrations").digest()


@pytest.mark.parametrize(
    "changed",
    [
        [("1", "SELECT 1;"), ("2", "SELECT 3;")],
        [("1", "SELECT 1;"), ("02", "SELECT 2;")],
        [("1", "SELECT 2;"), ("2", "SELECT 1;")],
        [("1", "SELECT 1;")],
        [("1", "SELECT 1;"), ("2", "SELECT 2;"), ("3", "SELECT 2;")],
    ],
)
def test_digest_changes_with_any_id_or_text(changed: list[tuple[str, str]]) -> None:
    """One text, one id, one migration more or less is another digest."""
    before = make_catalog([make_migration("1"), make_migration("2", "SELECT 2;")], "migrations")
    after = make_catalog([make_migration(*one) for one in changed], "migrations")
    assert before.digest() != after.digest()


def test_digest_of_nothing_is_the_servers(history: pg8000.native.Connection) -> None:
    """A history without rows and a catalog without files agree."""
    assert make_catalog([], "migrations").digest() == read_digest(history)


def test_digest_of_awkward_ids_is_the_servers(history: pg8000.native.Connection) -> None:
    """Python and the server sort the same bytes, whatever the ids are made of."""
    ids = [*AWKWARD, "9", "10", "010", "1.2", "1_3", "20261122093000"]
    migrations = [make_migration(one, f"SELECT {place};") for place, one in enumerate(ids)]
    for migration in migrations:
        history.run(RECORD, id=migration.migration_id, checksum=migration.up.checksum)
    assert make_catalog(migrations, "migrations").digest() == read_digest(history)


def test_digest_of_any_ids_is_the_servers(history: pg8000.native.Connection) -> None:
    """The same for whatever Hypothesis thinks of."""

    @given(st.sets(NAMES, max_size=12))
    def compare(names: set[str]) -> None:
        migrations = [make_migration(f"R__{name}", name) for name in sorted(names)]
        history.run("TRUNCATE lockgate.migration_history")
        for migration in migrations:
            history.run(RECORD, id=migration.migration_id, checksum=migration.up.checksum)
        assert make_catalog(migrations, "migrations").digest() == read_digest(history)

    compare()
