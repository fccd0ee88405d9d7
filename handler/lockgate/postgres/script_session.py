"""The session of a script that runs statement by statement: recorded as it goes, compared on resume.

Knows one step. What counts as left in a session is `core.session_effect`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from lockgate.core.refusal import make_session_unknown
from lockgate.core.resumption import find_session_effects
from lockgate.core.session_effect import Effect
from lockgate.postgres.message import MessageWriter, Part
from lockgate.postgres.session import BEGIN, COMMIT
from lockgate.postgres.session_digest import (
    CAPTURE,
    digest_sql,
    find_custom_settings,
    may_set_session,
)
from lockgate.value import dataclass

if TYPE_CHECKING:
    from lockgate.core.history import Applied
    from lockgate.core.segment import Step
    from lockgate.postgres.session import Session


@dataclass(frozen=True, slots=True)
class ScriptSession:
    """One script's session. ``digest`` is the expression of SQL that the server computes it by."""

    session: Session
    step: Step
    digest: str

    @classmethod
    def of(cls, session: Session, step: Step) -> Self:
        """Return that of a step."""
        return cls(session, step, digest_sql(find_custom_settings(step.script.sql)))

    def capture(self, writer: MessageWriter) -> str:
        """Add what reads the script's own state; return the expression of the digest to record.

        To be called before our own role is taken.
        """
        writer.add(Part.CONTROL, CAPTURE)
        return self.digest

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
