"""Every error that Lockgate raises. Imports only `invisible` from the rest of the package.

::

    LockgateError
    ├── RequestRefused          bad input, or a rule forbids it
    │   ├── SettingInvalid
    │   ├── RequestInvalid
    │   ├── MigrationFileInvalid    with file, line and column
    │   ├── OutOfOrderFound
    │   ├── OutcomeUnknown          an interrupted statement whose outcome the catalogs do not show
    │   ├── SessionNeeded           a migration needs a session, and the pooler only lends transactions
    │   ├── TargetUnsuitable        a pooler, a standby, a role without rights
    │   ├── BackupFailed            no backup, and the run requires one
    │   ├── HistoryUnusable         the history is newer than this package, or damaged
    │   ├── HistoryForeign          the history and the files share no version
    │   ├── FirstContact            a first run on a database that already has tables
    │   ├── UndoRefused             something to undo has no down script
    │   ├── DataLossRefused         a down script would drop or delete rows
    │   └── AmendmentRefused        the history cannot be changed as asked
    ├── DriftDetected           an applied file was edited or is missing
    ├── DatabaseBusy            another run holds the lock
    │   ├── LockLost                another run took this run's lock
    │   └── FunctionBusy            Lambda does not start another invocation now
    ├── MigrationFailed         a statement failed; the report lists what was undone
    ├── RunIncomplete           time ran out; the next run resumes
    ├── CredentialsRejected     the secret cannot be read, or the server refuses it
    ├── DatabaseUnreachable     cannot connect, or the connection broke for good
    │   └── CertificateUntrusted
    └── UnexpectedFailure       a defect, or a failure that no class above covers
        └── FunctionFailed          an invoked function returned no report

The direct children of ``LockgateError`` are a public API: their names reach Step Functions as error
names, so a caller always sees one of them, never a grandchild (`public_class`).
"""

from __future__ import annotations

from typing import ClassVar

from lockgate.invisible import name_invisible


class LockgateError(Exception):
    """An error with what happened, where, and what to do.

    It never describes the state of the database: `core.state_after` does, from what the run knows.

    ``code`` is stable and documented in ``docs/errors.md``; ``hint`` is what to do next; ``fields``
    holds facts for logs and tests, never a secret.
    """

    code: ClassVar[str] = "unexpected-failure"

    def __init__(self, message: str, *, hint: str | None = None, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields


class RequestRefused(LockgateError):
    """The input is invalid, or a rule forbids it."""

    code = "request-refused"


class SettingInvalid(RequestRefused):
    """A setting is missing or has an invalid value."""

    code = "setting-invalid"


class RequestInvalid(RequestRefused):
    """The event is not a valid request, or this function may not carry it out."""

    code = "request-invalid"


class MigrationFileInvalid(RequestRefused):
    """A migration file or the folder is invalid.

    ``others`` are the errors of further files that were found at the same time.
    """

    code = "migration-file-invalid"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        **fields: object,
    ) -> None:
        super().__init__(name_invisible(message), hint=hint, **fields)
        self.file = file
        self.line = line
        self.column = column
        self.others: tuple[MigrationFileInvalid, ...] = ()


class OutOfOrderFound(RequestRefused):
    """A pending version is below the latest applied one, which the policy refuses."""

    code = "out-of-order"


class OutcomeUnknown(RequestRefused):
    """A statement outside a transaction was interrupted, and its outcome is unknown."""

    code = "outcome-unknown"


class SessionNeeded(RequestRefused):
    """A migration needs its own session, but the pooler lends sessions for one transaction."""

    code = "session-needed"


class TargetUnsuitable(RequestRefused):
    """The server is unsuitable, or the role lacks rights."""

    code = "target-unsuitable"


class BackupFailed(RequestRefused):
    """There is no backup, and the run requires one."""

    code = "backup-failed"


class HistoryUnusable(RequestRefused):
    """The history in the database was written by a newer release, or is damaged."""

    code = "history-unusable"


class HistoryForeign(RequestRefused):
    """The history and the files share no version: they belong to different projects."""

    code = "history-foreign"


class FirstContact(RequestRefused):
    """No run has changed this database yet, and it has tables of unknown origin."""

    code = "first-contact"


class UndoRefused(RequestRefused):
    """A migration to undo has no down script, or was applied in part."""

    code = "undo-refused"


class DataLossRefused(RequestRefused):
    """A down script would drop a table or column that holds rows, or delete rows."""

    code = "data-loss-refused"


class AmendmentRefused(RequestRefused):
    """A baseline, an adoption or a repair does not fit the history or the files."""

    code = "amendment-refused"


class DriftDetected(LockgateError):
    """An applied file was edited or is missing."""

    code = "drift-detected"


class DatabaseBusy(LockgateError):
    """Another run holds the migration lock."""

    code = "lock-busy"


class LockLost(DatabaseBusy):
    """Another run took this run's lock."""

    code = "lock-lost"


class FunctionBusy(DatabaseBusy):
    """Lambda does not start another invocation now."""

    code = "function-busy"


class MigrationFailed(LockgateError):
    """A statement of a migration failed."""

    code = "migration-failed"


class RunIncomplete(LockgateError):
    """Time ran out before the work was done; the next run continues from there."""

    code = "run-incomplete"


class CredentialsRejected(LockgateError):
    """The secret cannot be read, or the server rejects the credentials."""

    code = "credentials-rejected"


class DatabaseUnreachable(LockgateError):
    """The server cannot be reached, or the connection broke and could not be restored."""

    code = "database-unreachable"


class CertificateUntrusted(DatabaseUnreachable):
    """The server's certificate cannot be verified, so the connection was not used."""

    code = "certificate-untrusted"


class UnexpectedFailure(LockgateError):
    """A failure that no other class covers."""

    code = "unexpected-failure"


class FunctionFailed(UnexpectedFailure):
    """An invoked function returned no report."""

    code = "function-failed"


def public_class(error: LockgateError) -> type[LockgateError]:
    """Return the class name that callers may rely on for this error."""
    for cls in type(error).__mro__:
        if LockgateError in cls.__bases__:
            return cls
    return UnexpectedFailure
