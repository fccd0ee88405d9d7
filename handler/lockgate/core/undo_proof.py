"""Decide whether an automatic undo is safe.

No person reviews an automatic undo before it runs, so it needs a proof (docs/undo.md lists its parts).
Without the proof, nothing is undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.address import make_command
from lockgate.core.analysis import analyse_script
from lockgate.core.down_script import is_no_op, may_stop_counting
from lockgate.core.hint import Hint
from lockgate.core.migration import Direction, Kind, Language
from lockgate.core.request import Action
from lockgate.core.segment import Cause, Segment
from lockgate.core.transaction_mode import Mode
from lockgate.errors import LockgateError, UndoRefused
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Script
    from lockgate.core.segment import Step
    from lockgate.core.undo_facts import (
        ChangedTable,
        Description,
        SequencePosition,
        TransactionFacts,
        UndoFacts,
    )

# Catalogs store 32 bits of a transaction's number, which repeat after that many transactions.
_XID_BITS = 0xFFFFFFFF
_OLDEST_XID = 1 << 31
_OTHER_MODES = {
    Mode.OWN_TRANSACTION: "in a transaction of its own",
    Mode.STATEMENTS: "outside a transaction",
}


@dataclass(frozen=True, slots=True)
class Unproved:
    """The first object or migration that fails the proof; ``why`` is the rest of a sentence."""

    what: str
    why: str

    def describe(self) -> str:
        """Describe it in a sentence."""
        return f"It cannot be proved that an automatic undo is safe: {self.what} {self.why}."


def refuse_undo(found: Unproved, steps: Sequence[Step]) -> UndoRefused:
    """Return the error for an automatic undo without a proof, with the command for a manual undo."""
    count = sum(1 for step in steps if step.row is not None and step.row.version is not None)
    return UndoRefused(
        found.describe(),
        hint=Hint(
            "The next run continues from what is applied. To undo it anyway: ",
            make_command(Action.DOWN, steps=count),
            ".",
        ),
    )


# From the scripts alone.


def may_be_undone_safely(step: Step) -> bool:
    """Return whether an undo of a step that is about to run may be proved safe later."""
    migration = step.migration
    if step.cause is Cause.RESUMED or _why_not(migration.up) is not None:
        return False
    if migration.kind is Kind.REPEATABLE or migration.version is None:
        return step.row is not None
    down = migration.down
    return down is not None and _why_not(down) is None


def find_unprovable(
    steps: Sequence[Step], catalog: Catalog, most_statements: int
) -> Unproved | None:
    """Return the first migration whose scripts rule out an automatic undo."""
    for step in steps:
        why = _why_not_down(step)
        filed = catalog.by_id.get(step.migration.migration_id)
        if why is None and filed is not None and _why_not(filed.up) is not None:
            why = f"ran {_why_not(filed.up)}"
        if why is not None:
            return Unproved(f"migration {step.migration.label}", why)
    if sum(len(step.analysis.statements) for step in steps) > most_statements:
        return Unproved("the undo", "has more statements than fit into one transaction")
    return None


def _why_not_down(step: Step) -> str | None:
    why = _why_not(step.script)
    if why is not None:
        return f"is undone {why}"
    if step.direction is Direction.DOWN and is_no_op(step.script):
        return "has a down script that does nothing"
    return None


def _why_not(script: Script) -> str | None:
    if script.language is Language.PYTHON:
        return "by Python"
    if may_stop_counting(script):
        return "with track_counts changed by the script"
    try:
        mode = analyse_script(script).mode
    except LockgateError:
        return "by a file that can no longer be read"
    return _OTHER_MODES.get(mode)


def make_undo(steps: Sequence[Step]) -> Segment:
    """Return the one transaction that undoes these steps, all of them or none."""
    return Segment(Mode.SHARED, tuple(steps))


# From the record of the run.


def find_unproved_run(facts: UndoFacts | None, steps: Sequence[Step]) -> Unproved | None:
    """Return what in the run's own transactions rules out an automatic undo."""
    recorded = () if facts is None else [m for one in facts.transactions for m in one.migrations]
    for step in steps:
        if step.migration.migration_id not in recorded:
            return Unproved(
                f"migration {step.migration.label}", "ran without a record of what it changed"
            )
    assert facts is not None
    for one, created in zip(facts.transactions, _creations(facts), strict=True):
        where = f"migration {', '.join(one.migrations)}"
        if one.blind is not None:
            return Unproved(where, f"did what cannot be undone safely: {one.blind}")
        for oid, label in one.written:
            if oid not in created:
                return Unproved(f"table {label}", f"was written to by {where}")
    return None


