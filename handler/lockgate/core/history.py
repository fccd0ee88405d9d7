"""What was applied to this database, as a value. Knows rows; does not read them."""

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
    """Whether a migration is in the database whole.

    ``PARTIAL``: up to some statement. ``REVERTING``: some statements of its down script were run; they
    are what the row counts then. ``STALE``: a repeatable one that runs again, since a down script ran
    behind it and may have dropped what it made.
    """

    APPLIED = "applied"
    PARTIAL = "partial"
    REVERTING = "reverting"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of the history.

    ``statements_done`` counts the statements whose effect is known to be in the database. While
    ``attempting`` is set, that statement (from 1) was begun outside a transaction and its outcome
    was never recorded; ``attempt_facts`` is JSON, what the catalogs said before it. ``session_digest``
    is that of the session after the last statement done (`postgres.session_digest`). ``applied_at`` is
    the server's clock, UTC.
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
        """The migration for people, as `Migration.label` has it."""
        return self.migration_id if self.version is None else f"{self.version} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class History:
    """Every row, in the order of application; or none, where it is known without them.

    Then ``known_to`` is a version: the folder's migrations up to it, and all repeatables, are applied as
    they are there, and there is no other row.
    """

    rows: tuple[Applied, ...]
    known_to: Version | None = None

    @property
    def latest(self) -> Version | None:
        """The highest version that is in the database whole."""
        return max(
            (r.version for r in self.rows if r.version is not None and r.state is State.APPLIED),
            key=lambda version: version.key,
            default=self.known_to,
        )

    @property
    def reverting(self) -> tuple[Applied, ...]:
        """What was being undone when its run ended: the next run of any kind undoes it whole."""
        return tuple(row for row in self.rows if row.state is State.REVERTING)


EMPTY_HISTORY = History(())


@dataclass(frozen=True, slots=True)
class StoredScripts:
    """What the history keeps of one migration's text.

    ``down`` is ``None`` where there is none; ``is_substituted``: its file filled variables in, and
    what is kept is the text before that. ``up`` is kept of repeatable ones only.
    """

    migration_id: str
    language: Language
    down: str | None
    options: Options
    is_substituted: bool
    up: str | None


def align_history(history: History, catalog: Catalog) -> History:
    """Give the versions of a history the keys that the catalog compares by.

    In a listed catalog a version that it does not know is placed right behind the last known one that
    was applied before it.
    """
    if catalog.order is Order.NUMBERS or history.known_to is not None:
        return history
    rows: list[Applied] = []
    behind: tuple[int, ...] = (0,)
    for count, row in enumerate(history.rows, start=1):
        if row.version is None:
            rows.append(row)
            continue
        known = catalog.by_id.get(row.version.text)
        if known is not None and known.version is not None:
            version = known.version
            behind = max(behind[:1], version.key)
        else:
            version = Version((*behind, count), row.version.text)
        rows.append(replace(row, version=version))
    return History(tuple(rows))
