"""Make a plan from catalog and history: what would run, in which transactions, and what prevents it.

`core.refusal.find_refusal` decides whether a plan may be carried out.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.core.analysis import Analysis, analyse_script
from lockgate.core.catalog import Catalog, Markers, Order
from lockgate.core.drift import Drift, Severity, find_ahead, find_drift
from lockgate.core.file_warnings import describe_flaws, find_flaws
from lockgate.core.history import Applied, History, State
from lockgate.core.migration import Kind, Migration, Version
from lockgate.core.policy import OutOfOrder
from lockgate.core.psql_command import add_psql_workaround
from lockgate.core.resumption import has_edited_part
from lockgate.core.segment import Cause, Segment, Step, make_segments
from lockgate.core.try_each import try_each
from lockgate.core.unrecognized_marker import refuse_unrecognized_marker
from lockgate.errors import MigrationFileInvalid, RequestInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.core.down_script import DownFlaw
    from lockgate.core.policy import Policy


class SkipReason(StrEnum):
    """Why a pending migration is skipped."""

    OUT_OF_ORDER = "out_of_order"
    DATABASE_AHEAD = "database_ahead"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A pending migration that is skipped."""

    migration: Migration
    reason: SkipReason

    def describe(self) -> str:
        """Return what was skipped and why, as a sentence."""
        label = self.migration.label
        if self.reason is SkipReason.OUT_OF_ORDER:
            return f"Migration {label} is below the latest applied one and was skipped."
        return (
            f"Migration {label} differs from what was applied and was skipped: the database is"
            " ahead of this package, so the text may be too old for it."
        )


