"""Every policy that a user can choose, and the values on which a plan depends."""

from __future__ import annotations

from enum import StrEnum

from lockgate.fast_start.dataclass import dataclass


class Atomicity(StrEnum):
    """How many migrations share one transaction."""

    AUTO = "auto"
    RUN = "run"
    MIGRATION = "migration"


class OutOfOrder(StrEnum):
    """What to do with a pending version below the latest applied one."""

    REFUSE = "refuse"
    APPLY = "apply"
    SKIP = "skip"


class Tls(StrEnum):
    """How strictly the server's identity is verified."""

    VERIFY_FULL = "verify-full"
    REQUIRE = "require"
    OFF = "off"


class Pooler(StrEnum):
    """How to work through a connection pooler."""

    REFUSE = "refuse"
    SESSION = "session"
    LEASE = "lease"


class CfnResponse(StrEnum):
    """Who answers CloudFormation: this function, or the framework that called it."""

    DIRECT = "direct"
    RETURN = "return"


class Rollback(StrEnum):
    """Which work is undone automatically: none, a failed run's, or also a newer deploy's."""

    OFF = "off"
    RUN = "run"
    DEPLOY = "deploy"


class FirstRun(StrEnum):
    """Whether a first run may start on a database with tables of unknown origin."""

    REFUSE = "refuse"
    ALLOW = "allow"


class BackupMode(StrEnum):
    """What to do before a run changes an RDS database."""

    OFF = "off"
    RECORD = "record"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user has chosen for a run, and the circumstances on which its decisions depend.

    The fields before ``is_fresh`` are settings, and their defaults here are those of the settings. The
    engine adds the rest. ``is_fresh``: the database has no history and no tables. ``most_statements``
    limits the statements in one transaction, because of the server's lock table. ``is_older``: versions
    are ahead, and exactly these migrations are known to have been applied before them
    (`core.older_package`).
    ``is_borrowed``: a pooler lends the session for one transaction at a time.
    """

    atomicity: Atomicity = Atomicity.AUTO
    out_of_order: OutOfOrder = OutOfOrder.REFUSE
    first_run: FirstRun = FirstRun.REFUSE
    rollback: Rollback = Rollback.RUN
    allow_data_loss: bool = False
    lock_wait_ms: int = 300_000
    lock_retries: int = 5
    is_fresh: bool = False
    most_statements: int = 2_500
    target: str | None = None
    is_older: bool = False
    is_borrowed: bool = False
