"""Writing the messages of a segment that shares a transaction. Sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.history import State
from lockgate.core.migration import Direction, Language
from lockgate.core.transaction_mode import Mode
from lockgate.postgres.apply.constraints import CHECK_ALL, CHECK_DEFERRED
from lockgate.postgres.apply.session_sql import BEGIN, COMMIT, COMMIT_LATER
from lockgate.postgres.apply.undo_facts import end_sql
from lockgate.postgres.server.message import (
    MOST_CHARACTERS,
    MOST_MIGRATIONS,
    MessagePart,
    MessageWriter,
)
from lockgate.postgres.tables.history_row import MigrationProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lockgate.core.segment import Segment, Step
    from lockgate.postgres.apply.session import Session


def open_segment(session: Session, writer: MessageWriter, segment: Segment) -> None:
    """Add what comes before the first script of a segment."""
    if session.is_borrowed:
        writer.add(MessagePart.CONTROL, BEGIN)
        session.prepare(writer, segment.steps[0])
        return
    # Before the transaction, so that the first statement of a script may be SET TRANSACTION.
    session.prepare_alone(writer, segment.steps[0], with_facts=wants_facts(session, segment))
    writer.add(MessagePart.CONTROL, BEGIN)


def close_segment(session: Session, writer: MessageWriter, segment: Segment) -> None:
    """Add what comes after the last row of a segment."""
    if wants_facts(session, segment):
        writer.add(MessagePart.FACTS, end_sql(session.tables, session.server_version))
    writer.add(MessagePart.CONTROL, COMMIT_LATER)
    session.add_fence(writer)
    writer.add(MessagePart.CONTROL, COMMIT)


def wants_facts(session: Session, segment: Segment) -> bool:
    """Return whether to record what the transaction does, which is impossible for Python."""
    return session.collects_facts and all(
        step.script.language is Language.SQL for step in segment.steps
    )


def is_many(segment: Segment) -> bool:
    """Return whether the rows of a segment are written together; rows of a down are not."""
    return len(segment.steps) > 1 and all(s.direction is Direction.UP for s in segment.steps)


def may_share_message(step: Step) -> bool:
    """Return whether a script can share a message with others.

    A Python function cannot. Nor can a script that changes how strings are parsed, because the server
    parses a whole message with the settings before it.
    """
    return step.script.language is Language.SQL and all(
        statement.standard_conforming_strings for statement in step.analysis.statements
    )


def add_complete_script(writer: MessageWriter, step: Step) -> None:
    """Add a script for which `may_share_message` is true."""
    script = step.script
    writer.add_script(step.migration, script, step.analysis.statements, (0, len(script.sql)))


def add_check(writer: MessageWriter, segment: Segment, step: Step) -> None:
    """Check the deferred constraints of a script and restore their initial state for the next one.

    The check runs with the role and search path of the script, as at the end of its own transaction.
    After the last script the initial state does not matter.
    """
    if segment.checks and step.analysis.may_write:
        writer.add(MessagePart.CHECK, CHECK_DEFERRED, migration=step.migration)
    if step is segment.steps[-1]:
        writer.add(MessagePart.CHECK_ALL, CHECK_ALL, migration=step.migration)


def add_row(session: Session, writer: MessageWriter, step: Step, previous: str | None) -> None:
    """Add the row of a single migration; see `record_sql`."""
    session.own_role(writer)
    record = session.record(
        step, complete_progress(step), is_new=step.row is None, previous=previous
    )
    writer.add(MessagePart.RECORD, record, migration=step.migration)


def complete_progress(step: Step) -> MigrationProgress:
    """Return the progress of a complete script."""
    total = max(1, len(step.analysis.statements))
    state = State.APPLIED if step.direction is Direction.UP else State.REVERTING
    return MigrationProgress(state, total, total)


def make_batches(steps: Iterable[Step]) -> list[list[Step]]:
    """Divide the steps of a segment into batches, one for each message."""
    batches: list[list[Step]] = []
    length = MOST_CHARACTERS
    for step in steps:
        if length >= MOST_CHARACTERS or len(batches[-1]) >= MOST_MIGRATIONS:
            batches.append([])
            length = 0
        batches[-1].append(step)
        length += len(step.script.sql)
    return batches


def add_batch(
    session: Session,
    writer: MessageWriter,
    segment: Segment,
    batch: Sequence[Step],
    *,
    is_first: bool,
    add_body: Callable[[MessageWriter, Step], None] = add_complete_script,
) -> None:
    """Add scripts, each followed by the query for its end time."""
    preceding = None
    for step in batch:
        if preceding is not None or not is_first:
            session.prepare(writer, step, preceding=preceding, is_checked=segment.checks)
        add_body(writer, step)
        add_check(writer, segment, step)
        preceding = step.migration
    session.own_role(writer)
    session.add_end_time(writer, batch[-1].migration)


def write_first(session: Session, segment: Segment) -> MessageWriter | None:
    """Write the first message of a segment, which for a single migration is the whole segment.

    Returns ``None`` if a script cannot share a message, or all of them are too long for one.
    """
    batch = make_batches(segment.steps)[0]
    if segment.mode is not Mode.SHARED or session.guard is not None or not fits_one_message(batch):
        return None
    writer = MessageWriter()
    if is_many(segment):
        open_segment(session, writer, segment)
        add_batch(session, writer, segment, batch, is_first=True)
        return writer
    if len(segment.steps) > 1:
        return None
    open_segment(session, writer, segment)
    add_complete_script(writer, batch[0])
    add_check(writer, segment, batch[0])
    add_row(session, writer, batch[0], None)
    close_segment(session, writer, segment)
    return writer


def fits_one_message(batch: Sequence[Step]) -> bool:
    """Return whether the scripts of a batch can share one message and are short enough for it."""
    length = sum(len(step.script.sql) for step in batch)
    return length <= MOST_CHARACTERS and all(map(may_share_message, batch))
