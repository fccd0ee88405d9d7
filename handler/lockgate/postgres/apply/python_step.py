"""Running a Python migration over the connection of the run.

The function gets a SQLAlchemy `Connection` inside the transaction of the run. It cannot end that
transaction, but it may use savepoints (``begin_nested``). An Alembic revision gets Alembic's operations
over the same connection (`alembic_step`).
"""

from __future__ import annotations

import linecache
import re
import sys
import traceback
from collections.abc import Awaitable
from contextlib import (
    _AsyncGeneratorContextManager,
    _GeneratorContextManager,
    contextmanager,
)
from enum import Enum, auto
from functools import partial
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any

from lockgate.core.failure import (
    ConnectionLost,
    Failure,
    StepFailed,
    make_excerpt,
    without_row_data,
)
from lockgate.core.server_error import public_context, public_detail, terminal_only
from lockgate.postgres.apply.alembic_step import FUNCTIONS, import_named, is_revision, operate
from lockgate.postgres.server.driver_fixes import TRANSACTION_ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy

    from lockgate.core.migration import Direction, Migration, Script
    from lockgate.postgres.server.connection import Connection


class TransactionEnded(Exception):
    """The migration tried to commit or roll back the transaction of the run."""


class NotRun(Exception):
    """The migration returned its work instead of doing it."""


_UNFINISHED = (
    FunctionType,
    MethodType,
    AsyncGeneratorType,
    _GeneratorContextManager,
    _AsyncGeneratorContextManager,
    partial,
    map,
    filter,
    zip,
    Awaitable,
)


class _Loan(Enum):
    """How a migration may use transactions on the connection."""

    IN_TRANSACTION = auto()
    AUTOCOMMIT = auto()
    OWN_TRANSACTIONS = auto()


def run_python(
    connection: Connection,
    migration: Migration,
    script: Script,
    direction: Direction,
    *,
    in_transaction: bool,
    memo: dict[str, Any],
) -> None:
    """Call ``up`` or ``down`` of a Python migration.

    ``memo`` is what Alembic remembers between the revisions of one run.

    Raises:
        StepFailed: it raised, or it ended the transaction of the run.
        ConnectionLost: the connection broke.
    """
    if is_revision(script.text):
        loan = _Loan.IN_TRANSACTION if in_transaction else _Loan.OWN_TRANSACTIONS
        refusal = TransactionEnded if in_transaction else None
        with (
            _watch(connection, migration, script),
            _lend(connection, loan) as lent,
            operate(lent, script, memo, refusal),
        ):
            name = FUNCTIONS[direction]
            with _load(migration, script) as module:
                import_named(script.text)
                _refuse_unfinished(getattr(module, name)(), name)
        return
    loan = _Loan.IN_TRANSACTION if in_transaction else _Loan.AUTOCOMMIT
    _call(connection, migration, script, direction.value, loan)


def _call(
    connection: Connection, migration: Migration, script: Script, function: str, loan: _Loan
) -> object:
    with (
        _watch(connection, migration, script),
        _lend(connection, loan) as lent,
        _load(migration, script) as module,
    ):
        return _refuse_unfinished(getattr(module, function)(lent), function)


@contextmanager
def _load(migration: Migration, script: Script) -> Iterator[ModuleType]:
    """Run a script's text as a module, which is in ``sys.modules`` while it is used.

    Dataclasses, annotations and pickles look up the module of a class there.
    """
    name = re.sub(r"\W", "_", f"lockgate_migration_{migration.migration_id}")
    module = ModuleType(name)
    module.__file__ = script.origin or _filename(script)
    # Otherwise the text would inherit this module's __future__ import.
    code = compile(script.text, _filename(script), "exec", dont_inherit=True)
    former = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)  # noqa: S102 - running the package's own migration is the job
        yield module
    finally:
        if former is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = former


def _refuse_unfinished(result: object, function: str) -> object:
    """Return the result of a function, unless it is work that would never run.

    Raises:
        NotRun: the result is a generator, a coroutine, a lazy iterator or another function.
    """
    if isinstance(result, (GeneratorType, CoroutineType)):
        result.close()
    elif not isinstance(result, _UNFINISHED):
        return result
    raise NotRun(
        f"{function} returned a {type(result).__name__}, which is never run. Write {function} as a"
        " plain function that does its work before it returns"
    )


def _filename(script: Script) -> str:
    return f"<lockgate>/{script.path}"


@contextmanager
def _watch(connection: Connection, migration: Migration, script: Script) -> Iterator[None]:
    """Translate an exception of a migration into its failure, with the line of its file."""
    filename = _filename(script)
    linecache.cache[filename] = (len(script.text), None, script.text.splitlines(True), filename)
    try:
        yield
    except ConnectionLost:
        raise
    # A migration may raise anything, even SystemExit; only KeyboardInterrupt is not its own.
    except (Exception, SystemExit) as error:
        _raise_if_lost(connection, error)
        raise StepFailed(_describe(migration, script, error, filename)) from error
    finally:
        linecache.cache.pop(filename, None)


