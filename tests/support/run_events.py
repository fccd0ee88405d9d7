"""Events of runs, for tests that show or log them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.deciding import CATALOG
from tests.support.fake_server import NOW

from lockgate.core.events import SegmentSent
from lockgate.core.history import EMPTY_HISTORY
from lockgate.core.outcome import FinishedMigration
from lockgate.core.plan import make_plan
from lockgate.core.policy import Policy
from lockgate.core.segment import Segment

if TYPE_CHECKING:
    from lockgate.core.segment import Step
    from lockgate.core.transaction_mode import Mode

STEP = make_plan(CATALOG, EMPTY_HISTORY, Policy()).steps[0]


def make_sending(mode: Mode, count: int, step: Step = STEP) -> SegmentSent:
    """Return the event of a segment with this number of steps."""
    return SegmentSent(Segment(mode, (step,) * count))


def make_done(migration_id: str, duration_ms: int) -> FinishedMigration:
    """Return a finished migration."""
    return FinishedMigration(migration_id, duration_ms, NOW)
