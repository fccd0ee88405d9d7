"""Refuse migrations that need their own session if a pooler only lends sessions for one transaction.

With such a pooler each transaction may run in another session, and a setting that outlives it affects
other clients. Only the text is examined: changes inside a function are not noticed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.migration import Language
from lockgate.core.sql.script import changes_session
from lockgate.core.transaction_mode import Mode
from lockgate.errors import SessionNeeded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.core.segment import Step
    from lockgate.core.sql.script import Statement

_TEMPORARY = re.compile(
    r"\bcreate\s+(?:(?:global|local)\s+)?temp(?:orary)?\b|\bpg_temp\s*\.|\binto\s+temp(?:orary)?\b",
    re.IGNORECASE,
)
_ENDS_WITH_COMMIT = re.compile(r"\bon\s+commit\s+drop\b", re.IGNORECASE)
_SET_CONFIG = re.compile(r"\bset_config\s*\(", re.IGNORECASE)
_SET_CONFIG_LOCALLY = re.compile(
    r"\bset_config\s*\((?:[^()]|\([^()]*\))*,\s*'?(?:true|t|on|1)'?\s*\)", re.IGNORECASE
)
_IN_BLOCK = re.compile(
    r"(?:;|\bbegin|\bthen|\belse|\bloop|['$])\s*set\s+(?!local\b|constraints\b|transaction\b)",
    re.IGNORECASE,
)
_CALLS = {
    "takes an advisory lock for its session": re.compile(
        r"\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(", re.IGNORECASE
    ),
    "opens a cursor beyond its transaction": re.compile(r"\bwith\s+hold\b", re.IGNORECASE),
    "sets the seed of its session": re.compile(r"\bsetseed\s*\(", re.IGNORECASE),
}


def find_pooler_refusal(steps: Iterable[Step]) -> SessionNeeded | None:
    """Return the refusal of the first step that needs its own session, or ``None``."""
    for step in steps:
        need = _find_need(step)
        if need is not None:
            return _refuse(step, need)
    return None


def _find_need(step: Step) -> str | None:
    script, analysis = step.script, step.analysis
    if analysis.mode is Mode.STATEMENTS:
        return f"runs outside a transaction ({analysis.reason})"
    if script.language is Language.PYTHON:
        return "sets its session" if analysis.sets_session else _find_call(script.text)
    needs = (_find_of_statement(script.sql, statement) for statement in analysis.statements)
    return next((need for need in needs if need is not None), None)


def _find_of_statement(sql: str, statement: Statement) -> str | None:
    text = sql[statement.start : statement.end]
    words = statement.words
    if changes_session(words):
        return f"sets its session ({words[0]})"
    if words[:1] == ("DO",) and _IN_BLOCK.search(text):
        return "sets its session (SET in a DO block)"
    return _find_call(text)


def _find_call(text: str) -> str | None:
    if len(_SET_CONFIG.findall(text)) > len(_SET_CONFIG_LOCALLY.findall(text)):
        return "sets its session (set_config)"
    if len(_TEMPORARY.findall(text)) > len(_ENDS_WITH_COMMIT.findall(text)):
        return "creates a temporary object that outlives its transaction"
    return next((need for need, sign in _CALLS.items() if sign.search(text)), None)


def _refuse(step: Step, need: str) -> SessionNeeded:
    migration = step.migration
    return SessionNeeded(
        f"Migration {migration.label} {need}, but with LOCKGATE_POOLER=lease the pooler lends"
        f" a session for one transaction only. {step.script.path}.",
        hint="Run this migration over a direct connection to the database, without LOCKGATE_POOLER; or"
        " write it so that it needs only its transaction: SET LOCAL, set_config(…, true),"
        " CREATE TEMPORARY TABLE … ON COMMIT DROP, no transaction:false.",
        file=step.script.path,
        migration=migration.label,
    )
