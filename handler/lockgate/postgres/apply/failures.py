"""Translating an error of the server into the failure of the migration at fault."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.address import make_command
from lockgate.core.analysis import place_of
from lockgate.core.failure import Failure, StepFailed, make_excerpt, mask, without_row_data
from lockgate.core.hint import Hint
from lockgate.core.request import Action
from lockgate.core.server_error import public_context, public_detail, terminal_only
from lockgate.core.sql.script import find_invisible
from lockgate.errors import LockLost
from lockgate.invisible import name_character, name_invisible
from lockgate.postgres.server.message import Blame, Message, MessagePart, find_blame
from lockgate.postgres.server.statement_result import OWN_BLOCK
from lockgate.postgres.tables.untrusted_owners import (
    UNTRUSTED_OWNER_FOUND,
    refuse_new_untrusted_owner,
)

if TYPE_CHECKING:
    from lockgate.core.migration import Migration, Script
    from lockgate.core.sql.script import Statement
    from lockgate.postgres.server.statement_result import StatementError

# Syntax errors, and names that do not exist.
_SYNTAX = "42"
# The statement cannot run in a transaction, for a reason that only the server knows: a partitioned
# table, a procedure that commits.
_NEEDS_NO_TRANSACTION = frozenset({"25001", "2D000"})
_LATER = "The file is not at fault: invoke again when the blocking sessions have finished."
_HINTS = {
    "55P03": _LATER,
    "40P01": _LATER,
    "57014": "The statement was cancelled or exceeded its statement_timeout: invoke again, or allow more"
    " time with LOCKGATE_STATEMENT_TIMEOUT.",
    "23505": "Fix the data or the file, then invoke again.",
    "23503": "Fix the data or the file, then invoke again.",
    "23514": "Fix the data or the file, then invoke again.",
    "23502": "Fix the data or the file, then invoke again.",
    "42501": "Grant the role the missing privilege, or let it act as the owner: LOCKGATE_SET_ROLE.",
    "22P05": "The database's encoding lacks the character: use another one, or a database in UTF8.",
    "55P04": "Use the new value in a later migration than the one that adds it.",
}
# The row did not exist when this run read the history, and only the holder of the lock inserts rows.
_ROW_HINTS = {
    "23505": "Somebody wrote to the history by hand when this run began. Invoke again to read it.",
}
_OWN_HINTS = dict.fromkeys(
    ("42P01", "42703", "3F000"),
    "Lockgate's own tables are gone or changed. If the file does that, remove it from the file, and"
    " invoke again.",
)
_CHECKS = frozenset({MessagePart.CHECK, MessagePart.CHECK_ALL})


def lock_lost(token: int) -> LockLost:
    """Return the error for a run whose lock was taken by another run or released by an operator."""
    return LockLost(
        "Another run, or an operator's unlock, took the migration lock (token"
        f" {token} is no longer valid).",
        hint=Hint(
            "Look whether an operator released the lock, and why: ",
            make_command(Action.HISTORY),
            ". Otherwise invoke again: the other run may have done the work.",
        ),
    )


def translate_error(
    message: Message, error: StatementError, *, token: int, schema_name: str
) -> Exception:
    """Return the error for a refused message: the failure of a migration, or the loss of the lock.

    ``token`` is the token of this run, ``schema_name`` the schema of our tables.
    """
    blame = find_blame(message, error)
    if blame.piece.part is MessagePart.FENCE and error.sqlstate == "22012":
        return lock_lost(token)
    if blame.piece.part is MessagePart.FENCE and error.sqlstate == UNTRUSTED_OWNER_FOUND:
        return refuse_new_untrusted_owner(schema_name)
    script, migration = blame.piece.script, blame.piece.migration
    if blame.piece.part in _CHECKS and migration is not None:
        failure = _check_failure(error, migration, _script_of(message, migration))
        return StepFailed(replace(failure, is_of_all=blame.piece.part is MessagePart.CHECK_ALL))
    if script is None or migration is None:
        label = _last_label(message) if migration is None else migration.label
        is_row = blame.piece.part is MessagePart.RECORD
        return StepFailed(_own_failure(error, label, is_row=is_row))
    return StepFailed(_statement_failure(error, blame, script, migration))


def _statement_failure(
    error: StatementError, blame: Blame, script: Script, migration: Migration
) -> Failure:
    """Return the failure of a statement of a script, with its place in the file."""
    assert blame.offset is not None
    line, column = place_of(script, blame.offset)
    text = without_row_data(error.sqlstate, error.fields.get("M", ""))
    return Failure(
        migration=migration.label,
        message=name_invisible(mask(text, script.hidden)),
        sqlstate=error.sqlstate,
        hint=_hint(error, script, _statement_of(blame)),
        detail=public_detail(error.fields, script.hidden),
        context=public_context(error.fields, script.hidden),
        terminal_only=terminal_only(error.fields, script.hidden),
        statement=blame.statement,
        file=script.path,
        line=line,
        column=column,
        excerpt=make_excerpt(script.text, line - script.first_line + 1, column),
    )


def _statement_of(blame: Blame) -> Statement | None:
    """Return the statement that failed, if known."""
    if blame.statement is None:
        return None
    return blame.piece.statements[blame.statement - blame.piece.first - 1]


def _hint(error: StatementError, script: Script, statement: Statement | None) -> str | None:
    """Return the hint of the server, followed by ours."""
    theirs = mask(error.fields.get("H", ""), script.hidden)
    ours = _find_hint(error.sqlstate, script)
    if error.sqlstate.startswith(_SYNTAX) and statement is not None:
        ours = _hint_at_invisible(script, statement) or ours
    return f"{theirs} {ours or ''}".strip() or None


def _hint_at_invisible(script: Script, statement: Statement) -> str | None:
    offset = find_invisible(script.sql, statement)
    if offset is None:
        return None
    line, column = place_of(script, offset)
    name = name_character(script.sql[offset])
    return f"{script.path}:{line}:{column} has an invisible character: {name}. Remove it."


def _find_hint(sqlstate: str, script: Script) -> str | None:
    if sqlstate in _NEEDS_NO_TRANSACTION:
        way = (
            script.outside or "put the statement in a file that the tool runs without a transaction"
        )
        return f"{way[0].upper()}{way[1:]}, so that it runs outside a transaction."
    return _HINTS.get(sqlstate)


def _last_label(message: Message) -> str:
    labels = [piece.migration.label for piece in message.pieces if piece.migration is not None]
    return labels[-1] if labels else "(none)"


def _script_of(message: Message, migration: Migration) -> Script | None:
    """Return the script of a migration in a message, or ``None`` for a Python script."""
    pieces = (piece for piece in message.pieces if piece.migration == migration)
    return next((piece.script for piece in pieces if piece.script is not None), None)


def _check_failure(error: StatementError, migration: Migration, script: Script | None) -> Failure:
    """Return the failure of a constraint that is checked after a script, so it names no line."""
    hidden = () if script is None else script.hidden
    return Failure(
        migration=migration.label,
        message=mask(without_row_data(error.sqlstate, error.fields.get("M", "")), hidden),
        sqlstate=error.sqlstate,
        hint=_HINTS.get(error.sqlstate),
        file=migration.path if script is None else script.path,
        is_deferred=True,
        detail=public_detail(error.fields, hidden),
        context=_without_own(public_context(error.fields, hidden)),
        terminal_only=terminal_only(error.fields, hidden),
    )


def _without_own(context: str | None) -> str | None:
    """Return a context without our own DO block, which is its outermost function."""
    lines = (context or "").splitlines()
    return "\n".join(line for line in lines if OWN_BLOCK not in line) or None


def _own_failure(error: StatementError, label: str, *, is_row: bool) -> Failure:
    """Return the failure of one of Lockgate's own statements; ``is_row``: it writes the history."""
    hints = {**_HINTS, **_OWN_HINTS, **(_ROW_HINTS if is_row else {})}
    return Failure(
        migration=label,
        message=without_row_data(error.sqlstate, str(error)),
        sqlstate=error.sqlstate,
        hint=hints.get(error.sqlstate),
        is_own=True,
    )
