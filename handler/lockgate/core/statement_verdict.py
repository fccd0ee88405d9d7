"""Decide from the catalogs what to do about a statement outside a transaction.

Before such a statement begins, the run records the affected objects. Later they are compared by oid;
a name alone proves nothing.
"""

from __future__ import annotations

import json
from dataclasses import field
from enum import StrEnum
from typing import Any

from lockgate.core.index_shape import IndexShape, fold_identifier
from lockgate.core.verification import Question, Verification
from lockgate.fast_start.dataclass import dataclass


class Verdict(StrEnum):
    """What to do about a statement."""

    RUN = "run"
    DONE = "done"
    WAIT = "wait"
    CLEAN = "clean"
    FINALIZE = "finalize"
    OCCUPIED = "occupied"
    """An invalid index of another origin has its name."""
    CANNOT_KNOW = "cannot_know"


@dataclass(frozen=True, slots=True)
class Index:
    """An existing index. ``builder`` is the process id of another session that is building it."""

    oid: int
    schema: str
    name: str
    table: str
    is_valid: bool
    shape: IndexShape
    builder: int | None = None
    may_drop: bool = True

    @property
    def own_name(self) -> str:
        """The unique name that it gets before it is dropped."""
        return f"lockgate_invalid_{self.oid}"


@dataclass(frozen=True, slots=True)
class CatalogFacts:
    """What the catalogs contain now.

    ``oid`` is that of the named object, ``table`` that of the table or parent. ``is_there``: the
    recorded object still exists, or the author's query returned true. ``is_ours``: a new object has the
    expected owner. ``is_attached`` and ``is_detaching`` are the state of a partition.
    """

    oid: int | None = None
    table: int | None = None
    indexes: tuple[Index, ...] = ()
    is_there: bool = False
    is_ours: bool = False
    is_attached: bool = False
    is_detaching: bool = False

    def facts(self) -> str:
        """Return the JSON to record before the statement begins."""
        oids = [index.oid for index in self.indexes]
        return json.dumps({"oid": self.oid, "table": self.table, "indexes": oids})


