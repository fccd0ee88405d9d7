"""The order of a catalog and its indexes."""

from __future__ import annotations

from lockgate.core.catalog import make_catalog
from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Kind, Language, Migration, Options, Script, Version


def make_migration(migration_id: str, text: str = "SELECT 1;") -> Migration:
    """Return a migration by its id: ``R__name`` or a version."""
    script = Script(text, "x.sql", 1, Language.SQL, Options(), text_checksum(text))
    if migration_id.startswith("R__"):
        return Migration(None, migration_id.removeprefix("R__"), Kind.REPEATABLE, script, None)
    return Migration(Version.parse(migration_id), "x", Kind.VERSIONED, script, None)


def test_catalog_orders_versions_as_numbers_and_repeatables_last() -> None:
    """Versions are ordered as numbers; repeatables follow, ordered by the bytes of their names."""
    ids = ["R__b", "10", "R__B", "0009", "2.10", "R__ä", "2.9", "R__a"]
    catalog = make_catalog([make_migration(one) for one in ids], "migrations")
    assert ["2.9", "2.10", "0009", "10", "R__B", "R__a", "R__b", "R__ä"] == [
        migration.migration_id for migration in catalog.migrations
    ]


def test_latest_is_the_highest_version() -> None:
    """Repeatable migrations do not affect the latest version."""
    catalog = make_catalog([make_migration(one) for one in ["R__z", "10", "9"]], "migrations")
    assert Version.parse("10") == catalog.latest
    assert make_catalog([make_migration("R__z")], "migrations").latest is None


def test_migration_is_found_by_version_however_written() -> None:
    """The index by version compares numbers; the index by id compares text."""
    catalog = make_catalog([make_migration("0007")], "migrations")
    assert "0007" == catalog.by_version[Version.parse("7")].migration_id
    assert ["0007"] == list(catalog.by_id)
