"""The session of a script that runs statement by statement: recorded as it goes, compared on resume.

Knows one step. What counts as left in a session is `core.session_effect`'s business.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Self

from lockgate.core.analysis import UnitMode
from lockgate.core.refusal import make_session_unknown
from lockgate.core.resumption import find_session_effects
from lockgate.core.session_effect import Effect, find_effect, join_effects
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.apply.session_sql import BEGIN, COMMIT
from lockgate.postgres.server.message import MessageWriter, Part
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


# To read a longer statement takes longer than the server takes for a digest.
_MOST_CHARACTERS = 100_000


@dataclass(slots=True)
class ScriptSession:
    """One script's session. ``digest`` is the expression of SQL that the server computes it by.

    ``is_recorded``: the row has the digest of the session as it was before the unit that runs, and
    ``is_kept``: that unit leaves it so. ``plain_tables`` were looked at: writing to them leaves
    nothing in the session.
    """

    session: Session
    step: Step
    digest: str
    is_recorded: bool = False
    is_kept: bool = False
    plain_tables: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, session: Session, step: Step) -> Self:
        """Return that of a step."""
        return cls(session, step, digest_sql(find_custom_settings(step.script.sql)))

    def expect(self, unit: Unit) -> None:
        """Take note of the unit that runs next: whether the digest that is recorded stays true.

        The server takes longer to compute a digest than to insert a row.
        """
        self.is_kept = self._leaves_nothing(unit)
        self.is_recorded = self.is_recorded and self.is_kept

    def capture(self, writer: MessageWriter) -> str:
        """Add what reads the script's own state; return the expression of the digest to record.

        To be called before our own role is taken.
        """
        if self.is_recorded and self.is_kept:
            return recorded_digest_sql(self.session.tables, self.step.migration)
        writer.add(Part.CONTROL, CAPTURE)
        self.is_recorded = True
        return self.digest

    def _leaves_nothing(self, unit: Unit) -> bool:
        """Tell whether a unit only writes rows of tables to which nothing is attached."""
        statements = self.step.analysis.statements[unit.first : unit.last + 1]
        is_short = statements[-1].end - statements[0].start <= _MOST_CHARACTERS
        effect = Effect.VISIBLE
        tables: tuple[str, ...] = ()
        if unit.mode is UnitMode.WRAPPED and is_short:
            effect, tables = join_effects(find_effect(self.step.script.sql, s) for s in statements)
        if effect is not Effect.TABLE:
            # It may attach something to a table.
            self.plain_tables.clear()
            return False
        unknown = [table for table in tables if table not in self.plain_tables]
        if unknown and may_set_session(self.session.connection, unknown):
            return False
        self.plain_tables.update(unknown)
        return True

    def check(self, row: Applied) -> None:
        """Refuse to go on in a session that is not as the script had left it.

        Raises:
            OutcomeUnknown: it is not, and a statement that is done may have set it.
        """
        effect, tables = find_session_effects(self.step, row.statements_done)
        if effect is not Effect.HIDDEN and self._read() == row.session_digest:
            return
        may_have_set = effect in {Effect.VISIBLE, Effect.HIDDEN}
        if may_have_set or may_set_session(self.session.connection, tables):
            raise make_session_unknown(self.step)

    def _read(self) -> str:
        writer = MessageWriter()
        writer.add(Part.CONTROL, BEGIN)
        writer.add(Part.CONTROL, CAPTURE)
        self.session.own_role(writer)
        writer.add(Part.CONTROL, f"SELECT {self.digest}")
        writer.add(Part.CONTROL, COMMIT)
        digest = self.session.connection.send(writer.take().text, is_watched=True)[-2].rows[0][0]
        return str(digest)