def _creations(facts: UndoFacts) -> Iterator[dict[int, ChangedTable]]:
    """Yield the tables that each transaction created: the changed ones that did not exist before."""
    known = {oid for of, oid in facts.before if of == "pg_class"}
    for one in facts.transactions:
        created = {made.oid: made for made in one.made if made.oid not in known}
        known |= created.keys()
        yield created


@dataclass(frozen=True, slots=True)
class Creation:
    """A table that a transaction of the run created."""

    made: ChangedTable
    transaction: TransactionFacts

    @property
    def xid(self) -> int:
        """The transaction's number, as stored in the rows that it wrote."""
        return self.transaction.xid & _XID_BITS


def find_creations(facts: UndoFacts) -> dict[int, Creation]:
    """Return the tables that the run created, by oid."""
    return {
        oid: Creation(made, one)
        for one, created in zip(facts.transactions, _creations(facts), strict=True)
        for oid, made in created.items()
    }


def find_widened(facts: UndoFacts, columns: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return the tables that existed before and have more columns now: oid to the former count.

    ``columns`` are the current oid and number of columns of every table. Column numbers are not reused.
    """
    before = {
        oid: entry.columns or 0 for (of, oid), entry in facts.before.items() if of == "pg_class"
    }
    return {oid: before[oid] for oid, count in columns if oid in before and count > before[oid]}


# At the time of the undo.


def check_start(facts: UndoFacts, now: Description, current_xid: int) -> Unproved | None:
    """Return the first object of the run that others have changed since."""
    if any(current_xid - one.xid > _OLDEST_XID for one in facts.transactions):
        return Unproved("the run", "is too long ago")
    for oid, creation in find_creations(facts).items():
        entry, made = now.get(("pg_class", oid)), creation.made
        if entry is None:
            return Unproved(f"table {made.label}", "no longer exists")
        if entry.filenode != made.filenode:
            return Unproved(f"table {made.label}", "was rewritten or emptied after it was created")
    own = {one.xid & _XID_BITS for one in facts.transactions}
    for key, entry in now.items():
        was = facts.before.get(key)
        if was is not None and was.digest == entry.digest:
            continue
        if entry.written_by - own - (was.written_by if was is not None else frozenset()):
            return Unproved(entry.name, "was created or changed by another transaction")
        if was is not None and entry.kind == "type" and (entry.columns or 0) > (was.columns or 0):
            return Unproved(
                entry.name, "has new attributes, whose values in tables are not searched"
            )
    return None


def find_sequence_positions(facts: UndoFacts) -> dict[int, SequencePosition]:
    """Return the positions of the sequences that the run created, by oid."""
    return {
        place.oid: place
        for one in facts.transactions
        for place in one.sequences
        if ("pg_class", place.oid) not in facts.before
    }


def check_sequences(facts: UndoFacts, now: dict[int, int | None]) -> Unproved | None:
    """Return a sequence of the run from which others took numbers, which may be in use."""
    for oid, place in find_sequence_positions(facts).items():
        if now.get(oid, place.last) != place.last:
            return Unproved(f"sequence {place.label}", "was used by others")
    return None


def check_end(before: Description, after: Description) -> Unproved | None:
    """Return the first object that would differ after the undo from its state before the run."""
    for key, entry in before.items():
        now = after.get(key)
        if now is None:
            return Unproved(entry.name, "would be gone")
        if now.digest != entry.digest:
            return Unproved(
                entry.name, "would differ from before the run (changed, rewritten or emptied)"
            )
    for key, entry in after.items():
        if key not in before:
            return Unproved(entry.name, "would stay")
    return None
