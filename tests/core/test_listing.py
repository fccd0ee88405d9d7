"""The listing of a catalog: its digest matches the server's, and shows which migrations are applied."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.core.catalog import make_catalog
from lockgate.core.checksum import text_checksum
from lockgate.core.listing import digest_lines, find_known, has_same_down, list_catalog, make_line
from lockgate.core.migration import Kind, Language, Migration, Options, Script, Version
from lockgate.core.probe import Probe
from lockgate.postgres.tables.digest import digest_sql
from lockgate.postgres.tables.schema import creation_sql
from lockgate.postgres.tables.table_names import Tables

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
# No file system and no reader allows all of these; the digest must not depend on that.
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


def make_migration(
    migration_id: str, text: str = "SELECT 1;", down: str | None = None
) -> Migration:
    """Return a migration by its id: ``R__name`` or a version."""
    up, undo = (
        None
        if one is None
        else Script(one, "x.sql", 1, Language.SQL, Options(), text_checksum(one))
        for one in (text, down)
    )
    assert up is not None
    if migration_id.startswith("R__"):
        return Migration(None, migration_id.removeprefix("R__"), Kind.REPEATABLE, up, undo)
    return Migration(Version.parse(migration_id), "x", Kind.VERSIONED, up, undo)


def digest(migrations: list[Migration]) -> str:
    """Return the digest of a catalog."""
    return digest_lines(list_catalog(make_catalog(migrations, "migrations")).lines)


@pytest.fixture
def history(database: Database) -> pg8000.native.Connection:
    """Give a connection to a database with Lockgate's tables, all empty."""
    database.run(creation_sql(TABLES, schema_exists=False))
    return database.connect()


def read_digest(connection: pg8000.native.Connection) -> str:
    """Return the digest that the server computes over the history."""
    digest: str = connection.run(digest_sql(TABLES))[0][0]
    return digest


def test_digest_of_known_catalog_never_changes() -> None:
    """The golden vector matches: deployed databases compute the same digest."""
    line = text_checksum("SELECT 1;")
    expected = hashlib.sha256(f"10 {line}\n2 {line}\n".encode()).hexdigest()
    assert expected == digest([make_migration("2"), make_migration("10")])


@must_reach(another_order=80)
@given(st.permutations(AWKWARD))
def test_digest_does_not_depend_on_the_order_of_reading(ids: list[str]) -> None:
    """The digest does not depend on the order in which files are read."""
    reached("another_order", when=ids != AWKWARD)
    first = digest([make_migration(one) for one in AWKWARD])
    assert first == digest([make_migration(one) for one in ids])


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
    """Changing a text or an id, or adding or removing a migration, changes the digest."""
    before = digest([make_migration("1"), make_migration("2", "SELECT 2;")])
    assert before != digest([make_migration(*one) for one in changed])


def test_digest_of_nothing_is_the_servers(history: pg8000.native.Connection) -> None:
    """An empty history and an empty catalog have the same digest."""
    assert digest([]) == read_digest(history)


def test_digest_of_awkward_ids_is_the_servers(history: pg8000.native.Connection) -> None:
    """Python and the server sort unusual ids in the same byte order."""
    ids = [*AWKWARD, "9", "10", "010", "1.2", "1_3", "20261122093000"]
    migrations = [make_migration(one, f"SELECT {place};") for place, one in enumerate(ids)]
    for migration in migrations:
        history.run(RECORD, id=migration.migration_id, checksum=migration.up.checksum)
    assert digest(migrations) == read_digest(history)


def test_digest_of_any_ids_is_the_servers(history: pg8000.native.Connection) -> None:
    """Python and the server compute the same digest for any ids."""

    @must_reach(several=30, beyond_ascii=30)
    @given(st.sets(NAMES, max_size=12))
    def compare(names: set[str]) -> None:
        reached("several", when=len(names) > 1)
        reached("beyond_ascii", when=not "".join(names).isascii())
        migrations = [make_migration(f"R__{name}", name) for name in sorted(names)]
        history.run("TRUNCATE lockgate.migration_history")
        for migration in migrations:
            history.run(RECORD, id=migration.migration_id, checksum=migration.up.checksum)
        assert digest(migrations) == read_digest(history)

    compare()


