"""What a script would share with its neighbours in one transaction.

Reads texts; a function that a script calls may do the same unseen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.migration import Language
from lockgate.core.sql import Transactionality, classify, mentions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.core.migration import Script
    from lockgate.core.sql import Statement

# A script without any of these words needs no closer look.
_SIGNS = ("constraints", "lock", "freeze", "transaction", "savepoint")
_DEFERRABLE = ("deferr",)

_WHOLE_STATEMENTS = {
    ("LOCK",): "LOCK",
    ("SET", "CONSTRAINTS"): "SET CONSTRAINTS",
    ("SET", "TRANSACTION"): "SET TRANSACTION",
}
# Of statements that run what they hold: a DO block, a query, a Python function.
_PARTS = {
    "SET CONSTRAINTS": re.compile(r"\bset\s+constraints\b", re.IGNORECASE),
    "a transaction-level advisory lock": re.compile(
        r"\bpg_(?:try_)?advisory_xact_lock(?:_shared)?\b", re.IGNORECASE
    ),
    "SET TRANSACTION": re.compile(
        r"\bset\s+transaction\b|\btransaction_(?:isolation|read_only|deferrable)\b", re.IGNORECASE
    ),
    "LOCK": re.compile(
        r"\block\s+table\b|\block\s+(?:only\s+)?[\w.\"]+(?:\s*\*)?\s+in\s", re.IGNORECASE
    ),
    "COPY ... FREEZE": re.compile(r"\bcopy\b[^;]*\bfreeze\b", re.IGNORECASE),
}
# They keep their body for later.
_DEFINITIONS = frozenset({"CREATE", "ALTER", "COMMENT", "GRANT", "REVOKE"})
# They write no rows, unless an event trigger or a default does.
_WRITE_NOTHING = frozenset(
    {"CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "SET", "RESET", "ANALYZE", "SECURITY"}
)


def find_lone_reason(script: Script, statements: Sequence[Statement]) -> str | None:
    """Return why a script must not share a transaction with other migrations, or ``None``.

    What it does lasts until the transaction ends, and no statement takes it back for the next one.
    """
    if not mentions(script.sql, _SIGNS):
        return None
    if script.language is Language.PYTHON:
        return _find_part(script.text)
    for statement in statements:
        found = _reason_of(script.sql, statement)
        if found is not None:
            return found
    return None


def _reason_of(sql: str, statement: Statement) -> str | None:
    words = statement.words
    for start, name in _WHOLE_STATEMENTS.items():
        if words[: len(start)] == start:
            return name
    if classify(sql, statement).transactionality is Transactionality.CONTROL:
        return "SAVEPOINT"
    if words[:1] and words[0] in _DEFINITIONS:
        return None
    return _find_part(sql[statement.start : statement.end])


def _find_part(text: str) -> str | None:
    return next((name for name, part in _PARTS.items() if part.search(text)), None)


def may_defer(script: Script) -> bool:
    """Tell whether a script may make a constraint that is checked at the end of the transaction."""
    return script.language is Language.PYTHON or mentions(script.sql, _DEFERRABLE)


def may_write(script: Script, statements: Sequence[Statement]) -> bool:
    """Tell whether a script may write rows, whose constraints are then to be checked."""
    return script.language is Language.PYTHON or any(
        one.words[:1] == () or one.words[0] not in _WRITE_NOTHING for one in statements
    )