@dataclass(frozen=True, slots=True)
class Foreign:
    """A history that shares no version with the files in ``source``."""

    source: str
    applied: tuple[Version, ...]
    on_disk: tuple[Version, ...]

    def describe(self) -> str:
        """Return the versions in the database and on disk, as a sentence."""
        return (
            f"The history in this database belongs to other migrations: it holds {_range(self.applied)},"
            f" and {self.source} holds {_range(self.on_disk)}."
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What an ``up`` would do.

    ``flaws`` are those of pending down scripts. ``objection`` is why versions that are ahead may not be
    from a newer package, if there is doubt. ``foreign``: the history belongs to another project.
    ``half_undone`` are migrations of the catalog whose undo was interrupted: it is completed before
    anything is applied.
    """

    segments: tuple[Segment, ...]
    drift: tuple[Drift, ...]
    ahead: tuple[Applied, ...]
    out_of_order: tuple[Migration, ...]
    skipped: tuple[Skipped, ...]
    foreign: Foreign | None = None
    half_undone: tuple[Applied, ...] = ()
    flaws: tuple[DownFlaw, ...] = ()
    objection: str | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about pending files."""
        return tuple(describe_flaws(self.flaws))

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step in order."""
        return tuple(step for segment in self.segments for step in segment.steps)

    @property
    def has_pending(self) -> bool:
        """True if there is anything to do."""
        return bool(self.segments or self.half_undone)


def make_plan(catalog: Catalog, history: History, policy: Policy) -> Plan:
    """Compare the files with the history and return what an ``up`` would do.

    Raises:
        RequestInvalid: the target is not a version of the catalog.
        MigrationFileInvalid: a pending script cannot be run.
    """
    target = _find_target(catalog, policy.target)
    rows = {row.version or row.name: row for row in history.rows}
    waiting = [m for m in catalog.migrations if _is_pending(m, rows, target)]
    ahead = find_ahead(catalog, history)
    latest = history.latest
    early = tuple(m for m in waiting if _is_early(m, rows, latest))
    skipped = (
        *(Skipped(m, SkipReason.OUT_OF_ORDER) for m in early if _may_skip(policy)),
        *_find_outdated(waiting, rows, ahead),
    )
    skipped_ids = {one.migration.migration_id for one in skipped}
    taken = [m for m in waiting if m.migration_id not in skipped_ids]

    def make_step(pair: tuple[Migration | None, Migration]) -> Step:
        before, migration = pair
        analysis = _analyse(migration, before, history)
        return _make_step(migration, rows, catalog.markers, analysis)

    steps = try_each(zip([None, *taken], taken, strict=False), make_step)
    return Plan(
        segments=make_segments(steps, policy, catalog.session),
        drift=(
            *find_drift(catalog, history, ahead, is_older=policy.is_older),
            *_find_edited_parts(steps),
        ),
        ahead=ahead,
        out_of_order=early,
        skipped=skipped,
        foreign=_find_foreign(catalog, history),
        half_undone=tuple(r for r in history.reverting if r.version in catalog.by_version),
        flaws=find_flaws(step.migration for step in steps),
    )


def _may_skip(policy: Policy) -> bool:
    return policy.out_of_order is OutOfOrder.SKIP


def _find_outdated(
    waiting: list[Migration], rows: dict[Version | str, Applied], ahead: tuple[Applied, ...]
) -> Iterator[Skipped]:
    """Yield repeatables that a newer package changed: the older text may not fit the newer schema."""
    if all(row.version is None for row in ahead):
        return
    for migration in waiting:
        if migration.kind is Kind.REPEATABLE:
            row = rows.get(migration.version or migration.name)
            if row is not None and row.checksum != migration.up.checksum:
                yield Skipped(migration, SkipReason.DATABASE_AHEAD)


def _find_foreign(catalog: Catalog, history: History) -> Foreign | None:
    applied = [row.version for row in history.rows if row.version is not None]
    on_disk = catalog.by_version
    if not applied or not on_disk or any(version in on_disk for version in applied):
        return None
    return Foreign(catalog.source, tuple(sorted(applied)), tuple(on_disk))


def _range(versions: tuple[Version, ...]) -> str:
    if len(versions) == 1:
        return f"version {versions[0]}"
    return f"{len(versions)} versions from {versions[0]} to {versions[-1]}"


def _find_edited_parts(steps: list[Step]) -> Iterator[Drift]:
    """Yield partly applied migrations whose applied part was edited."""
    for step in steps:
        row, script = step.row, step.script
        if row is not None and has_edited_part(step):
            yield Drift(
                version=None if row.version is None else row.version.text,
                label=row.label,
                name=row.name,
                file=script.path,
                recorded=row.checksum,
                actual=script.checksum,
                severity=Severity.ERROR,
                is_partial=True,
            )


def _find_target(catalog: Catalog, text: str | None) -> Version | None:
    if text is None:
        return None
    target = find_version(catalog, text)
    if target is None:
        raise RequestInvalid(
            f"The target {text} is not a version in {catalog.source}.",
            hint=f"The latest is {catalog.latest}.",
        )
    return None if target == catalog.latest else target


def find_version(catalog: Catalog, text: str) -> Version | None:
    """Return the catalog's version for a text, or ``None`` if there is none."""
    named = catalog.by_id.get(text)
    if named is not None:
        return named.version
    try:
        version = Version.parse(text)
    except ValueError:
        return None
    is_known = catalog.order is Order.NUMBERS and version in catalog.by_version
    return version if is_known else None


def _is_pending(
    migration: Migration, rows: dict[Version | str, Applied], target: Version | None
) -> bool:
    row = rows.get(migration.version or migration.name)
    if target is not None and (migration.version is None or migration.version > target):
        return False
    if row is None or row.state in {State.PARTIAL, State.STALE}:
        return True
    return migration.kind is Kind.REPEATABLE and row.checksum != migration.up.checksum


def _is_early(
    migration: Migration, rows: dict[Version | str, Applied], latest: Version | None
) -> bool:
    return (
        migration.version is not None
        and latest is not None
        and migration.version < latest
        and migration.version not in rows
    )


def _analyse(migration: Migration, previous: Migration | None, history: History) -> Analysis:
    try:
        return analyse_script(migration.up)
    except MigrationFileInvalid as error:
        raise add_psql_workaround(error, migration, previous, history) from None


def _make_step(
    migration: Migration,
    rows: dict[Version | str, Applied],
    markers: Markers | None,
    analysis: Analysis,
) -> Step:
    row = rows.get(migration.version or migration.name)
    cause = Cause.PENDING
    if row is not None:
        cause = Cause.RESUMED if row.state is State.PARTIAL else Cause.CHANGED
    refuse_unrecognized_marker(migration, markers)
    return Step(migration, analysis, cause, row)
