"""The ordered set of migrations on disk. Knows their order; does not read files."""

from __future__ import annotations

from dataclasses import field, replace
from enum import StrEnum

from lockgate.core.migration import Migration, Script, Version
from lockgate.fast_start.dataclass import dataclass


class Order(StrEnum):
    """What decides the order of versions: their numbers, or the place that the tool gives them."""

    NUMBERS = "numbers"
    LIST = "list"


class SessionRule(StrEnum):
    """What the next migration of a run finds of the session that one leaves, as their tool has it."""

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
class MadeStub:
    """What a run made for a `TableStub`: tables by name and oid, and schemas; names are quoted."""

    tables: tuple[tuple[str, int], ...] = ()
    schemas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Markers:
    """The lines that open the two scripts in one file, as a format's author writes them."""

    up: str
    down: str


NATIVE_MARKERS = Markers("-- migrate:up", "-- migrate:down")


@dataclass(frozen=True, slots=True)
class Catalog:
    """Versioned migrations by version, then repeatables by name.

    ``source`` names the folder for messages. Built by `make_catalog` or `make_listed_catalog`,
    which hold the order. ``markers`` is ``None`` where each script is a file of its own.

    Of a folder whose first versions are known to be applied
    (`core.listing.find_known`), it may hold no more than the versions behind those.
    """

    migrations: tuple[Migration, ...]
    source: str
    by_id: dict[str, Migration] = field(repr=False, compare=False)
    by_version: dict[Version, Migration] = field(repr=False, compare=False)
    order: Order = Order.NUMBERS
    stub: TableStub | None = None
    session: SessionRule = SessionRule.NEW
    markers: Markers | None = NATIVE_MARKERS

    @property
    def latest(self) -> Version | None:
        """The highest version on disk, which is the last."""
        return next(reversed(self.by_version), None)

    def leave_out(self, known: int) -> Catalog:
        """Return the versioned migrations behind the first ``known``; everything where that is none."""
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
    """Put migrations in the order in which they run. Versions must be unique already."""
    return _assemble(migrations, source, Order.NUMBERS)


def make_listed_catalog(migrations: list[Migration], source: str) -> Catalog:
    """Keep the order that is given: that of a tool whose versions are names.

    Each version gets its place as its key; its text must be unique already. A repeatable migration
    may have a version here: it runs again when it changes, at its place.
    """
    placed = [
        m if m.version is None else replace(m, version=Version((place,), m.version.text))
        for place, m in enumerate(migrations, start=1)
    ]
    return _assemble(placed, source, Order.LIST)


def with_way_outside(catalog: Catalog, outside: str | None) -> Catalog:
    """Return the catalog of a tool whose files leave the transaction as ``outside`` says."""

    def change(script: Script | None) -> Script | None:
        return None if script is None else replace(script, outside=outside)

    changed = {
        m.migration_id: replace(m, up=replace(m.up, outside=outside), down=change(m.down))
        for m in catalog.migrations
    }
    return replace(
        catalog,
        migrations=tuple(changed[m.migration_id] for m in catalog.migrations),
        by_id=changed,
        by_version={v: changed[m.migration_id] for v, m in catalog.by_version.items()},
    )


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
