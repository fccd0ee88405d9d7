"""What a folder holds, as far as a comparison with the history takes: ids and checksums.

A run with nothing to do needs no more of its files than this, and one with something to do needs no more
of those that were applied and are still what they were. Knows digests; reads no file.
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

    ``lines`` has a `make_line` for each one's id and up checksum; the first ``versioned`` are those of
    versioned ones. Of these, ``known`` counts the first few.
    """

    @property
    def lines(self) -> Sequence[str]:
        """All lines."""
        ...

    @property
    def versioned(self) -> int:
        """How many of the migrations have a version."""
        ...

    def version(self, place: int) -> Version:
        """Return the version at a place, from 0."""
        ...

    def down_lines(self, known: int) -> Iterable[str]:
        """Return the same lines of down scripts, of all but the versioned ones behind ``known``."""
        ...

    def read(self, known: int = 0) -> Catalog:
        """Return the catalog; behind some that are ``known``, only the rest of the versioned ones.

        Raises:
            MigrationFileInvalid: a migration cannot be read.
        """
        ...


def make_line(migration_id: str, checksum: str) -> str:
    """Return one migration as digests have it. The history's rows are lines as well (`Probe.digest`)."""
    return f"{migration_id} {checksum}\n"


def digest_lines(lines: Iterable[str]) -> str:
    """Return the SHA-256 over lines in the order of their ids' bytes, as ``postgres/digest.py`` does."""
    return hashlib.sha256("".join(sorted(lines, key=_id_of)).encode()).hexdigest()


def _id_of(line: str) -> str:
    return line[: line.rindex(" ")]


def digest_catalog(catalog: Catalog) -> str:
    """Return the digest of a whole catalog: the ids and up checksums of its migrations."""
    return digest_lines(list_catalog(catalog).lines)


def find_known(listing: Listing, probe: Probe) -> int | None:
    """Tell how many of the versioned migrations the history holds, if these are the first of the folder.

    They are unedited, and so are all repeatables, which the history holds too; it holds nothing else,
    and nothing that is not whole. ``None``: it takes its rows to tell what it holds.
    """
    repeatables = listing.lines[listing.versioned :]
    known = probe.count - len(repeatables)
    if probe.unfinished or probe.count == 0 or not 0 <= known <= listing.versioned:
        return None
    return known if probe.digest == digest_lines([*listing.lines[:known], *repeatables]) else None


def has_same_down(listing: Listing, known: int, probe: Probe) -> bool:
    """Tell whether down scripts are those that the history keeps, where `find_known` tells ``known``."""
    return probe.down_digest == digest_lines(listing.down_lines(known))


@dataclass(frozen=True, slots=True)
class CatalogListing:
    """The listing of a catalog that was read whole."""

    catalog: Catalog
    lines: tuple[str, ...]

    @property
    def versioned(self) -> int:
        """How many of the migrations have a version."""
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
        """Return the catalog, or what of it is behind ``known``."""
        return self.catalog.leave_out(known)


def list_catalog(catalog: Catalog) -> CatalogListing:
    """Return the listing of a catalog."""
    return CatalogListing(
        catalog, tuple(make_line(m.migration_id, m.up.checksum) for m in catalog.migrations)
    )
