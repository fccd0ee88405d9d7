"""The history as a value: what was applied to this database."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.core.catalog import Catalog, Order
from lockgate.core.migration import Kind, Language, Options, Version
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from datetime import datetime


class State(StrEnum):
    """How much of a migration is in the database.

    ``PARTIAL``: its first statements. ``REVERTING``: some statements of its down script were run, and
    the row counts those. ``STALE``: a repeatable one that runs again, because a later down script may
    have dropped what it created.
    """

    APPLIED = "applied"
    PARTIAL = "partial"
    REVERTING = "reverting"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of the history.

    ``statements_done`` counts the statements whose effect is known to be in the database. While
    ``attempting`` is set, that statement (from 1) was begun outside a transaction and its outcome was
    never recorded; ``attempt_facts`` is JSON with the state of the catalogs before it.
    ``session_digest`` is that of the session after the last statement done
    (`postgres.server.session_digest`). ``applied_at`` is the server's clock, UTC.
    """

    migration_id: str
    version: Version | None
    name: str
    kind: Kind
    checksum: str
    token_checksum: str | None
    has_down: bool
    state: State
    statements_done: int
    statements_total: int
    applied_at: datetime
    duration_ms: int
    run_id: str
    token: int
    attempting: int | None = None
    attempted_oid: int | None = None
    done_checksum: str | None = None
    down_checksum: str | None = None
    session_digest: str | None = None
    attempt_facts: str | None = None

    @property
    def label(self) -> str:
        """The migration's name for people, as `Migration.label`."""
        return self.migration_id if self.version is None else f"{self.version} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class History:
    """All rows in the order of application, or none if the content is known without reading them.

    In that case ``known_to`` is a version: the folder's migrations up to it and all its repeatables
    are applied unchanged, and there are no other rows.
    """

    rows: tuple[Applied, ...]
    known_to: Version | None = None

    @property
    def latest(self) -> Version | None:
        """The highest version that is completely applied."""
        return max(
            (r.version for r in self.rows if r.version is not None and r.state is State.APPLIED),
            key=lambda version: version.key,
            default=self.known_to,
        )

    @property
    def reverting(self) -> tuple[Applied, ...]:
        """Migrations whose undo was interrupted; the next run of any kind completes it."""
        return tuple(row for row in self.rows if row.state is State.REVERTING)


EMPTY_HISTORY = History(())


@dataclass(frozen=True, slots=True)
class StoredScripts:
    """The scripts of one migration that the history stores.

    ``down`` is ``None`` if there is none. ``is_substituted``: the file used variables, and the stored
    text is the one before substitution. ``up`` is stored for repeatable migrations only.
    """

    migration_id: str
    language: Language
    down: str | None
    options: Options
    is_substituted: bool
    up: str | None


def align_history(history: History, catalog: Catalog) -> History:
    """Give the versions of a history the keys by which the catalog compares.

    In a listed catalog, an unknown version comes right after the last known one that was applied
    before it.
    """
    if catalog.order is Order.NUMBERS or history.known_to is not None:
        return history
    rows: list[Applied] = []
    after: tuple[int, ...] = (0,)
    for count, row in enumerate(history.rows, start=1):
        if row.version is None:
            rows.append(row)
            continue
        known = catalog.by_id.get(row.version.text)
        if known is not None and known.version is not None:
            version = known.version
            after = max(after[:1], version.key)
        else:
            version = Version((*after, count), row.version.text)
        rows.append(replace(row, version=version))
    return History(tuple(rows))
