"""Finds scripts that cannot run in the transaction which their tool opens, or that end it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.migration import Language
from lockgate.core.sql.script import (
    Control,
    SqlTextInvalid,
    Transactionality,
    blank,
    classify,
    may_refuse_transaction,
    split_statements,
)

if TYPE_CHECKING:
    from lockgate.core.migration import Script
    from lockgate.core.sql.script import Classification, Statement

_MAYBE_COMMIT = re.compile(r"^[ \t]*(?:COMMIT|END)\b", re.MULTILINE | re.IGNORECASE)
_STEPS_OUT = (Control.COMMIT, Control.BEGIN)


def outside_where_needed(script: Script) -> Script:
    """Return a script that runs statement by statement if a statement cannot run in a transaction."""
    kinds = (one.transactionality for _, one in _classify(script))
    return _outside(script) if Transactionality.ALONE in kinds else outside_where_single(script)


def outside_where_single(script: Script) -> Script:
    """Return a script of a tool that sends a file as one message, so that it runs like there.

    PostgreSQL opens no transaction for a message with one statement: a procedure may commit, and an
    index of a partitioned table be rebuilt.
    """
    found = _classify(script)
    is_single = len(found) == 1 and may_refuse_transaction(script.sql, found[0][0])
    return _outside(script) if is_single else script


def leave_transaction(script: Script) -> Script:
    """Return a script that ends the tool's transaction as one that runs outside of a transaction.

    ``COMMIT; ALTER TYPE … ADD VALUE …; BEGIN;`` ends the transaction that the tool opened, and begins
    another for the tool to end. Here no transaction surrounds it, so the first COMMIT and the last
    BEGIN are left out.
    """
    if script.language is not Language.SQL or _MAYBE_COMMIT.search(script.sql) is None:
        return script
    controls = [(s, c.control) for s, c in _classify(script) if c.control is not None]
    kinds = [kind for _, kind in controls if kind is not Control.SAVEPOINT]
    if not kinds or kinds != [_STEPS_OUT[place % 2] for place in range(len(kinds))]:
        return script
    ends = [one for one, kind in controls if kind is not Control.SAVEPOINT]
    surplus = ends[:1] if len(ends) % 2 else [ends[0], ends[-1]]
    return replace(
        _outside(script), substituted=blank(script.sql, ((one.start, one.end) for one in surplus))
    )


def _classify(script: Script) -> list[tuple[Statement, Classification]]:
    try:
        statements = split_statements(script.sql)
    except SqlTextInvalid:
        # The plan reports it, with file and line.
        return []
    return [(statement, classify(script.sql, statement)) for statement in statements]


def _outside(script: Script) -> Script:
    return replace(script, options=replace(script.options, transaction=False))
