"""Decide and describe in which state a failed run left the database.

Only what the run knows about its own work counts; without that, the state is unknown. No error message
describes the state: only `describe_state` does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.core.request import Action
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_NAMED = 10
_AMENDING = frozenset({Action.BASELINE, Action.ADOPT, Action.REPAIR})


class StateAfter(StrEnum):
    """What is left of a run's work after it failed. Lockgate's own tables do not count.

    `ROLLED_BACK`: something ran, and all of it was rolled back or undone. `KEPT`: exactly the
    migrations that the report lists stay, completely. `PARTLY_APPLIED`: a part of something that ran
    outside a transaction stays.
    """

    UNCHANGED = "unchanged"
    ROLLED_BACK = "rolled_back"
    KEPT = "kept"
    PARTLY_APPLIED = "partly_applied"
    UNKNOWN = "unknown"


class Evidence(StrEnum):
    """The evidence for a state.

    `NOT_BEGUN`: the run sent nothing that changes anything. `NO_LOCK`: it never got the migration
    lock. `NOTHING_SENT`: it held the lock but sent no statement of a migration. `ANSWER`: the server
    answered each message. `HISTORY`: the history was read after the failure.
    """

    NOT_BEGUN = "not_begun"
    NO_LOCK = "no_lock"
    NOTHING_SENT = "nothing_sent"
    ANSWER = "answer"
    HISTORY = "history"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StateClaim:
    """A state, its evidence, and the facts for its description.

    ``kept`` is what the run applied and did not undo, ``undone`` is what it undid. ``in_part`` is the
    migration that may be partly applied; ``has_committed``: it commits on its own.
    ``has_failed_step``: a migration failed. ``is_outcome_unknown``: the next run will be refused.
    ``stub`` is another tool's empty table that may still exist. ``reason`` is why the state is unknown;
    ``kept`` and ``undone`` are then what the server had confirmed before.
    """

    state: StateAfter
    evidence: Evidence
    kept: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    in_part: str | None = None
    has_committed: bool = False
    has_failed_step: bool = False
    is_outcome_unknown: bool = False
    action: Action | None = None
    stub: str | None = None
    reason: str = ""

    @property
    def is_of_stub_alone(self) -> bool:
        """True if at most the stub is left of the run."""
        return self.state is StateAfter.PARTLY_APPLIED and self.in_part is None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run knows about its own work.

    ``has_tried``: it sent something that changes at least Lockgate's tables. ``is_in_doubt``: the
    connection broke during its work, and the history was not read since. ``was_read``: the history was
    read after the last message. ``undone_own`` are migrations that this run had applied before.
    ``has_amended``: its amendment of the history is stored.
    """

    has_tried: bool = False
    has_lock: bool = False
    has_sent: bool = False
    is_in_doubt: bool = False
    was_read: bool = False
    kept: tuple[str, ...] = ()
    undone_own: tuple[str, ...] = ()
    undone_others: tuple[str, ...] = ()
    in_part: str | None = None
    has_committed: bool = False
    has_failed_step: bool = False
    is_outcome_unknown: bool = False
    action: Action | None = None
    has_amended: bool = False
    stub: str | None = None


NOT_BEGUN = StateClaim(StateAfter.UNCHANGED, Evidence.NOT_BEGUN)


def make_unknown(reason: str) -> StateClaim:
    """Return the claim for an unknown state, with the reason."""
    return StateClaim(StateAfter.UNKNOWN, Evidence.NONE, reason=reason)


def find_state(facts: RunFacts) -> StateClaim:
    """Decide in which state a run leaves the database when it fails."""
    if not facts.has_sent and facts.stub is None:
        evidence = Evidence.NO_LOCK if facts.has_tried else Evidence.NOT_BEGUN
        evidence = Evidence.NOTHING_SENT if facts.has_lock else evidence
        return StateClaim(StateAfter.UNCHANGED, evidence, action=facts.action)
    if facts.is_in_doubt:
        return make_unknown("the connection was lost while the run worked")
    return StateClaim(
        _find_known_state(facts),
        Evidence.HISTORY if facts.was_read else Evidence.ANSWER,
        kept=facts.kept,
        undone=(*facts.undone_own, *facts.undone_others),
        in_part=facts.in_part,
        has_committed=facts.has_committed,
        has_failed_step=facts.has_failed_step,
        is_outcome_unknown=facts.is_outcome_unknown,
        action=facts.action,
        stub=facts.stub,
    )