@dataclass(frozen=True, slots=True)
class RecordedFacts:
    """What was recorded before the statement began.

    Without ``is_recorded``, an earlier release began it, which recorded only an ``oid``.
    """

    oid: int | None = None
    table: int | None = None
    indexes: frozenset[int] = frozenset()
    is_recorded: bool = True

    @classmethod
    def read(cls, facts: str | None, attempted_oid: int | None) -> RecordedFacts:
        """Return the facts recorded in a history row."""
        if facts is None:
            known = frozenset() if attempted_oid is None else frozenset({attempted_oid})
            return cls(attempted_oid, None, known, is_recorded=False)
        values: dict[str, Any] = json.loads(facts)
        return cls(values.get("oid"), values.get("table"), frozenset(values.get("indexes", ())))


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and the indexes concerned for ``CLEAN``, ``WAIT`` and ``OCCUPIED``."""

    verdict: Verdict
    indexes: tuple[Index, ...] = field(default=())


_RUN, _DONE = Decision(Verdict.RUN), Decision(Verdict.DONE)
_CANNOT_KNOW = Decision(Verdict.CANNOT_KNOW)
_CREATED = frozenset(
    {Question.DATABASE_THERE, Question.TABLESPACE_THERE, Question.SUBSCRIPTION_THERE}
)


def decide(
    verification: Verification, found: CatalogFacts, before: RecordedFacts | None
) -> Decision:
    """Return what to do about a statement; ``before`` is ``None`` unless an earlier run began it."""
    question = verification.question
    if question is Question.INDEX_BUILT:
        return _decide_index(verification, found, before)
    if question is Question.REINDEXED:
        return _decide_reindexed(found, before)
    if before is None:
        is_half = question is Question.DETACHED and found.is_detaching
        return Decision(Verdict.FINALIZE) if is_half else _RUN
    return _decide_begun(question, found, before)


def _decide_begun(question: Question, found: CatalogFacts, before: RecordedFacts) -> Decision:
    match question:
        case Question.HARMLESS:
            decision = _RUN
        case Question.UNKNOWN:
            decision = _CANNOT_KNOW
        case Question.AUTHOR:
            decision = _DONE if found.is_there else _RUN
        case Question.DETACHED:
            decision = _decide_detached(found, before)
        case _ if question in _CREATED:
            decision = _decide_created(found, before)
        case _:
            decision = _decide_dropped(found, before)
    return decision


def find_own_indexes(
    verification: Verification, found: CatalogFacts, before: RecordedFacts
) -> tuple[Index, ...]:
    """Return the indexes that a statement created: they are new and have the requested shape.

    Only the lock holder runs the statement, so an equal index from another session does the same job.
    The statement does not contain the names of indexes that a rebuild creates.
    """
    name = verification.name if verification.question is Question.INDEX_BUILT else None
    name = None if name is None else fold_identifier(name)
    return tuple(
        index
        for index in found.indexes
        if index.oid not in before.indexes
        and (name is None or index.name in {name, index.own_name})
        and verification.shape in (None, index.shape)
    )


def find_other_invalid(
    verification: Verification, found: CatalogFacts, before: RecordedFacts | None
) -> tuple[Index, ...]:
    """Return invalid indexes that the statement did not create and no session is building."""
    own = (
        set()
        if before is None
        else {one.oid for one in find_own_indexes(verification, found, before)}
    )
    return tuple(
        index
        for index in found.indexes
        if not index.is_valid and index.builder is None and index.oid not in own
    )


def _decide_index(
    verification: Verification, found: CatalogFacts, before: RecordedFacts | None
) -> Decision:
    name = None if verification.name is None else fold_identifier(verification.name)
    named = tuple(index for index in found.indexes if index.name == name)
    if before is None or (name is not None and found.oid in before.indexes):
        # The index of that name existed before the statement.
        if any(index.builder is not None for index in named):
            return Decision(Verdict.WAIT, named)
        is_broken = any(not index.is_valid for index in named)
        return Decision(Verdict.OCCUPIED, named) if is_broken else _RUN
    is_same = found.table is not None and before.table in {None, found.table}
    if not is_same or (name is None and not before.is_recorded):
        return _CANNOT_KNOW
    own = find_own_indexes(verification, found, before)
    if own:
        return _decide_own(own)
    # A new index has the name but not the requested shape.
    return _CANNOT_KNOW if named else _RUN


def _decide_own(own: tuple[Index, ...]) -> Decision:
    if any(index.builder is not None for index in own):
        return Decision(Verdict.WAIT, own)
    broken = tuple(index for index in own if not index.is_valid)
    return Decision(Verdict.CLEAN, broken) if broken else _DONE


def _decide_reindexed(found: CatalogFacts, before: RecordedFacts | None) -> Decision:
    if before is None:
        return _RUN
    own = tuple(index for index in found.indexes if index.oid not in before.indexes)
    if any(index.builder is not None for index in own):
        return Decision(Verdict.WAIT, own)
    broken = tuple(index for index in own if index.may_drop)
    return Decision(Verdict.CLEAN, broken) if broken else _RUN


def _decide_detached(found: CatalogFacts, before: RecordedFacts) -> Decision:
    is_same = (found.oid, found.table) == (before.oid, before.table)
    if not before.is_recorded or not found.is_there:
        # It is unknown which partition was meant, or what became of it.
        is_plain = not before.is_recorded and found.is_attached
        if not is_plain:
            return _CANNOT_KNOW
    elif not found.is_attached:
        return _DONE
    elif not is_same:
        return _CANNOT_KNOW
    return Decision(Verdict.FINALIZE) if found.is_detaching else _RUN


def _decide_created(found: CatalogFacts, before: RecordedFacts) -> Decision:
    if found.oid is None or (before.is_recorded and found.oid == before.oid):
        return _RUN
    is_new = before.is_recorded and before.oid is None
    return _DONE if is_new and found.is_ours else _CANNOT_KNOW


def _decide_dropped(found: CatalogFacts, before: RecordedFacts) -> Decision:
    if before.oid is not None and not found.is_there:
        return _DONE
    if before.oid is None and not before.is_recorded:
        return _CANNOT_KNOW if found.oid is None else _RUN
    # The name refers to the same object as before, or to none both times.
    return _RUN if found.oid == before.oid else _CANNOT_KNOW
