"""Build a runner from the settings, for the function and the terminal alike."""

from __future__ import annotations

import secrets
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.aws.access import AccessSource
from lockgate.aws.parts import SecretStage
from lockgate.core.address import Address
from lockgate.core.backup import NoBackup
from lockgate.core.endpoint import is_on_this_machine
from lockgate.core.policy import BackupMode
from lockgate.engine.dependencies import RunDependencies
from lockgate.engine.run import Runner
from lockgate.formats.registry import find_table_name, list_folder
from lockgate.formats.shared.folder import require_folder
from lockgate.formats.shared.substitution import substitute_variables
from lockgate.postgres.database import Database
from lockgate.postgres.run_connection import RunConnection
from lockgate.postgres.server.connector import Connector, ConnectRetry
from lockgate.postgres.server.session_options import SessionOptions, Timeouts
from lockgate.postgres.server.tls import make_tls_context
from lockgate.postgres.tables.table_names import Tables

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from lockgate.core.backup import Backup, Notes, Purpose
    from lockgate.core.catalog import Catalog
    from lockgate.core.deadline import Deadline
    from lockgate.core.endpoint import Access
    from lockgate.core.event_log import EventLog
    from lockgate.core.events import Event
    from lockgate.core.listing import Listing
    from lockgate.settings import Settings


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Return seconds that never decrease."""
        return time.monotonic()

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Sleep for that many seconds."""
        time.sleep(seconds)


class AccessProvider:
    """Gives the connector credentials and TLS contexts."""

    def __init__(self, settings: Settings, source: AccessSource) -> None:
        self._settings = settings
        self._source = source

    @property
    def may_rotate(self) -> bool:
        """True if the password comes from a secret, which may be rotated meanwhile."""
        return self._settings.secret_arn is not None

    def current(self) -> Access:
        """Read and return the current access."""
        return self._source.access(SecretStage.CURRENT)

    def pending(self) -> Access | None:
        """Return the access that a rotation in progress switches to."""
        return self._source.access(SecretStage.PENDING)

    def context(self, access: Access) -> ssl.SSLContext | None:
        """Return the TLS context for an access, or ``None`` without TLS."""
        return make_tls_context(
            access.tls,
            access.endpoint.host,
            ca_file=self._settings.ca_file,
            off_anywhere=self._settings.tls_off_anywhere,
        )


class LazyBackup:
    """Backs up through RDS. Imports the code for it only before the first change."""

    def __init__(
        self,
        settings: Settings,
        source: AccessSource,
        deadline: Deadline,
        add_event: Callable[[Event], object],
    ) -> None:
        self._settings = settings
        self._source = source
        self._deadline = deadline
        self._add_event = add_event
        self._backup: Backup | None = None

    def before_change(self, purpose: Purpose, notes: Notes) -> None:
        """Back up; see `core.backup.Backup.before_change`."""
        # RDS is never on this machine, and no backup was requested.
        if self._settings.backup is None and is_on_this_machine(purpose.endpoint.host):
            return
        if self._backup is None:
            self._backup = self._make()
        self._backup.before_change(purpose, notes)

    def _make(self) -> Backup:
        from lockgate.aws.backup import BackupTerms, RdsBackup  # the door to RDS

        settings = self._settings
        terms = BackupTerms(settings.backup, settings.backup_keep, settings.schema)
        find_named = self._source.find_resource
        return RdsBackup(terms, find_named, SystemClock(), self._deadline, self._add_event)


def make_run_id() -> str:
    """Return a new run's id: 16 hexadecimal digits, short enough for an application name."""
    return secrets.token_hex(8)


def make_backup(
    settings: Settings,
    source: AccessSource,
    deadline: Deadline,
    add_event: Callable[[Event], object],
) -> Backup:
    """Return the backup of the settings. Does not call AWS yet."""
    if settings.backup is BackupMode.OFF:
        return NoBackup()
    return LazyBackup(settings, source, deadline, add_event)


def make_runner(
    settings: Settings,
    deadline: Deadline,
    events: EventLog,
    *,
    run_id: str,
    base: Path | None = None,
    address: Address | None = None,
    tell: Callable[[str, str], None] | None = None,
) -> Runner:
    """Build the runner for one request, which records its events in ``events``. Opens no connection yet.

    ``base`` is the folder that a relative ``LOCKGATE_MIGRATIONS`` starts from, by default the working
    folder. ``address`` is where commands in messages are to be run, by default a terminal. ``tell``
    shows what a migration prints, row data included, to the person at the terminal.
    """
    clock = SystemClock()
    source = AccessSource(settings)
    connector = Connector(
        AccessProvider(settings, source),
        ConnectRetry(settings.connect_timeout_ms, settings.connect_budget_ms),
        clock,
        deadline,
        events.add,
    )
    options = SessionOptions(
        set_role=settings.set_role,
        pooler=settings.pooler,
        timeouts=Timeouts(settings.lock_timeout_ms, settings.statement_timeout_ms),
        alembic_plugins=settings.alembic_plugins,
    )
    tables = Tables(settings.schema)
    folder = (base or Path()) / settings.migrations
    connection = RunConnection(
        connector, tables, options, clock, deadline, run_id, events.add, tell
    )
    dependencies = RunDependencies(
        database=Database(connection),
        require_folder=partial(require_folder, folder),
        list_folder=partial(list_folder, settings.format, folder, settings.variables),
        read_catalog=_read_catalog,
        policy=settings.policy,
        substitute=partial(_substitute, settings.variables),
        backup=make_backup(settings, source, deadline, events.add),
        folder=folder,
        address=address or Address(),
        find_table_name=lambda tool: find_table_name(tool, folder, settings.variables),
        clock=clock,
        deadline=deadline,
        events=events,
        run_id=run_id,
    )
    return Runner(dependencies)


def _read_catalog(listing: Listing, known: int) -> Catalog:
    return listing.read(known)


def _substitute(variables: Mapping[str, str], text: str, path: str) -> tuple[str, tuple[str, ...]]:
    """Substitute the variables of a script stored in the history."""
    found = substitute_variables(text, variables, path=path, first_line=1)
    return found.text, found.hidden
