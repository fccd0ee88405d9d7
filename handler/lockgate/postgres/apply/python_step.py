"""Running a Python migration over the run's own connection, lent as SQLAlchemy's.

The function gets a SQLAlchemy `Connection` inside the run's transaction. It cannot end that
transaction; savepoints (``begin_nested``) are its own. A revision of Alembic's gets Alembic's
operations over the same connection (`alembic_step`).
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
    """The migration tried to commit or roll back the run's transaction."""


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
    """What a migration may do with the connection: nothing to the transaction, or all of it."""

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

    ``memo`` is what revisions of Alembic's remember of each other in one run.

    Raises:
        StepFailed: it raised, or it ended the transaction that it was given.
        ConnectionLost: the connection broke meanwhile.
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
    """Run a script's text as a module, which is among Python's modules as long as it is used.

    Dataclasses, annotations and pickles look there for the module of a class.
    """
    name = re.sub(r"\W", "_", f"lockgate_migration_{migration.migration_id}")
    module = ModuleType(name)
    module.__file__ = script.origin or _filename(script)
    # Else the text would inherit this module's own __future__ import.
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
    """Return what a function has returned, unless it is work that nobody would ever do.

    Raises:
        NotRun: it is a generator, a coroutine, a lazy iterator or another function.
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
    """Turn what a migration raises into its failure, with the line of its file."""
    filename = _filename(script)
    linecache.cache[filename] = (len(script.text), None, script.text.splitlines(True), filename)
    try:
        yield
    except ConnectionLost:
        raise
    # A migration may raise anything, SystemExit included; only an interrupt is not its own.
    except (Exception, SystemExit) as error:
        _raise_if_lost(connection, error)
        raise StepFailed(_describe(migration, script, error, filename)) from error
    finally:
        linecache.cache.pop(filename, None)


def verify_python(connection: Connection, migration: Migration) -> bool:
    """Call ``verify`` of a Python migration outside a transaction and return what it says.

    Raises:
        StepFailed: it raised.
        ConnectionLost: the connection broke meanwhile.
    """
    return bool(_call(connection, migration, migration.up, "verify", _Loan.AUTOCOMMIT))


@contextmanager
def _lend(connection: Connection, loan: _Loan) -> Iterator[sqlalchemy.Connection]:
    import sqlalchemy  # costs 150 ms that only Python migrations should pay
    from sqlalchemy.pool import StaticPool  # as above

    engine = sqlalchemy.create_engine(
        "postgresql+pg8000://",
        creator=lambda: connection,
        poolclass=StaticPool,
        pool_reset_on_return=None,
    )
    _read_level_outside(engine.dialect)
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
        # Not closed: that would close the run's connection under it.
        lent.detach() if not lent.closed and not lent.invalidated else None
        connection.lent = None
        connection.autocommit = False


def _read_level_outside(dialect: sqlalchemy.Dialect) -> None:
    """Have the isolation level asked without a transaction.

    pg8000 opens one for the question, of which SQLAlchemy does not know; what was then to be run
    outside of any (`autocommit_block`) would be in it.
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
    """Tell a broken connection, which SQLAlchemy wraps, from the migration's own failure."""
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
    """Return what to do about code that found something missing."""
    if isinstance(error, ImportError):
        return "What a migration imports must be in the package, or in the terminal's environment."
    if isinstance(error, AttributeError) and is_revision(script.text):
        return "Alembic runs env.py before, and Lockgate does not: import in the revision what it uses."
    return None


def _server_fields(error: BaseException) -> dict[str, Any] | None:
    """Return the server's error behind SQLAlchemy's, whose own text holds the parameters."""
    original = getattr(error, "orig", error)
    first = original.args[0] if original.args else None
    return first if isinstance(first, dict) and "C" in first else None


def _has_ended(error: BaseException) -> bool:
    """Whether it was the server that saw a transaction begun or ended, so that it is too late."""
    return TRANSACTION_ENDED in _text(getattr(error, "orig", error))


def _text(error: BaseException) -> str:
    """Return what an error says; a migration's own may fail at saying it."""
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
