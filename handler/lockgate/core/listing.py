"""A folder's listing: the ids and checksums of its migrations, enough to compare it with the history.

A run with nothing to do needs nothing else from the files, and any run needs nothing else from the files
that were applied and have not changed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Version
    from lockgate.core.probe import Probe


class Listing(Protocol):
    """A folder's migrations, versioned ones in their order, then repeatables by name.

    ``lines`` contains one `make_line` of id and up checksum per migration; the first ``versioned`` lines
    are those of versioned migrations. The first ``known`` of these are known to be applied.
    """

    @property
    def lines(self) -> Sequence[str]:
        """All lines."""
        ...

    @property
    def versioned(self) -> int:
        """Number of migrations with a version."""
        ...

    def version(self, place: int) -> Version:
        """Return the version at a place, from 0."""
        ...

    def down_lines(self, known: int) -> Iterable[str]:
        """Return such lines for down scripts, except of versioned migrations after ``known``."""
        ...

    def read(self, known: int = 0) -> Catalog:
        """Return the catalog; with ``known`` above 0, only the versioned migrations after those.

        Raises:
            MigrationFileInvalid: a migration cannot be read.
        """
        ...


def make_line(migration_id: str, checksum: str) -> str:
    """Return the line of one migration in digests. `Probe.digest` uses the same lines."""
    return f"{migration_id} {checksum}\n"


def digest_lines(lines: Iterable[str]) -> str:
    """Return the SHA-256 of lines sorted by the bytes of their ids, as the server computes it."""
    return hashlib.sha256("".join(sorted(lines, key=_id_of)).encode()).hexdigest()


def _id_of(line: str) -> str:
    return line[: line.rindex(" ")]


def digest_catalog(catalog: Catalog) -> str:
    """Return the digest of the ids and up checksums of a whole catalog."""
    return digest_lines(list_catalog(catalog).lines)


def find_known(listing: Listing, probe: Probe) -> int | None:
    """Return how many versioned migrations are applied, if they are the first ones of the folder.

    They are unedited and completely applied, as are all repeatables, and the history contains nothing
    else. ``None``: only the rows of the history can show what was applied.
    """
    repeatables = listing.lines[listing.versioned :]
    known = probe.count - len(repeatables)
    if probe.unfinished or probe.count == 0 or not 0 <= known <= listing.versioned:
        return None
    return known if probe.digest == digest_lines([*listing.lines[:known], *repeatables]) else None


def has_same_down(listing: Listing, known: int, probe: Probe) -> bool:
    """Return whether the down scripts match the stored ones; ``known`` is from `find_known`."""
    return probe.down_digest == digest_lines(listing.down_lines(known))


@dataclass(frozen=True, slots=True)
class CatalogListing:
    """The listing of a catalog that was read completely."""

    catalog: Catalog
    lines: tuple[str, ...]

    @property
    def versioned(self) -> int:
        """Number of migrations with a version."""
        return len(self.catalog.by_version)

    def version(self, place: int) -> Version:
        """Return the version at a place, from 0."""
        found = self.catalog.migrations[place].version
        assert found is not None
        return found

    def down_lines(self, known: int) -> Iterable[str]:
        """Return the lines of the down scripts."""
        for migration in self.catalog.migrations[:known]:
            if migration.down is not None:
                yield make_line(migration.migration_id, migration.down.checksum)

    def read(self, known: int = 0) -> Catalog:
        """Return the catalog, or the part of it after ``known``."""
        return self.catalog.leave_out(known)


def list_catalog(catalog: Catalog) -> CatalogListing:
    """Return the listing of a catalog."""
    return CatalogListing(
        catalog, tuple(make_line(m.migration_id, m.up.checksum) for m in catalog.migrations)
    )
