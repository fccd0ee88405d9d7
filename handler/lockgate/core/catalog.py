"""The ordered set of migrations on disk. Knows their order; does not read files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from lockgate.core.migration import Kind, Migration, Version


@dataclass(frozen=True, slots=True)
class Catalog:
    """Versioned migrations by version, then repeatables by name.

    ``source`` names the folder for messages. Built by `make_catalog`, which holds the order.
    """

    migrations: tuple[Migration, ...]
    source: str
    by_id: dict[str, Migration] = field(repr=False, compare=False)
    by_version: dict[Version, Migration] = field(repr=False, compare=False)

    @property
    def latest(self) -> Version | None:
        """The highest version on disk."""
        return max(self.by_version, default=None)

    def digest(self) -> str:
        """Return one digest of every id and up checksum.

        ``postgres/history_table.py`` computes the same over what is applied: SHA-256 over the lines
        ``id space checksum newline`` in the order of the ids' bytes.
        """
        lines = sorted(f"{m.migration_id} {m.up.checksum}\n".encode() for m in self.migrations)
        return hashlib.sha256(b"".join(lines)).hexdigest()


def make_catalog(migrations: list[Migration], source: str) -> Catalog:
    """Put migrations in the order in which they run. Versions must be unique already."""
    versioned = sorted(
        ((m.version, m) for m in migrations if m.version is not None), key=lambda pair: pair[0]
    )
    repeatable = sorted((m for m in migrations if m.kind is Kind.REPEATABLE), key=lambda m: m.name)
    ordered = (*(m for _, m in versioned), *repeatable)
    return Catalog(
        migrations=ordered,
        source=source,
        by_id={m.migration_id: m for m in ordered},
        by_version=dict(versioned),
    )
