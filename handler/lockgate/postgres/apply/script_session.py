"""Recording the session state of a script that runs statement by statement, to compare it on resume.

`core.session_effect` decides what counts as session state.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Self

from lockgate.core.refusal import make_session_unknown
from lockgate.core.resumption import find_session_effects
from lockgate.core.session_effect import Effect, find_effect, join_effects
from lockgate.core.transaction_mode import UnitMode
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.apply.session_sql import BEGIN, COMMIT
from lockgate.postgres.server.message import MessagePart, MessageWriter
from lockgate.postgres.server.session_digest import (
    CAPTURE,
    digest_sql,
    find_custom_settings,
    may_set_session,
)
from lockgate.postgres.tables.history_sql import recorded_digest_sql

if TYPE_CHECKING:
    from lockgate.core.analysis import Unit
    from lockgate.core.history import Applied
    from lockgate.core.segment import Step
    from lockgate.postgres.apply.session import Session


# For a longer statement, parsing takes longer than computing the digest on the server.
_MOST_CHARACTERS = 100_000


@dataclass(slots=True)
class ScriptSession:
    """The session state of one script. ``digest`` is the SQL expression that computes it.

    ``is_recorded``: the row has the digest of the state before the current unit. ``is_kept``: the
    current unit does not change the state. ``plain_tables`` were checked: writing to them changes no
    session state.
    """

    session: Session
    step: Step
    digest: str
    is_recorded: bool = False
    is_kept: bool = False
    plain_tables: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, session: Session, step: Step) -> Self:
        """Return the session state of a step."""
        return cls(session, step, digest_sql(find_custom_settings(step.script.sql)))

    def expect(self, unit: Unit) -> None:
        """Determine whether the next unit leaves the recorded digest valid.

        Computing a digest takes the server longer than inserting a row.
        """
        self.is_kept = self._leaves_nothing(unit)
        self.is_recorded = self.is_recorded and self.is_kept

    def capture(self, writer: MessageWriter) -> str:
        """Add the query that captures the state; return the SQL expression of the digest to record.

        Call it before Lockgate's own role is set.
        """
        if self.is_recorded and self.is_kept:
            return recorded_digest_sql(self.session.tables, self.step.migration)
        writer.add(MessagePart.CONTROL, CAPTURE)
        self.is_recorded = True
        return self.digest

    def _leaves_nothing(self, unit: Unit) -> bool:
        """Return whether a unit only writes rows of tables without triggers or other code."""
        statements = self.step.analysis.statements[unit.first : unit.last + 1]
        is_short = statements[-1].end - statements[0].start <= _MOST_CHARACTERS
        effect = Effect.VISIBLE
        tables: tuple[str, ...] = ()
        if unit.mode is UnitMode.WRAPPED and is_short:
            effect, tables = join_effects(find_effect(self.step.script.sql, s) for s in statements)
        if effect is not Effect.TABLE:
            # It may have created a trigger on a table.
            self.plain_tables.clear()
            return False
        unknown = [table for table in tables if table not in self.plain_tables]
        if unknown and may_set_session(self.session.connection, unknown):
            return False
        self.plain_tables.update(unknown)
        return True

    def check(self, row: Applied) -> None:
        """Refuse to continue in a session whose state differs from the recorded one.

        Raises:
            OutcomeUnknown: it differs, and a finished statement may have set it.
        """
        effect, tables = find_session_effects(self.step, row.statements_done)
        if effect is not Effect.HIDDEN and self._read() == row.session_digest:
            return
        may_have_set = effect in {Effect.VISIBLE, Effect.HIDDEN}
        if may_have_set or may_set_session(self.session.connection, tables):
            raise make_session_unknown(self.step)

    def _read(self) -> str:
        writer = MessageWriter()
        writer.add(MessagePart.CONTROL, BEGIN)
        writer.add(MessagePart.CONTROL, CAPTURE)
        self.session.own_role(writer)
        writer.add(MessagePart.CONTROL, f"SELECT {self.digest}")
        writer.add(MessagePart.CONTROL, COMMIT)
        digest = self.session.connection.send(writer.take().text, is_watched=True)[-2].rows[0][0]
        return str(digest)