def verify_python(connection: Connection, migration: Migration) -> bool:
    """Call ``verify`` of a Python migration outside a transaction and return its result.

    Raises:
        StepFailed: it raised.
        ConnectionLost: the connection broke.
    """
    return bool(_call(connection, migration, migration.up, "verify", _Loan.AUTOCOMMIT))


@contextmanager
def _lend(connection: Connection, loan: _Loan) -> Iterator[sqlalchemy.Connection]:
    engine = _make_engine(connection)
    own_call = True

    def refuse(what: str) -> None:
        if not own_call:
            raise TransactionEnded(
                f"the migration called {what}; the transaction belongs to the run."
                " Use connection.begin_nested() for a savepoint, or set transaction = False"
            )

    connection.lent = refuse if loan is _Loan.IN_TRANSACTION else None
    connection.autocommit = loan is _Loan.AUTOCOMMIT
    lent = engine.connect()
    try:
        if loan is _Loan.IN_TRANSACTION:
            transaction = lent.begin()
        elif loan is _Loan.AUTOCOMMIT:
            lent = lent.execution_options(isolation_level="AUTOCOMMIT")
        own_call = False
        yield lent
        own_call = True
        if loan is _Loan.IN_TRANSACTION:
            transaction.close()
    finally:
        own_call = True
        # Not closed: that would close the connection of the run.
        lent.detach() if not lent.closed and not lent.invalidated else None
        connection.lent = None
        connection.autocommit = False


def _make_engine(connection: Connection) -> sqlalchemy.Engine:
    import sqlalchemy  # 150 ms, which only Python migrations need
    from sqlalchemy.pool import StaticPool  # as above

    engine = sqlalchemy.create_engine(
        "postgresql+pg8000://",
        creator=lambda: connection,
        poolclass=StaticPool,
        pool_reset_on_return=None,
    )
    _read_level_outside(engine.dialect)
    return engine


def _read_level_outside(dialect: sqlalchemy.Dialect) -> None:
    """Make SQLAlchemy read the isolation level outside a transaction.

    For this query pg8000 would open a transaction that SQLAlchemy does not know of; statements meant to
    run outside a transaction (`autocommit_block`) would then run inside it.
    """
    read = dialect.get_isolation_level

    def read_outside(connection: Any) -> Any:
        before, connection.autocommit = connection.autocommit, True
        try:
            return read(connection)
        finally:
            connection.autocommit = before

    dialect.get_isolation_level = read_outside  # type: ignore[method-assign, assignment]


def _raise_if_lost(connection: Connection, error: BaseException) -> None:
    """Raise `ConnectionLost` if the error, which SQLAlchemy may have wrapped, is a broken connection."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionLost):
            raise cause
        cause = cause.__cause__ or getattr(cause, "orig", None)
    if not connection.is_open:
        raise ConnectionLost("the connection broke during a Python migration") from error


def _describe(migration: Migration, script: Script, error: BaseException, filename: str) -> Failure:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == filename]
    line = frames[-1].lineno if frames else None
    if line is None and isinstance(error, SyntaxError):
        line = error.lineno
    column = frames[-1].colno + 1 if frames and frames[-1].colno is not None else 1
    fields = _server_fields(error)
    sqlstate = fields.get("C") if fields else None
    return Failure(
        migration=migration.label,
        message=_message(error, fields),
        sqlstate=sqlstate,
        hint=fields.get("H") if fields else _find_hint(script, error),
        detail=public_detail(fields, script.hidden) if fields else None,
        context=public_context(fields, script.hidden) if fields else None,
        terminal_only=terminal_only(fields, script.hidden) if fields else (),
        file=script.path,
        line=line,
        column=column if line is not None else None,
        excerpt=None if line is None else make_excerpt(script.text, line, column),
        has_committed=_has_ended(error),
    )


def _find_hint(script: Script, error: BaseException) -> str | None:
    """Return a hint for an import or an attribute that is missing."""
    if isinstance(error, ImportError):
        return "Modules that a migration imports must be in the package, or installed for the terminal."
    if isinstance(error, AttributeError) and is_revision(script.text):
        return "Lockgate does not run env.py: import in the revision itself what it uses."
    return None


def _server_fields(error: BaseException) -> dict[str, Any] | None:
    """Return the server's error inside SQLAlchemy's, whose text contains the parameters."""
    original = getattr(error, "orig", error)
    first = original.args[0] if original.args else None
    return first if isinstance(first, dict) and "C" in first else None


def _has_ended(error: BaseException) -> bool:
    """Return whether the server began or ended a transaction, so that it cannot be prevented."""
    return TRANSACTION_ENDED in _text(getattr(error, "orig", error))


def _text(error: BaseException) -> str:
    """Return the text of an error; that of a migration's own class may raise again."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the migration's code, which may raise anything
        return ""


def _message(error: BaseException, fields: dict[str, Any] | None) -> str:
    if fields is not None:
        return without_row_data(fields["C"], fields.get("M", ""))
    if isinstance(error, (TransactionEnded, NotRun)):
        return str(error)
    if _has_ended(error):
        return f"{TRANSACTION_ENDED}; the transaction belongs to the run"
    if hasattr(error, "orig") or hasattr(error, "statement"):
        return type(error).__name__
    return f"{type(error).__name__}: {_text(error)}".removesuffix(": ")
