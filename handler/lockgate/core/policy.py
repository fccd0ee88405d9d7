"""What a plan is made by, as a value. Knows no migrations."""

from __future__ import annotations

from lockgate.fast_start.dataclass import dataclass
from lockgate.settings import Atomicity, OutOfOrder


@dataclass(frozen=True, slots=True)
class Policy:
    """What the plan is made by.

    ``is_fresh``: no history and no tables of anybody's. ``most_statements`` bounds what one
    transaction may hold, by the server's lock table. ``is_older``: versions are ahead, and it is on
    record that exactly these migrations were applied before them (`core.older_package`).
    ``is_borrowed``: a pooler lends the session, for one transaction at a time.
    """

    atomicity: Atomicity = Atomicity.AUTO
    out_of_order: OutOfOrder = OutOfOrder.REFUSE
    is_fresh: bool = False
    most_statements: int = 2_500
    target: str | None = None
    is_older: bool = False
    is_borrowed: bool = False
