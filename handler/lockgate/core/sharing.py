"""What migrations in one transaction would share: locks, the time, constraint checks.

Only the text is examined: a function that a script calls may do the same unnoticed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.migration import Language
from lockgate.core.sql.script import Transactionality, classify, mentions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.core.migration import Script
    from lockgate.core.sql.script import Statement

# A script without any of these words is not examined further.
_SIGNS = ("constraints", "lock", "freeze", "transaction", "savepoint")
_DEFERRABLE = ("deferr",)

_WHOLE_STATEMENTS = {
    ("LOCK",): "LOCK",
    ("SET", "CONSTRAINTS"): "SET CONSTRAINTS",
    ("SET", "TRANSACTION"): "SET TRANSACTION",
}
# For statements that run their content: a DO block, a query, a Python function.
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
    # Each search ends at the next COPY, so that a long text is searched only once.
    "COPY ... FREEZE": re.compile(
        r"\bcopy\b(?:(?!\b(?:copy|freeze)\b)[^;])*+\bfreeze\b", re.IGNORECASE
    ),
}
# What a rollback does not undo, or what leaves the database. Names of extensions count anywhere; those
# in `REPLAYABLE_EXTENSIONS` have no effect outside.
_REACHES_OUTSIDE = re.compile(
    r"\bdblink|\bhttp|\bpg_(?:background|cron|net|file|logical|replication|terminate|cancel|reload|rotate)"
    r"|\b(?:cron|net|aws_\w+)\.|\blo_(?:export|import)\b|\bprogram\b|\bcopy\b(?:(?!\b(?:copy|to)\b)[^;])*+\bto\b"
    r"|\bforeign\s+(?:table|data|schema)\b|\bcreate\s+server\b|\bpl(?:pythonu|python3u|perlu|tclu)\b"
    r"|\bload\s+'",
    re.IGNORECASE,
)
_EXTENSION = re.compile(r"\bextension\s+(?:if\s+not\s+exists\s+)?\"?([\w-]+)", re.IGNORECASE)
REPLAYABLE_EXTENSIONS = frozenset(
    {
        "btree_gin", "btree_gist", "citext", "cube", "earthdistance", "fuzzystrmatch", "hstore",
        "intarray", "isn", "ltree", "pg_stat_statements", "pg_trgm", "pgcrypto", "plpgsql", "postgis",
        "seg", "tablefunc", "unaccent", "uuid-ossp", "vector",
    }
)  # fmt: skip

# What has the same value for all migrations of a transaction.
_SHARED = re.compile(
    r"\b(?:(now|transaction_timestamp|age|txid_current(?:_snapshot|_if_assigned)?"
    r"|pg_current_(?:xact_id(?:_if_assigned)?|snapshot))\s*\("
    r"|(current_timestamp|current_date|current_time|localtimestamp|localtime|xmin)\b"
    r"|'(now|today|tomorrow|yesterday)')",
    re.IGNORECASE,
)

# It works in a session of its own.
_OTHER_SESSION = re.compile(r"\bdblink", re.IGNORECASE)

# They store their body for later.
_DEFINITIONS = frozenset({"CREATE", "ALTER", "COMMENT", "GRANT", "REVOKE"})
# They write no rows, except through an event trigger or a default.
_WRITE_NOTHING = frozenset(
    {"CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "SET", "RESET", "ANALYZE", "SECURITY"}
)


def find_alone_reason(script: Script, statements: Sequence[Statement]) -> str | None:
    """Return why a script must not share a transaction with other migrations, or ``None``.

    Its effect lasts until the transaction ends, and no statement can end it earlier.
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
    """Return whether a script may make a constraint that is checked at the end of the transaction."""
    return script.language is Language.PYTHON or mentions(script.sql, _DEFERRABLE)


def may_write(script: Script, statements: Sequence[Statement]) -> bool:
    """Return whether a script may write rows, so that deferred constraints have to be checked."""
    return script.language is Language.PYTHON or any(
        one.words[:1] == () or one.words[0] not in _WRITE_NOTHING for one in statements
    )


def may_replay(script: Script) -> bool:
    """Return whether running a script again and rolling it back certainly leaves no effect."""
    if script.language is Language.PYTHON or _REACHES_OUTSIDE.search(script.sql):
        return False
    made = (name.lower() for name in _EXTENSION.findall(script.sql))
    return all(name in REPLAYABLE_EXTENSIONS for name in made)


def uses_other_session(script: Script) -> bool:
    """Return whether a script works in a second session, which sees only what is committed."""
    return _OTHER_SESSION.search(script.text) is not None


def find_shared(script: Script) -> str | None:
    """Return what a script reads that is the same for a whole transaction, or ``None``."""
    found = _SHARED.search(script.text)
    if found is None:
        return None
    call, word, literal = found.groups()
    return f"{call.lower()}()" if call else (word or f"'{literal}'").lower()