def _find_known_state(facts: RunFacts) -> StateAfter:
    if facts.in_part is not None or (facts.stub is not None and not facts.kept):
        return StateAfter.PARTLY_APPLIED
    if facts.kept or facts.undone_others or facts.has_amended:
        return StateAfter.KEPT
    return StateAfter.ROLLED_BACK


def describe_state(claim: StateClaim) -> str:
    """Describe a claim in one or more sentences."""
    match claim.state:
        case StateAfter.UNCHANGED if claim.evidence is Evidence.NOT_BEGUN:
            return "Nothing was changed."
        case StateAfter.UNCHANGED:
            return _describe_nothing(claim)
        case StateAfter.UNKNOWN:
            unknown = f"The state of the database is unknown: {claim.reason}."
            return " ".join([unknown, *_list_done(claim)])
        case StateAfter.ROLLED_BACK:
            return _describe_rollback(claim)
        case StateAfter.KEPT if claim.action in _AMENDING:
            return "What this run wrote to the history stays."
        case StateAfter.KEPT:
            parts = ["The failed migration was rolled back."] if claim.has_failed_step else []
        case StateAfter.PARTLY_APPLIED:
            parts = [_describe_part(claim)]
    return " ".join([*parts, *_describe_rest(claim)])


def describe_briefly(state: StateAfter) -> str:
    """Describe a state in one short sentence; "" if there is nothing to say."""
    match state:
        case StateAfter.UNCHANGED:
            return "Nothing was changed."
        case StateAfter.PARTLY_APPLIED:
            return "A part of what ran stays."
        case StateAfter.UNKNOWN:
            return "The state of the database is unknown."
        case _:
            return ""


def _describe_nothing(claim: StateClaim) -> str:
    if claim.action is Action.DOWN:
        return "No migration was undone."
    return "The history is as it was." if claim.action in _AMENDING else "No migration was run."


def _describe_rollback(claim: StateClaim) -> str:
    subject = "It" if claim.has_failed_step else "What this run did"
    if claim.action in _AMENDING:
        return "What this run wrote was rolled back; the history is as it was."
    if not claim.undone:
        return f"{subject} was rolled back; the schema is as it was."
    undone = _name(claim.undone)
    if claim.has_failed_step:
        return f"It was rolled back, and so was what this run had applied before it: {undone}."
    return f"What this run had applied was undone: {undone}."


def _describe_part(claim: StateClaim) -> str:
    if claim.has_committed:
        return "What it committed itself stays; check what that is before you continue."
    if claim.in_part is None:
        return _describe_stub(claim)
    subject = (
        f"igration {claim.in_part} runs outside a transaction:"
        " what was done before the failure stays"
    )
    subject = f"The down script of m{subject}" if claim.action is Action.DOWN else f"M{subject}"
    if claim.is_outcome_unknown:
        return f"{subject}."
    return f"{subject}, and the next run resumes after that or says why it cannot."


def _describe_stub(claim: StateClaim) -> str:
    if claim.stub is None:
        return describe_briefly(claim.state)
    subject = "It" if claim.has_failed_step else "What this run did"
    return (
        f"{subject} was rolled back, but the empty table {claim.stub}, which this run made for the"
        " migrations, may still be there."
    )


def _describe_rest(claim: StateClaim) -> list[str]:
    rest = [f"Undone by this run: {_name(claim.undone)}."] if claim.undone else []
    if claim.kept:
        when = " before it" if claim.has_failed_step else ""
        rest.append(f"Applied{when} by this run, and still there: {_name(claim.kept)}.")
    return rest


def _list_done(claim: StateClaim) -> list[str]:
    """Return what the server had confirmed before the state became unknown."""
    done = [f"Before that, this run applied: {_name(claim.kept)}."] if claim.kept else []
    if claim.undone:
        done.append(f"Before that, this run undid: {_name(claim.undone)}.")
    return done


def _name(ids: Iterable[str]) -> str:
    listed = list(ids)
    others = " and others" if len(listed) > _MOST_NAMED else ""
    return ", ".join(listed[:_MOST_NAMED]) + others
