"""The messages of a segment that shares a transaction. Writes them; sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.analysis import Mode
from lockgate.core.history import State
from lockgate.core.migration import Direction, Language
from lockgate.postgres.apply.constraints import CHECK_ALL, CHECK_DEFERRED
from lockgate.postgres.apply.session_sql import BEGIN, COMMIT, COMMIT_LATER
from lockgate.postgres.apply.undo_facts import end_sql
from lockgate.postgres.server.message import MOST_CHARACTERS, MOST_MIGRATIONS, MessageWriter, Part
from lockgate.postgres.tables.history_row import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lockgate.core.segment import Segment, Step
    from lockgate.postgres.apply.session import Session


def open_segment(session: Session, writer: MessageWriter, segment: Segment) -> None:
    """Add what stands before a segment's first script."""
    if session.is_borrowed:
        writer.add(Part.CONTROL, BEGIN)
        session.prepare(writer, segment.steps[0])
        return
    # Before the transaction, so that a script may set up its own as its first statement.
    session.prepare_alone(writer, segment.steps[0], with_facts=wants_facts(session, segment))
    writer.add(Part.CONTROL, BEGIN)


def close_segment(session: Session, writer: MessageWriter, segment: Segment) -> None:
    """Add what stands behind a segment's last row."""
    if wants_facts(session, segment):
        writer.add(Part.FACTS, end_sql(session.tables, session.server_version))
    writer.add(Part.CONTROL, COMMIT_LATER)
    session.add_fence(writer)
    writer.add(Part.CONTROL, COMMIT)


def wants_facts(session: Session, segment: Segment) -> bool:
    """Tell whether to record what the transaction does: of Python nobody can tell."""
    return session.collects_facts and all(
        step.script.language is Language.SQL for step in segment.steps
    )


def is_many(segment: Segment) -> bool:
    """Tell whether a segment's rows are written together; those of what is undone are not."""
    return len(segment.steps) > 1 and all(s.direction is Direction.UP for s in segment.steps)


def may_travel(step: Step) -> bool:
    """Tell whether a script can be in one message with others.

    A Python function cannot; and the server reads a message by the setting before it, so a script
    that changes how strings are read cannot either.
    """
    return step.script.language is Language.SQL and all(
        statement.standard_conforming_strings for statement in step.analysis.statements
    )


def add_whole(writer: MessageWriter, step: Step) -> None:
    """Add a script that may travel."""
    script = step.script
    writer.add_script(step.migration, script, step.analysis.statements, (0, len(script.sql)))


def add_check(writer: MessageWriter, segment: Segment, step: Step) -> None:
    """Check the deferred constraints of a script, so that its neighbours find them as new.

    It runs with the role and the path of the script, as at the end of a transaction of its own. After
    the last script there is no neighbour, so that nothing has to be as new.
    """
    if segment.checks and step.analysis.may_write:
        writer.add(Part.CHECK, CHECK_DEFERRED, migration=step.migration)
    if step is segment.steps[-1]:
        writer.add(Part.CHECK_ALL, CHECK_ALL, migration=step.migration)


def add_row(session: Session, writer: MessageWriter, step: Step, previous: str | None) -> None:
    """Add the row of a migration that stands alone; see `record_sql`."""
    session.own_role(writer)
    record = session.record(step, whole_progress(step), is_new=step.row is None, previous=previous)
    writer.add(Part.RECORD, record, migration=step.migration)


def whole_progress(step: Step) -> Progress:
    """Return the progress of a script that ran to its end."""
    total = max(1, len(step.analysis.statements))
    state = State.APPLIED if step.direction is Direction.UP else State.REVERTING
    return Progress(state, total, total)


def make_batches(steps: Iterable[Step]) -> list[list[Step]]:
    """Cut the steps of a segment into what goes to a message."""
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
    add_body: Callable[[MessageWriter, Step], None] = add_whole,
) -> None:
    """Add scripts, and behind each of them what tells when it ended."""
    behind = None
    for step in batch:
        if behind is not None or not is_first:
            session.prepare(writer, step, behind=behind, is_checked=segment.checks)
        add_body(writer, step)
        add_check(writer, segment, step)
        behind = step.migration
    session.own_role(writer)
    session.add_end_time(writer, batch[-1].migration)


def write_first(session: Session, segment: Segment) -> MessageWriter | None:
    """Write the first message of a segment; that of a single migration is the whole of it.

    ``None`` where something in it cannot travel, or is so long that two of them are too much to hold.
    """
    batch = make_batches(segment.steps)[0]
    if segment.mode is not Mode.SHARED or session.guard is not None or not may_be_ahead(batch):
        return None
    writer = MessageWriter()
    if is_many(segment):
        open_segment(session, writer, segment)
        add_batch(session, writer, segment, batch, is_first=True)
        return writer
    if len(segment.steps) > 1:
        return None
    open_segment(session, writer, segment)
    add_whole(writer, batch[0])
    add_check(writer, segment, batch[0])
    add_row(session, writer, batch[0], None)
    close_segment(session, writer, segment)
    return writer


def may_be_ahead(batch: Sequence[Step]) -> bool:
    """Tell whether scripts can be written before their turn, beside those of the message before."""
    length = sum(len(step.script.sql) for step in batch)
    return length <= MOST_CHARACTERS and all(map(may_travel, batch))
