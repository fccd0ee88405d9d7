"""Decide changes to the history alone: baseline, adoption and repair.

None of them runs a migration. If anything does not fit, nothing is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.address import make_command, make_repair_command
from lockgate.core.analysis import analyse_script
from lockgate.core.file_warnings import warn_of_downs
from lockgate.core.hint import Hint
from lockgate.core.history import Applied, History, State
from lockgate.core.plan import find_version
from lockgate.core.request import Action, Repair
from lockgate.errors import AmendmentRefused
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration

_MOST_NAMED = 5
_SEE = Hint("See what is applied: ", make_command(Action.STATUS))
_BASELINE = Hint(
    "take a baseline at the latest applied version: ",
    make_command(Action.BASELINE, target="VERSION"),
)


@dataclass(frozen=True, slots=True)
class Record:
    """A row to write for a migration that is already in the database.

    If ``applied_at`` is ``None``, the server's current time is used.
    """

    migration: Migration
    applied_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Amendment:
    """Rows to write and delete. ``accepted`` rows get the checksums and down script of the file."""

    recorded: tuple[Record, ...] = ()
    accepted: tuple[Migration, ...] = ()
    forgotten: tuple[Applied, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to write."""
        return not (self.recorded or self.accepted or self.forgotten)

    def is_written(self, history: History, run_id: str) -> bool:
        """Return whether a run wrote all of it, according to a history read since."""
        rows = {row.migration_id: row for row in history.rows}
        written = {one for one, row in rows.items() if row.run_id == run_id}
        return (
            all(record.migration.migration_id in written for record in self.recorded)
            and all(has_texts(rows.get(one.migration_id), one) for one in self.accepted)
            and not any(row.migration_id in rows for row in self.forgotten)
        )


@dataclass(frozen=True, slots=True)
class ForeignRecord:
    """A migration applied according to another tool; ``problem`` if its record is not clear."""

    version: str
    applied_at: datetime | None = None
    is_edited: bool = False
    problem: str | None = None


def has_texts(row: Applied | None, migration: Migration) -> bool:
    """Return whether a row has both checksums of a file."""
    down = None if migration.down is None else migration.down.checksum
    return row is not None and (row.checksum, row.down_checksum) == (migration.up.checksum, down)


def make_baseline(catalog: Catalog, history: History, target: str) -> Amendment:
    """Return the rows that record everything up to a version as applied.

    The next ``up`` runs the repeatable migrations.

    Raises:
        AmendmentRefused: there is a history already, or no file has the target version.
    """
    _refuse_history(history, "A baseline")
    version = find_version(catalog, target)
    if version is None:
        raise _refuse(
            f"There is no version {target} in {catalog.source}.",
            f"The latest is {catalog.latest}.",
        )
    return Amendment(
        tuple(
            Record(m) for m in catalog.migrations if m.version is not None and m.version <= version
        )
    )


def make_adoption(
    catalog: Catalog, history: History, tool: str, claims: Sequence[ForeignRecord], table: str
) -> Amendment:
    """Return the rows that take over another tool's history table.

    Raises:
        AmendmentRefused: there is a history already, the table is empty or contains a failed migration,
            or the files are not those that were applied.
    """
    _refuse_history(history, "An adoption")
    if not claims:
        raise _refuse(
            f"{tool}'s table {table} contains no applied migration.",
            Hint("There is nothing to adopt. Apply the migrations: ", make_command(Action.UP)),
        )
    broken = [f"{claim.version}: {claim.problem}" for claim in claims if claim.problem]
    if broken:
        raise _refuse(
            f"{tool}'s table {table} has problems. {_list(broken)}",
            f"Fix this with {tool}, then adopt again.",
        )
    found = [(claim, find_migration(catalog, claim.version)) for claim in claims]
    unknown = [claim.version for claim, migration in found if migration is None]
    if unknown:
        raise _refuse(
            f"{tool} has applied migrations that are not in {catalog.source}: {_list(unknown)}.",
            Hint(
                "Check that this is the right folder and database, and LOCKGATE_FORMAT; restore the"
                " files. If the files were squashed since, ",
                _BASELINE,
            ),
        )
    edited = [m.label for claim, m in found if m is not None and claim.is_edited]
    if edited:
        raise _refuse(
            f"Files were edited after {tool} applied them, by its own checksums: {_list(edited)}.",
            Hint(
                f"Restore the files, or accept the edits with {tool} itself, then adopt again. If the"
                " database already has the edited content, ",
                _BASELINE,
            ),
        )
    records = {m.migration_id: Record(m, claim.applied_at) for claim, m in found if m is not None}
    return Amendment(tuple(records.values()), warnings=_warn_of_gaps(catalog, records))


