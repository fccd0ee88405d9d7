"""The history rows of a batch of migrations, prepared before their end times are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from lockgate.postgres.apply.segment_message import complete_progress
from lockgate.postgres.tables.history_row import Row, make_row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.core.outcome import RowStamp
    from lockgate.core.segment import Step
    from lockgate.postgres.apply.session import EndTime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BatchRows:
    """Collects rows without their times, then sets the times."""

    def __init__(self, stamp: RowStamp) -> None:
        self._stamp = stamp
        self._prepared: dict[str, Row] = {}
        self._begun = Decimal()
        self._ended: list[Row] = []

    def prepare(self, steps: Iterable[Step]) -> None:
        """Make the rows without their times. This takes a while, because it digests the scripts."""
        for step in steps:
            migration = step.migration
            if migration.migration_id not in self._prepared:
                row = make_row(migration, self._stamp, complete_progress(step))
                self._prepared[migration.migration_id] = row

    def set_end_times(self, end_times: Iterable[EndTime]) -> None:
        """Set the times. An end time without a migration is when the first migration could begin."""
        for end in end_times:
            if end.migration is not None:
                row = self._prepared.pop(end.migration.migration_id)
                ended_at = _EPOCH + timedelta(microseconds=int(end.epoch * 1_000_000))
                row["applied_at"] = ended_at.isoformat()
                row["duration_ms"] = max(0, round((end.epoch - self._begun) * 1000))
                self._ended.append(row)
            self._begun = end.epoch

    def take_finished(self) -> list[Row]:
        """Return the rows of the migrations that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended
