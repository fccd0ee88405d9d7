"""The exception tree. Knows what can go wrong and how to say it; imports nothing else of Lockgate.

::

    LockgateError
    ├── RequestRefused          bad input, or a rule says no
    │   ├── SettingInvalid
    │   ├── RequestInvalid
    │   ├── MigrationFileInvalid    with file, line and column
    │   ├── OutOfOrderFound
    │   ├── OutcomeUnknown          an interrupted statement that no catalog tells about
    │   ├── SessionNeeded           a migration that needs a session, and a pooler lends transactions
    │   ├── TargetUnsuitable        a pooler, a standby, a role without rights
    │   ├── BackupFailed            no backup, where the run may not do without one
    │   ├── HistoryUnusable         the history is newer than this package, or damaged
    │   ├── HistoryForeign          the history has no version in common with the files
    │   ├── FirstContact            a first run, and the database has tables already
    │   ├── UndoRefused             something to undo has no way back
    │   ├── DataLossRefused         a down script would drop or delete rows
    │   └── AmendmentRefused        the history cannot be changed as asked
    ├── DriftDetected           an applied file was edited or is missing
    ├── DatabaseBusy            another run holds the lock
    │   ├── LockLost                this run's lock was taken by another
    │   └── FunctionBusy            Lambda runs no further invocation of the function now
    ├── MigrationFailed         a statement failed; the report says what was undone
    ├── RunIncomplete           time ran out; the next run resumes
    ├── CredentialsRejected     the secret cannot be read, or the server refuses it
    ├── DatabaseUnreachable     no connection, or one that broke and did not come back
    │   └── CertificateUntrusted
    └── UnexpectedFailure       a defect, or a failure that nothing above names
        └── FunctionFailed          a function that was invoked gave no report

The direct children of ``LockgateError`` are a public API: their names reach Step Functions as error
names, so a caller always sees one of them, never a grandchild (`public_class`).
"""

from __future__ import annotations

from typing import ClassVar

from lockgate.invisible import name_invisible


class LockgateError(Exception):
    """Say what happened, where and what to do, and nothing of the state of the database.

    That is `StateAfter`'s to say, from what the run knows of its own work.

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
    """Bad input, or a rule says no."""

    code = "request-refused"


class SettingInvalid(RequestRefused):
    """A setting is missing or has a value that it cannot have."""

    code = "setting-invalid"


class RequestInvalid(RequestRefused):
    """The event is no request that this function understands or may carry out."""

    code = "request-invalid"


class MigrationFileInvalid(RequestRefused):
    """A migration file, or the folder, cannot be read as migrations."""

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


class OutOfOrderFound(RequestRefused):
    """A pending version is below the latest applied one, and the policy is to refuse."""

    code = "out-of-order"


class OutcomeUnknown(RequestRefused):
    """A statement outside a transaction was interrupted, and nobody can tell whether it is done."""

    code = "outcome-unknown"


class SessionNeeded(RequestRefused):
    """A migration needs a session of its own, and the pooler lends one for a transaction only."""

    code = "session-needed"


class TargetUnsuitable(RequestRefused):
    """The server, or the role on it, cannot be migrated as it is."""

    code = "target-unsuitable"


class BackupFailed(RequestRefused):
    """There is no backup, and the run may not do without one."""

    code = "backup-failed"


class HistoryUnusable(RequestRefused):
    """The history in the database was written by a newer release, or is damaged."""

    code = "history-unusable"


class HistoryForeign(RequestRefused):
    """The history and the files have no version in common: one of them is another project's."""

    code = "history-foreign"


class FirstContact(RequestRefused):
    """No run has changed this database yet, and it has tables that nobody accounts for."""

    code = "first-contact"


class UndoRefused(RequestRefused):
    """What is to be undone has no down script, or was applied in part."""

    code = "undo-refused"


class DataLossRefused(RequestRefused):
    """A down script would drop a table or column that holds rows, or delete rows."""

    code = "data-loss-refused"


class AmendmentRefused(RequestRefused):
    """A baseline, an adoption or a repair does not fit the history or the files."""

    code = "amendment-refused"


class DriftDetected(LockgateError):
    """What was applied differs from the files."""

    code = "drift-detected"


class DatabaseBusy(LockgateError):
    """Another run holds the migration lock."""

    code = "lock-busy"


class LockLost(DatabaseBusy):
    """Another run took this run's lock."""

    code = "lock-lost"


class FunctionBusy(DatabaseBusy):
    """Lambda runs no further invocation of the function now."""

    code = "function-busy"


class MigrationFailed(LockgateError):
    """A statement of a migration failed."""

    code = "migration-failed"


class RunIncomplete(LockgateError):
    """Time ran out before the work was done; invoked again, the run goes on where it stopped."""

    code = "run-incomplete"


class CredentialsRejected(LockgateError):
    """The secret cannot be read, or the server does not accept what is in it."""

    code = "credentials-rejected"


class DatabaseUnreachable(LockgateError):
    """There is no connection to the server, or it broke and could not be had again."""

    code = "database-unreachable"


class CertificateUntrusted(DatabaseUnreachable):
    """The server's certificate does not verify; the connection was not used."""

    code = "certificate-untrusted"


class UnexpectedFailure(LockgateError):
    """A failure that no other class names."""

    code = "unexpected-failure"


class FunctionFailed(UnexpectedFailure):
    """A function that was invoked gave no report."""

    code = "function-failed"


def public_class(error: LockgateError) -> type[LockgateError]:
    """Return the class name that callers may rely on for this error."""
    for cls in type(error).__mro__:
        if LockgateError in cls.__bases__:
            return cls
    return UnexpectedFailure
