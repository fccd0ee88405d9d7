"""Writing the first message of the next segment while the server works on the current one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.apply.segment_message import write_first

if TYPE_CHECKING:
    from lockgate.core.outcome import RowStamp
    from lockgate.core.segment import Segment
    from lockgate.postgres.apply.session import Session
    from lockgate.postgres.server.message import MessageWriter

# A message written ahead contains the time left, so it must be sent soon.
MOST_SECONDS_AHEAD = 1.0


@dataclass(frozen=True, slots=True)
class _Ahead:
    """The first message of a segment, and the values that it was written with."""

    segment: Segment
    stamp: RowStamp
    carried_settings: tuple[str, ...]
    written_at: float
    writer: MessageWriter


@dataclass(slots=True)
class Lookahead:
    """Writes the next segment's first message while the server works on this one."""

    _ahead: _Ahead | None = None

    def write(self, session: Session, segment: Segment | None) -> None:
        """Write the first message of a segment, if that is possible in advance."""
        writer = None if segment is None else write_first(session, segment)
        if segment is not None and writer is not None:
            now = session.clock.monotonic()
            self._ahead = _Ahead(segment, session.stamp, session.carried_settings, now, writer)

    def take(self, session: Session, segment: Segment) -> MessageWriter | None:
        """Return the message if it is for this segment and still valid."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead.segment is not segment:
            return None
        # The stamp changes only in a recovery, after which an earlier segment comes first; with the old
        # token the message would be refused.
        is_as_was = (ahead.stamp, ahead.carried_settings) == (
            session.stamp,
            session.carried_settings,
        )
        is_new = session.clock.monotonic() - ahead.written_at < MOST_SECONDS_AHEAD
        return ahead.writer if is_as_was and is_new else None
