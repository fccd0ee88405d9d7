"""Group steps into segments: those that share a transaction and take effect together."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.core.catalog import SessionRule
from lockgate.core.hint import join_hints
from lockgate.core.migration import Direction
from lockgate.core.policy import Atomicity
from lockgate.core.sharing import find_shared, may_defer, uses_other_session
from lockgate.core.transaction_mode import Mode
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.analysis import Analysis
    from lockgate.core.failure import Failure
    from lockgate.core.history import Applied
    from lockgate.core.migration import Migration, Script
    from lockgate.core.policy import Policy

# Measured: more than a hundred migrations per transaction are not faster, and a failure undoes more.
SEGMENT_MIGRATIONS = 100


class Cause(StrEnum):
    """Why a step is in the plan."""

    PENDING = "pending"
    CHANGED = "changed"
    RESUMED = "resumed"
    REVERTED = "reverted"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Step:
    """A script of a migration to run. ``row`` is its history row, if it has one already."""

    migration: Migration
    analysis: Analysis
    cause: Cause
    row: Applied | None = None
    direction: Direction = Direction.UP

    @property
    def script(self) -> Script:
        """The script of the step's direction."""
        if self.direction is Direction.UP:
            return self.migration.up
        assert self.migration.down is not None
        return self.migration.down


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps that take effect together; a single step unless ``mode`` is shared.

    ``leaves`` is how much of its session the next steps inherit; it matters only if the step changes
    settings. ``checks``: a step may violate a constraint that is checked at the end of the transaction.
    """

    mode: Mode
    steps: tuple[Step, ...]
    reason: str | None = None
    leaves: SessionRule = SessionRule.NEW
    checks: bool = False


def make_segments(
    steps: list[Step], policy: Policy, session: SessionRule = SessionRule.NEW
) -> tuple[Segment, ...]:
    """Group steps that may share a transaction, in order.

    A step that hands its settings on to the next shares none: the settings are known after its commit.
    """
    bound = _bound_of(steps, policy)
    segments: list[Segment] = []
    group: list[Step] = []
    room = bound
    for step in steps:
        leaves = session if step.analysis.sets_session else SessionRule.NEW
        if step.analysis.mode is not Mode.SHARED or leaves is not SessionRule.NEW:
            _close(segments, group)
            segments.append(Segment(step.analysis.mode, (step,), step.analysis.reason, leaves))
            continue
        is_lone = _needs_own_segment(step)
        if not group or not room.fits(step) or is_lone:
            _close(segments, group)
            room = bound
        group.append(step)
        room = room.less(step)
        # A new enum value cannot be used before it is committed.
        if step.analysis.adds_enum_value or is_lone or not _may_share(policy):
            _close(segments, group)
    _close(segments, group)
    return _with_checks(segments, policy)


def _needs_own_segment(step: Step) -> bool:
    """Return whether a step gets its own segment. Down scripts always stay together."""
    return step.analysis.alone_reason is not None and step.direction is Direction.UP


def _with_checks(segments: list[Segment], policy: Policy) -> tuple[Segment, ...]:
    """Mark the segments whose steps may violate a deferred constraint.

    A fresh database has only the constraints that its migrations create.
    """
    checks, marked = not policy.is_fresh, []
    for segment in segments:
        checks = checks or any(may_defer(step.script) for step in segment.steps)
        marked.append(replace(segment, checks=checks) if _is_group(segment) else segment)
    return tuple(marked)


def _is_group(segment: Segment) -> bool:
    return segment.mode is Mode.SHARED and len(segment.steps) > 1


def split_segment(segment: Segment) -> tuple[Segment, ...]:
    """Split a segment that was too large for the server: to a hundred steps, then to one."""
    size = SEGMENT_MIGRATIONS if len(segment.steps) > SEGMENT_MIGRATIONS else 1
    return tuple(
        replace(segment, steps=segment.steps[start : start + size], reason="split for the server")
        for start in range(0, len(segment.steps), size)
    )


@dataclass(frozen=True, slots=True)
class _Room:
    """How much more fits into a segment."""

    migrations: int
    statements: int

    def fits(self, step: Step) -> bool:
        return self.migrations > 0 and len(step.analysis.statements) <= self.statements

    def less(self, step: Step) -> _Room:
        return _Room(self.migrations - 1, self.statements - len(step.analysis.statements))


def _bound_of(steps: list[Step], policy: Policy) -> _Room:
    """Return the room of a segment: all steps if their statements fit, otherwise a hundred steps."""
    total = sum(len(step.analysis.statements) for step in steps)
    if total <= policy.most_statements:
        return _Room(len(steps), policy.most_statements)
    return _Room(SEGMENT_MIGRATIONS, policy.most_statements)


def _may_share(policy: Policy) -> bool:
    if policy.atomicity is Atomicity.AUTO:
        # On a database in use, the locks of one migration must not be held while the next runs.
        return policy.is_fresh
    return policy.atomicity is Atomicity.RUN


def _close(segments: list[Segment], group: list[Step]) -> None:
    if group:
        reason = (
            f"alone: {group[0].analysis.alone_reason}" if _needs_own_segment(group[0]) else None
        )
        segments.append(Segment(Mode.SHARED, tuple(group), reason))
        group.clear()


# Errors that depend on data; a missing name is missing in every transaction.
_OF_DATA = ("21", "22", "23", "40", "P0")


def note_sharing(segment: Segment, failure: Failure) -> Failure:
    """Add to a failure what its migration shared with those before it and may be the cause.

    Whether it would succeed alone cannot be tried without a commit, so the hint only gives the facts.
    """
    labels = [step.migration.label for step in segment.steps]
    place = labels.index(failure.migration) if failure.migration in labels else 0
    effect = _find_effect(segment, place, failure.sqlstate or "") if place else None
    if effect is None:
        return failure
    note = (
        f"It shared a transaction with {_count(place)} before it, {effect}. If that is the cause, it"
        " passes alone: set LOCKGATE_ATOMICITY=migration, which gives each migration its own"
        " transaction."
    )
    return replace(failure, hint=join_hints(failure.hint, note))


def _find_effect(segment: Segment, place: int, sqlstate: str) -> str | None:
    """Return what sharing the transaction changes for a migration, as a clause, or ``None``."""
    if uses_other_session(segment.steps[place].script):
        return "of which the session of dblink sees nothing before the commit"
    if not sqlstate.startswith(_OF_DATA):
        return None
    found = next((f for s in segment.steps[: place + 1] if (f := find_shared(s.script))), None)
    return None if found is None else f"in which {found} returns the same value for all"


def _count(count: int) -> str:
    return "the migration" if count == 1 else f"{count} migrations"
