"""The catalog: the ordered set of migrations on disk."""

from __future__ import annotations

from dataclasses import field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.core.migration import Migration, Script, Version
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


class Order(StrEnum):
    """How versions are ordered: by number, or by their place in the tool's list."""

    NUMBERS = "numbers"
    LIST = "list"


class SessionRule(StrEnum):
    """How much of a migration's session its tool hands on to the next migration."""

    NEW = "new"
    """Nothing: the tool connects anew, or resets all."""
    KEPT = "kept"
    """Everything: the tool runs all in one session."""
    SETTINGS = "settings"
    """All but role and search path, which the tool sets anew."""


@dataclass(frozen=True, slots=True)
class TableStub:
    """An empty history table of another tool, created where it is missing: migrations may touch it."""

    table: str
    sql: str


@dataclass(frozen=True, slots=True)
class CreatedStub:
    """Tables (name and oid) and schemas that a run created for a `TableStub`; names are quoted."""

    tables: tuple[tuple[str, int], ...] = ()
    schemas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Markers:
    """The lines that begin the up and the down script in one file of a format."""

    up: str
    down: str


NATIVE_MARKERS = Markers("-- migrate:up", "-- migrate:down")


@dataclass(frozen=True, slots=True)
class Catalog:
    """Versioned migrations by version, then repeatables by name.

    ``source`` names the folder in messages. `make_catalog` and `make_listed_catalog` keep the order.
    ``markers`` is ``None`` if each script has its own file; ``has_downs`` is false if the format has no
    down scripts.

    If the first versions of the folder are known to be applied (`core.listing.find_known`), the
    catalog may contain only the versions after them.
    """

    migrations: tuple[Migration, ...]
    source: str
    by_id: dict[str, Migration] = field(repr=False, compare=False)
    by_version: dict[Version, Migration] = field(repr=False, compare=False)
    order: Order = Order.NUMBERS
    stub: TableStub | None = None
    session: SessionRule = SessionRule.NEW
    markers: Markers | None = NATIVE_MARKERS
    has_downs: bool = True

    @property
    def latest(self) -> Version | None:
        """The highest version on disk, which is the last one."""
        return next(reversed(self.by_version), None)

    def with_changed(self, changed: Mapping[str, Migration]) -> Catalog:
        """Return the catalog with other values for some of its migrations, by their ids."""
        if not changed:
            return self

        def find(migration: Migration) -> Migration:
            return changed.get(migration.migration_id, migration)

        return replace(
            self,
            migrations=tuple(map(find, self.migrations)),
            by_id={i: changed.get(i, m) for i, m in self.by_id.items()},
            by_version={version: find(m) for version, m in self.by_version.items()},
        )

    def leave_out(self, known: int) -> Catalog:
        """Return the versioned migrations after the first ``known``; everything if that is 0."""
        if known == 0:
            return self
        rest = self.migrations[known : len(self.by_version)]
        return replace(
            self,
            migrations=rest,
            by_id={m.migration_id: m for m in rest},
            by_version={m.version: m for m in rest if m.version is not None},
        )


def make_catalog(migrations: list[Migration], source: str) -> Catalog:
    """Sort migrations into the order in which they run. Versions must be unique."""
    return _assemble(migrations, source, Order.NUMBERS)


def make_listed_catalog(migrations: list[Migration], source: str) -> Catalog:
    """Keep the given order, for a tool whose versions are names.

    Each version gets its place as its key; its text must be unique. A repeatable migration may have
    a version here: it runs again, at its place, when it changes.
    """
    placed = [
        m if m.version is None else replace(m, version=Version((place,), m.version.text))
        for place, m in enumerate(migrations, start=1)
    ]
    return _assemble(placed, source, Order.LIST)


def with_outside_hint(catalog: Catalog, outside: str | None) -> Catalog:
    """Return the catalog with ``outside`` as the way to run a file outside a transaction."""

    def change(script: Script | None) -> Script | None:
        return None if script is None else replace(script, outside=outside)

    changed = {
        m.migration_id: replace(m, up=replace(m.up, outside=outside), down=change(m.down))
        for m in catalog.migrations
    }
    return catalog.with_changed(changed)


def _assemble(migrations: list[Migration], source: str, order: Order) -> Catalog:
    versioned = sorted(
        ((m.version, m) for m in migrations if m.version is not None),
        key=lambda pair: pair[0].key,
    )
    repeatable = sorted((m for m in migrations if m.version is None), key=lambda m: m.name)
    ordered = (*(m for _, m in versioned), *repeatable)
    return Catalog(
        migrations=ordered,
        source=source,
        by_id={m.migration_id: m for m in ordered},
        by_version=dict(versioned),
        order=order,
    )
