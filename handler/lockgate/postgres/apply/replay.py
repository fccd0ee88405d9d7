"""Finding the migration that broke what is checked after others, by repeating the transaction.

That is a deferred constraint, or Lockgate's own tables.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.failure import StepFailed
from lockgate.core.sharing import REPLAYABLE_EXTENSIONS, may_replay
from lockgate.postgres.apply.constraints import CHECK_ALL, CHECK_DEFERRED
from lockgate.postgres.apply.segment_message import (
    add_complete_script,
    add_row,
    may_share_message,
    open_segment,
)
from lockgate.postgres.server.message import MessagePart, MessageWriter
from lockgate.postgres.server.own_session import OWN_PATH
from lockgate.postgres.server.statement_result import StatementError

if TYPE_CHECKING:
    from lockgate.core.failure import Failure
    from lockgate.core.segment import Segment, Step
    from lockgate.postgres.apply.session import Session

# Find languages, extensions and servers whose functions might do what a rollback does not undo.
_EXTENSIONS = """
SELECT extname FROM pg_catalog.pg_extension
UNION ALL
SELECT 'a language' FROM pg_catalog.pg_language
WHERE NOT lanpltrusted AND lanname NOT IN ('internal', 'c')
UNION ALL
SELECT 'a server' FROM pg_catalog.pg_foreign_server
"""


def find_culprit(session: Session, segment: Segment, *, is_own: bool) -> Failure | None:
    """Run a segment again with a check after each migration, and roll it back.

    The check is that of the constraints; if ``is_own``, that its row can be written.

    Returns the first failure of such a check. Returns ``None`` if there is none, or if the scripts were
    not run because a rollback might not undo everything that they do.
    """
    if session.deadline.is_over or not all(map(_may_replay, segment.steps)):
        return None
    try:
        asked = session.connection.send(f"SET LOCAL {OWN_PATH};\n{_EXTENSIONS}")
        found = {name for (name,) in asked[1].rows}
        if not found <= REPLAYABLE_EXTENSIONS:
            return None
        if is_own:
            return _find_own(session, segment)
        _replay(session, segment)
    except StepFailed as error:
        return error.failure if error.failure.is_deferred else None
    except StatementError:
        return None
    finally:
        session.roll_back()
    return None


def _may_replay(step: Step) -> bool:
    return may_share_message(step) and may_replay(step.script)


def _replay(session: Session, segment: Segment) -> None:
    writer = MessageWriter()
    open_segment(session, writer, segment)
    for place, step in enumerate(segment.steps):
        if place:
            session.prepare(writer, step, is_checked=True)
        add_complete_script(writer, step)
        writer.add(MessagePart.CHECK, CHECK_DEFERRED, migration=step.migration)
        # Rolling back to the savepoint restores the mode of every constraint.
        writer.add(MessagePart.CONTROL, "SAVEPOINT lockgate_check")
        writer.add(MessagePart.CHECK, CHECK_ALL, migration=step.migration)
        writer.add(MessagePart.CONTROL, "ROLLBACK TO lockgate_check")
        writer.add(MessagePart.CONTROL, "RELEASE lockgate_check")
        if writer.is_full:
            session.flush(writer)
    session.flush(writer)


def _find_own(session: Session, segment: Segment) -> Failure | None:
    """Write the row of each migration right after its script, and take it back."""
    writer = MessageWriter()
    open_segment(session, writer, segment)
    for place, step in enumerate(segment.steps):
        if place:
            session.prepare(writer, step)
        add_complete_script(writer, step)
        writer.add(MessagePart.CONTROL, "SAVEPOINT lockgate_check")
        add_row(session, writer, step, None)
        session.add_fence(writer)
        writer.add(MessagePart.CONTROL, "ROLLBACK TO lockgate_check")
        writer.add(MessagePart.CONTROL, "RELEASE lockgate_check")
        try:
            # Each alone, so that an error is due to the script before it.
            session.flush(writer)
        except StepFailed as error:
            failure = error.failure
            return replace(failure, file=step.script.path) if failure.is_own else None
    return None