def test_digest_of_down_scripts_is_the_servers(history: pg8000.native.Connection) -> None:
    """The digest of down scripts skips migrations without one, in Python and on the server."""
    rows = {"1": "SELECT 2;", "02": None, "R__a b": None, "10": "SELECT 3;"}
    for migration_id, down in rows.items():
        history.run(RECORD, id=migration_id, checksum=text_checksum("SELECT 1;"))
        history.run(
            "UPDATE lockgate.migration_history SET down_checksum = :down WHERE migration_id = :id",
            down=None if down is None else text_checksum(down),
            id=migration_id,
        )
    listing = list_catalog(
        make_catalog([make_migration(one, down=down) for one, down in rows.items()], "migrations")
    )
    assert digest_lines(listing.down_lines(3)) == history.run(digest_sql(TABLES))[0][1]


# Which migrations the history contains.

PROBE = Probe("db", "me", "me", "17", 170000, False, 100, True, False, False)
FOLDER = [
    make_migration("1", "SELECT 1;", "SELECT -1;"),
    make_migration("2", "SELECT 2;"),
    make_migration("3", "SELECT 3;", "SELECT -3;"),
    make_migration("R__a", "SELECT 4;"),
]


def look(applied: list[Migration], unfinished: int = 0) -> Probe:
    """Return a probe of a database with these migrations applied."""
    listing = list_catalog(make_catalog(applied, "migrations"))
    down = digest_lines(listing.down_lines(len(applied)))
    return replace(
        PROBE,
        digest=digest_lines(listing.lines),
        down_digest=down,
        count=len(applied),
        unfinished=unfinished,
    )


@pytest.mark.parametrize(
    ("applied", "known"),
    [
        (FOLDER, 3),
        ([*FOLDER[:2], FOLDER[3]], 2),
        ([FOLDER[3]], 0),
        ([], None),
        (FOLDER[:3], None),
        ([FOLDER[0], FOLDER[2], FOLDER[3]], None),
        ([FOLDER[0], make_migration("2", "SELECT 5;"), FOLDER[3]], None),
        ([FOLDER[0], make_migration("02", "SELECT 2;"), FOLDER[3]], None),
        ([FOLDER[0], make_migration("R__a", "SELECT 5;")], None),
        ([*FOLDER, make_migration("4")], None),
    ],
)
def test_known_is_what_is_applied_as_it_is_in_the_folder(
    applied: list[Migration], known: int | None
) -> None:
    """After a gap, an edit, a rewritten version or a pending repeatable, history rows must be read."""
    listing = list_catalog(make_catalog(FOLDER, "migrations"))
    assert known == find_known(listing, look(applied))


def test_nothing_is_known_while_something_is_unfinished() -> None:
    """With an unfinished migration nothing is known: its checksum equals that of a completed one."""
    listing = list_catalog(make_catalog(FOLDER, "migrations"))
    assert find_known(listing, look(FOLDER, unfinished=1)) is None
    assert find_known(listing, PROBE) is None


def test_edit_of_a_down_script_is_seen() -> None:
    """An edited down script changes the digest of the known down scripts."""
    listing = list_catalog(make_catalog(FOLDER, "migrations"))
    edited = make_migration("1", "SELECT 1;", "SELECT 0;")
    assert has_same_down(listing, 2, look([*FOLDER[:2], FOLDER[3]]))
    assert not has_same_down(listing, 2, look([edited, FOLDER[1], FOLDER[3]]))


def test_rest_of_a_catalog_is_what_is_not_known() -> None:
    """The remaining catalog omits known versions and all repeatables."""
    listing = list_catalog(make_catalog(FOLDER, "migrations"))
    rest = listing.read(2)
    assert ["3"] == [one.migration_id for one in rest.migrations] == list(rest.by_id)
    assert ["3"] == [str(one) for one in rest.by_version]
    assert make_line("3", FOLDER[2].up.checksum) == listing.lines[2]
