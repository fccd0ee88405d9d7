"""Decide how a script runs: in a shared transaction, in its own, or outside a transaction."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.failure import mask
from lockgate.core.migration import ALONE_OUTSIDE, Language, Script
from lockgate.core.psql_command import PSQL, describe_replacement, find_command
from lockgate.core.sharing import find_alone_reason, may_write
from lockgate.core.sql.script import (
    SHARED,
    Classification,
    Control,
    SqlTextInvalid,
    Statement,
    Transactionality,
    changes_settings,
    classify,
    client_encoding_of,
    find_own_transaction,
    line_and_column,
    may_refuse_transaction,
    mentions,
    split_statements,
)
from lockgate.core.transaction_mode import Mode, UnitMode
from lockgate.errors import MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Unit:
    """Statements ``first`` to ``last`` (indexes, inclusive) that take effect together.

    ``WRAPPED``: one statement, in a transaction that Lockgate opens. ``BLOCK``: from the script's own
    ``BEGIN`` to its ``COMMIT``. ``ALONE``: one statement that cannot run in a transaction.
    ``SESSION``: one that only sets up the session; it is not recorded, and runs again when the script
    is resumed.
    """

    mode: UnitMode
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """How one script runs. ``units`` is empty for a shared one.

    ``sets_session``: it may leave settings in its session, apart from those set inside a function.
    ``alone_reason`` is why a shared one gets its own transaction (`find_alone_reason`).
    ``may_write``: it may write rows.
    """

    mode: Mode
    statements: tuple[Statement, ...] = ()
    units: tuple[Unit, ...] = ()
    adds_enum_value: bool = False
    reason: str | None = None
    sets_session: bool = False
    alone_reason: str | None = None
    may_write: bool = True

    @property
    def last_unit(self) -> Unit | None:
        """The unit after which the migration is applied."""
        recorded = (unit for unit in reversed(self.units) if unit.mode is not UnitMode.SESSION)
        return next(recorded, None)


# Savepoints do not end a transaction.
_HARMLESS = (None, Control.SAVEPOINT)
_NEUTRAL = {Transactionality.ALONE, Transactionality.SESSION}
_UNIT_MODES = {
    Transactionality.ALONE: UnitMode.ALONE,
    Transactionality.SESSION: UnitMode.SESSION,
}

# PostgreSQL compares the names of encodings by their letters and digits.
_NO_LETTER = re.compile(r"[\W_]+")
_UTF8 = frozenset({"utf8", "unicode"})
_ENCODING = ("client_encoding", "names")
_SETTERS = frozenset({("SET",), ("SELECT",)})

# A string that begins with the word; UPDATE … SET does not.
_SETS_IN_PYTHON = re.compile(
    r"[\"'`;]\s*(?:SET(?!\s+(?:LOCAL|CONSTRAINTS))|RESET)\s|set_config\b", re.IGNORECASE
)

PYTHON_SHARED = Analysis(Mode.SHARED)
PYTHON_ALONE = Analysis(Mode.STATEMENTS, reason="transaction = False")


def analyse_script(script: Script) -> Analysis:
    """Decide how a script runs, and whether it may leave settings in its session.

    Raises:
        MigrationFileInvalid: as `_analyse`.
    """
    found = _analyse(script)
    sets_session = _sets_session(script, found)
    if found.mode is not Mode.SHARED:
        return replace(found, sets_session=True) if sets_session else found
    return replace(
        found,
        sets_session=sets_session,
        alone_reason=find_alone_reason(script, found.statements),
        may_write=may_write(script, found.statements),
    )


def _sets_session(script: Script, found: Analysis) -> bool:
    if script.language is Language.PYTHON:
        return _SETS_IN_PYTHON.search(script.text) is not None
    return "set_config" in script.sql or any(
        changes_settings(one.words) for one in found.statements
    )


def _analyse(script: Script) -> Analysis:
    """Split and classify a script and decide how it runs.

    Raises:
        MigrationFileInvalid: the script has an obstacle, cannot be split, sets a client encoding
            other than UTF8, or mixes statements that need a transaction with statements that
            cannot run in one and has no ``transaction:false``.
    """
    _refuse_obstacle(script)
    if script.language is Language.PYTHON:
        return PYTHON_ALONE if script.options.transaction is False else PYTHON_SHARED
    statements = _split(script)
    _refuse_encoding(script, statements)
    classes = [classify(script.sql, statement) for statement in statements]
    if script.options.transaction is not False and all(one is SHARED for one in classes):
        return Analysis(Mode.SHARED, statements)
    alone = [i for i, c in enumerate(classes) if c.transactionality is Transactionality.ALONE]
    controls = [c.control for c in classes if c.control not in _HARMLESS]
    if script.options.transaction is not False and not alone:
        if not controls:
            adds = any(c.transactionality is Transactionality.ENUM_VALUE for c in classes)
            return Analysis(Mode.SHARED, statements, adds_enum_value=adds)
        _refuse_unpaired(script, statements, classes)
        block = find_own_transaction(classes)
        if block is not None:
            unit = Unit(UnitMode.BLOCK, *block)
            units = _with_session(classes, unit)
            return Analysis(
                Mode.OWN_TRANSACTION, statements, units, reason="its own BEGIN and COMMIT"
            )
    if alone:
        _refuse_mixture(script, statements, classes, alone[0])
    _refuse_unpaired(script, statements, classes)
    reason = "several transactions of its own" if controls else "transaction:false"
    if alone:
        reason = classes[alone[0]].reason or reason
    return Analysis(
        Mode.STATEMENTS, statements, _make_units(script, statements, classes), reason=reason
    )


def _refuse_obstacle(script: Script) -> None:
    found = script.obstacle
    if found is not None:
        raise MigrationFileInvalid(
            f"{script.path}:{found.line}: the script {found.why}.",
            hint=found.hint,
            file=script.path,
            line=found.line,
            psql=found.psql,
            variable=found.variable,
            library=found.library,
        )


def _split(script: Script) -> tuple[Statement, ...]:
    try:
        return split_statements(script.sql)
    except SqlTextInvalid as error:
        line = script.first_line + (error.line or 1) - 1
        command = find_command(script.sql, error)
        raise MigrationFileInvalid(
            f"{script.path}:{line}:{error.column}: {mask(error.message, script.hidden)}.",
            hint="Correct the file." if command is None else describe_replacement(command),
            file=script.path,
            line=line,
            column=error.column,
            psql=None if command is None else PSQL,
        ) from None


def _refuse_encoding(script: Script, statements: tuple[Statement, ...]) -> None:
    """Refuse another client encoding: the server would decode the rest of the script with it."""
    if not mentions(script.sql, _ENCODING):
        return
    for statement in statements:
        if statement.words[:1] not in _SETTERS:
            continue
        text = script.sql[statement.start : statement.end]
        encoding = client_encoding_of(text, strings=statement.standard_conforming_strings)
        if encoding is None or _NO_LETTER.sub("", encoding).lower() in _UTF8:
            continue
        line, column = place_of(script, statement.start)
        raise MigrationFileInvalid(
            f"{script.path}:{line}:{column}: the script sets client_encoding to"
            f" {mask(encoding.upper(), script.hidden)}, and is sent as UTF-8.",
            hint="Remove the statement. The file is UTF-8, whatever"
            " the encoding of the database; the server converts it.",
            file=script.path,
            line=line,
            column=column,
        )


def place_of(script: Script, offset: int) -> tuple[int, int]:
    """Return line and column, in the file, of an offset in the script."""
    line, column = line_and_column(script.sql, offset)
    return script.first_line + line - 1, column


def _refuse_mixture(
    script: Script,
    statements: tuple[Statement, ...],
    classes: Sequence[Classification],
    first_alone: int,
) -> None:
    line, column = place_of(script, statements[first_alone].start)
    why = classes[first_alone].reason
    if script.options.transaction is True:
        raise MigrationFileInvalid(
            f"{script.path}:{line}:{column}: {why}, but the file says transaction:true.",
            hint="Remove the option, or put the statement in a migration of its own.",
            file=script.path,
            line=line,
            column=column,
        )
    others = {c.transactionality for c in classes} - _NEUTRAL
    if script.options.transaction is None and others:
        raise MigrationFileInvalid(
            f"{script.path}:{line}:{column}: {why}, but other statements of the file can, and would"
            " stay applied if a later one failed.",
            hint=f"Put this statement in a migration of its own{_outside_hint(script)}.",
            file=script.path,
            line=line,
            column=column,
        )


def _outside_hint(script: Script) -> str:
    if script.outside in {None, ALONE_OUTSIDE}:
        return ""
    return f", or {script.outside} to run the file statement by statement"


def _refuse_unpaired(
    script: Script, statements: tuple[Statement, ...], classes: Sequence[Classification]
) -> None:
    """Refuse a script whose own transactions do not pair each BEGIN with a COMMIT."""
    opened: Statement | None = None
    for statement, found in zip(statements, classes, strict=True):
        match found.control:
            case None | Control.SAVEPOINT:
                continue
            case Control.BEGIN if opened is None:
                opened = statement
            case Control.COMMIT if opened is not None:
                opened = None
            case _:
                _raise_unpaired(script, statement.start)
    if opened is not None:
        _raise_unpaired(script, opened.start)


def _raise_unpaired(script: Script, offset: int) -> None:
    line, column = place_of(script, offset)
    raise MigrationFileInvalid(
        f"{script.path}:{line}:{column}: the file's own transaction cannot be followed: each BEGIN"
        " needs one COMMIT after it, and nothing else may end it.",
        hint="Remove BEGIN, COMMIT and ROLLBACK: Lockgate opens the transaction itself.",
        file=script.path,
        line=line,
        column=column,
    )


def _with_session(classes: Sequence[Classification], block: Unit) -> tuple[Unit, ...]:
    """Return the block with the statements before and after it, which only set up the session."""
    before = (Unit(UnitMode.SESSION, i, i) for i in range(block.first))
    after = (Unit(UnitMode.SESSION, i, i) for i in range(block.last + 1, len(classes)))
    return (*before, block, *after)


def _make_units(
    script: Script, statements: tuple[Statement, ...], classes: Sequence[Classification]
) -> tuple[Unit, ...]:
    units: list[Unit] = []
    begin: int | None = None
    for index, found in enumerate(classes):
        if found.control is Control.BEGIN:
            begin = index
        elif begin is not None:
            if found.control is Control.COMMIT:
                units.append(Unit(UnitMode.BLOCK, begin, index))
                begin = None
        else:
            mode = _UNIT_MODES.get(found.transactionality, UnitMode.WRAPPED)
            # If only the server knows, the statement runs outside a transaction as the author asked.
            is_asked = mode is UnitMode.WRAPPED and script.options.transaction is False
            if is_asked and may_refuse_transaction(script.sql, statements[index]):
                mode = UnitMode.ALONE
            units.append(Unit(mode, index, index))
    return tuple(units)