def _warn_of_gaps(catalog: Catalog, records: dict[str, Record]) -> tuple[str, ...]:
    versions = [r.migration.version for r in records.values() if r.migration.version is not None]
    latest = max(versions, default=None)
    gaps = [
        m.label
        for m in catalog.migrations
        if m.version is not None
        and latest is not None
        and m.version < latest
        and m.migration_id not in records
    ]
    if not gaps:
        return ()
    text = (
        f"Pending below the latest applied one: {_list(gaps)}. An up refuses them unless"
        " LOCKGATE_OUT_OF_ORDER is apply or skip."
    )
    return (text,)


def make_repair(catalog: Catalog, history: History, repair: Repair, version: str) -> Amendment:
    """Return the change of one row.

    ``accept``: the row gets the file's checksums and down script. ``forget``: the row is deleted and
    the migration is pending again. ``mark``: the migration counts as applied without being run.

    Raises:
        AmendmentRefused: there is no such row or file, or nothing to repair.
        MigrationFileInvalid: the file to accept cannot be read.
    """
    migration, row = find_migration(catalog, version), _find_row(catalog, history, version)
    if repair is Repair.FORGET:
        if row is None:
            raise _refuse(f"The history has no migration {version}.", _SEE)
        return Amendment(forgotten=(row,))
    if migration is None:
        raise _refuse(f"There is no migration {version} in {catalog.source}.", "Restore its file.")
    if repair is Repair.MARK:
        if row is not None and row.state in {State.APPLIED, State.STALE}:
            raise _refuse(
                f"Migration {migration.label} is applied already.",
                _SEE,
            )
        return Amendment((Record(migration),))
    if row is None or row.state is State.PARTIAL:
        restore = "Restore the part of the file that was done already, and continue: "
        raise _refuse(
            f"Migration {migration.label} is not applied, so there is no checksum to accept.",
            Hint(
                "Apply it: " if row is None else restore,
                make_command(Action.UP),
                ". If the database has all of it already, record it as applied: ",
                make_repair_command(Repair.MARK, version),
            ),
        )
    down = None if migration.down is None else migration.down.checksum
    if row.checksum == migration.up.checksum and row.down_checksum == down:
        return Amendment()
    _refuse_unreadable(migration)
    return Amendment(accepted=(migration,), warnings=tuple(warn_of_downs([migration])))


def _refuse_unreadable(migration: Migration) -> None:
    """Refuse a text that can never run; one that only its own tool can run is accepted."""
    if migration.up.obstacle is None:
        analyse_script(migration.up)


def find_migration(catalog: Catalog, version: str) -> Migration | None:
    """Return the migration with an id, or with a version written in another way."""
    named = catalog.by_id.get(version)
    if named is not None:
        return named
    found = find_version(catalog, version)
    return None if found is None else catalog.by_version[found]


def _find_row(catalog: Catalog, history: History, version: str) -> Applied | None:
    migration = find_migration(catalog, version)
    ids = {version} if migration is None else {version, migration.migration_id}
    by_id = next((row for row in history.rows if row.migration_id in ids), None)
    if by_id is not None or migration is None or migration.version is None:
        return by_id
    return next((row for row in history.rows if row.version == migration.version), None)


def _count_rows(history: History) -> str:
    count = len(history.rows)
    return "1 row" if count == 1 else f"{count} rows"


def _refuse_history(history: History, what: str) -> None:
    if history.rows:
        raise _refuse(
            f"{what} is for a database without a history; this one has {_count_rows(history)}, the"
            f" latest version {history.latest}.",
            Hint(
                "To change single rows: ",
                make_repair_command(Repair.MARK, "VERSION"),
                " (or accept or forget instead of mark)",
            ),
        )


def _refuse(problem: str, hint: str) -> AmendmentRefused:
    return AmendmentRefused(problem, hint=hint)


def _list(items: Iterable[str]) -> str:
    listed = list(items)
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return ", ".join(listed[:_MOST_NAMED]) + more
