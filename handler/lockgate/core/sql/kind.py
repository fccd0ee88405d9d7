"""Classify statements by how they relate to a transaction.

The rules cover which statements PostgreSQL 14 to 19 refuse in a transaction block, which ones control
transactions, and which only set up the session. Whether a table is partitioned, or a called procedure
commits, cannot be seen in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from lockgate.core.sql.block import calls_procedure, ends_transaction
from lockgate.core.sql.setting import TRANSACTION_WORDS
from lockgate.core.sql.token import fold_tokens, lower_ascii, upper_ascii
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.sql.statement import Statement


class Transactionality(StrEnum):
    """How a statement relates to a transaction."""

    SHARED = "shared"
    """It may run in a transaction with others."""
    ALONE = "alone"
    """It cannot run inside a transaction block."""
    CONTROL = "control"
    """It begins, ends or divides a transaction; `Classification.control` says which."""
    ENUM_VALUE = "enum_value"
    """It may run in a transaction, which must be committed before the new value can be used."""
    SESSION = "session"
    """It sets up the session, inside or outside a transaction."""


class Control(StrEnum):
    """What a transaction control statement does."""

    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    CHAIN = "chain"
    """COMMIT or ROLLBACK … AND CHAIN: one transaction ends and the next begins."""
    SAVEPOINT = "savepoint"
    """SAVEPOINT, RELEASE or ROLLBACK TO: the transaction continues."""
    PREPARE = "prepare"
    """PREPARE TRANSACTION: the session leaves the transaction, and it stays open."""


@dataclass(frozen=True, slots=True)
class Classification:
    """How a statement relates to a transaction; for ALONE also why, as a sentence."""

    transactionality: Transactionality
    reason: str | None = None
    control: Control | None = None


SHARED: Final = Classification(Transactionality.SHARED)
SESSION: Final = Classification(Transactionality.SESSION)
ENUM_VALUE: Final = Classification(Transactionality.ENUM_VALUE)

_Words = tuple[str, ...]
_Rule = Classification | Callable[[str, "Statement"], Classification]
_Tokens = list[str]

_CHAIN = ("AND", "CHAIN")
_FALSE = frozenset({"false", "off", "0"})
_CALLS = re.compile("set_config|pg_create_logical_replication_slot", re.IGNORECASE)
_TRANSACTION_END = re.compile("commit|rollback", re.IGNORECASE)


# A COMMIT in these ends the transaction around them.
_MAY_COMMIT: Final = frozenset({("DO",), ("CALL",)})
# Repeating these has no other effect than running them once. If an ALTER SUBSCRIPTION was done, the
# server refuses to add or drop the publication again.
_REPEATABLE: Final = frozenset(
    {
        *(("VACUUM",), ("CLUSTER",), ("REPACK",), ("DISCARD",), ("WAIT", "FOR")),
        *(("ALTER", "SYSTEM"), ("ALTER", "DATABASE"), ("ALTER", "SUBSCRIPTION")),
    }
)


def may_commit(statement: Statement) -> bool:
    """Return whether a statement may commit by itself what it does, even if it fails later."""
    return statement.words[:1] in _MAY_COMMIT


def can_be_repeated(statement: Statement) -> bool:
    """Return whether repeating a statement has no other effect than running it once."""
    return statement.words[:1] in _REPEATABLE or statement.words[:2] in _REPEATABLE


def hides_lost_rows(statement: Statement) -> bool:
    """Return whether a statement outside a transaction may lose rows before they can be counted."""
    return may_commit(statement) or statement.words[:2] == ("DROP", "DATABASE")


def classify(sql: str, statement: Statement) -> Classification:
    """Return how ``statement`` of the text ``sql`` relates to a transaction.

    REINDEX of one table or index counts as shared, as does CLUSTER or REPACK of one table: only the
    server knows whether it is partitioned, and refuses it then (25001). So does CALL, whose procedure
    may commit (2D000); `may_refuse_transaction` lists them. DROP SUBSCRIPTION counts as alone:
    every one with a replication slot is.
    """
    words = statement.words
    if not words or words[0] not in _FIRST_WORDS:
        return SHARED
    for length in range(min(len(words), _LONGEST_RULE), 0, -1):
        rule = _RULES.get(words[:length])
        if rule is not None:
            return rule if isinstance(rule, Classification) else rule(sql, statement)
    return SHARED


def may_refuse_transaction(sql: str, statement: Statement) -> bool:
    """Return whether the server may refuse a transaction for a statement that counts as shared.

    A procedure, called directly or by a DO block, may commit; a table or index may be partitioned.
    WAIT FOR refuses a transaction that has a snapshot.
    """
    match statement.words[:1]:
        case ("CALL",) | ("REINDEX",) | ("CLUSTER",) | ("REPACK",) | ("WAIT",):
            return True
        case ("DO",):
            return calls_procedure(_read_tokens(sql, statement)[1:])
        case _:
            return False


def find_own_transaction(classes: Sequence[Classification]) -> tuple[int, int] | None:
    """Return the places of BEGIN and COMMIT if the script is one transaction of its own.

    Only statements that set up the session may be outside the two. Between them nothing may end the
    transaction or begin another, except savepoints. Whether the statements between may run in a
    transaction at all is not checked.
    """
    places = [
        (place, one.control)
        for place, one in enumerate(classes)
        if one.control not in {None, Control.SAVEPOINT}
    ]
    if [control for _, control in places] != [Control.BEGIN, Control.COMMIT]:
        return None
    (begin, _), (commit, _) = places
    outside = [*classes[:begin], *classes[commit + 1 :]]
    is_whole = all(one.transactionality is Transactionality.SESSION for one in outside)
    return (begin, commit) if is_whole else None


def _alone(command: str) -> Classification:
    reason = f"{command} cannot run inside a transaction block"
    return Classification(Transactionality.ALONE, reason=reason)


def _control(control: Control) -> Classification:
    return Classification(Transactionality.CONTROL, control=control)


def _read_tokens(sql: str, statement: Statement) -> _Tokens:
    return fold_tokens(
        sql,
        statement.start,
        statement.end,
        standard_conforming_strings=statement.standard_conforming_strings,
    )


def _read_options(tokens: _Tokens) -> tuple[dict[str, str], _Tokens]:
    """Read a leading ``(name [=] value, …)``; return it and the tokens after it."""
    if tokens[:1] != ["("] or ")" not in tokens:
        return {}, tokens
    stop = tokens.index(")")
    options: dict[str, str] = {}
    entry: _Tokens = []
    for text in [*tokens[1:stop], ","]:
        if text != ",":
            entry.append(lower_ascii(text.strip("'\"")))
        elif entry:
            options[entry[0]] = entry[-1] if len(entry) > 1 else "true"
            entry = []
    return options, tokens[stop + 1 :]


def _is_on(options: dict[str, str], name: str, *, default: bool) -> bool:
    return options[name] not in _FALSE if name in options else default


def _options_after_with(tokens: _Tokens) -> dict[str, str]:
    return _read_options(tokens[tokens.index("WITH") + 1 :])[0] if "WITH" in tokens else {}


def _after_name(tokens: _Tokens) -> _Tokens:
    """Return what follows a name, qualified or not."""
    stop = 1
    while tokens[stop : stop + 1] == ["."]:
        stop += 2
    return tokens[stop:]


def _classify_reindex(sql: str, statement: Statement) -> Classification:
    options, rest = _read_options(_read_tokens(sql, statement)[1:])
    if rest[:1] and rest[0] in {"SCHEMA", "DATABASE", "SYSTEM"}:
        return _alone(f"REINDEX {rest[0]}")
    if rest[1:2] == ["CONCURRENTLY"] or _is_on(options, "concurrently", default=False):
        return _alone("REINDEX CONCURRENTLY")
    return SHARED


def _classify_cluster(sql: str, statement: Statement) -> Classification:
    _, rest = _read_options(_read_tokens(sql, statement)[1:])
    return _alone("CLUSTER without a table") if rest in ([], ["VERBOSE"]) else SHARED


def _classify_repack(sql: str, statement: Statement) -> Classification:
    """Distinguish the forms of PostgreSQL 19's REPACK; for one table it is like CLUSTER."""
    options, rest = _read_options(_read_tokens(sql, statement)[1:])
    for option in ("concurrently", "analyze", "analyse"):
        if _is_on(options, option, default=False):
            return _alone(f"REPACK ({option.upper()})")
    return _alone("REPACK without a table") if rest[:2] in ([], ["USING", "INDEX"]) else SHARED


def _classify_alter_table(sql: str, statement: Statement) -> Classification:
    if upper_ascii(sql[: statement.end][-len("CONCURRENTLY") :]) != "CONCURRENTLY":
        return SHARED
    tokens = _read_tokens(sql, statement)
    is_detach = "DETACH" in tokens and tokens[-1] == "CONCURRENTLY"
    return _alone("ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY") if is_detach else SHARED


def _classify_alter_database(sql: str, statement: Statement) -> Classification:
    change = _read_tokens(sql, statement)[3:5]
    if change == ["SET", "TABLESPACE"] or change[:1] == ["TABLESPACE"]:
        return _alone("ALTER DATABASE ... SET TABLESPACE")
    if change == ["WITH", "TABLESPACE"]:
        return _alone("ALTER DATABASE ... SET TABLESPACE")
    return SHARED


def _classify_alter_type(sql: str, statement: Statement) -> Classification:
    change = _after_name(_read_tokens(sql, statement)[2:])
    return ENUM_VALUE if change[:2] == ["ADD", "VALUE"] else SHARED


def _classify_create_subscription(sql: str, statement: Statement) -> Classification:
    options = _options_after_with(_read_tokens(sql, statement))
    connects = _is_on(options, "connect", default=True)
    if connects and _is_on(options, "create_slot", default=True):
        return _alone("CREATE SUBSCRIPTION that creates its replication slot")
    return SHARED


def _classify_alter_subscription(sql: str, statement: Statement) -> Classification:
    tokens = _read_tokens(sql, statement)
    match tokens[3:5]:
        case ["REFRESH", _]:
            return _alone("ALTER SUBSCRIPTION ... REFRESH")
        case ["SET" | "ADD" | "DROP", "PUBLICATION"]:
            refreshes = _is_on(_options_after_with(tokens), "refresh", default=True)
            return _alone("ALTER SUBSCRIPTION with refresh") if refreshes else SHARED
        case ["SET", "("]:
            return _classify_subscription_options(_read_options(tokens[4:])[0])
        case _:
            return SHARED


def _classify_subscription_options(options: dict[str, str]) -> Classification:
    """Find the options that change the publisher's slot; two_phase does so only to turn it off."""
    if "failover" in options:
        return _alone("ALTER SUBSCRIPTION ... SET (failover)")
    if not _is_on(options, "two_phase", default=True):
        return _alone("ALTER SUBSCRIPTION ... SET (two_phase)")
    return SHARED


def _classify_select(sql: str, statement: Statement) -> Classification:
    if not _CALLS.search(sql, statement.start, statement.end):
        return SHARED
    tokens = _read_tokens(sql, statement)
    if "PG_CREATE_LOGICAL_REPLICATION_SLOT" in tokens:
        return Classification(
            Transactionality.ALONE,
            "pg_create_logical_replication_slot cannot run in a transaction that has written",
        )
    call = tokens[3:] if tokens[1:3] == ["PG_CATALOG", "."] else tokens[1:]
    return SESSION if _is_session_set_config(call) else SHARED


def _is_session_set_config(call: _Tokens) -> bool:
    """Return whether this is only a call of set_config whose setting outlives the commit.

    Name and value must be literals, so that it has the same effect when the script is resumed.
    """
    match call:
        case ["SET_CONFIG", "(", name, ",", value, ",", is_local, ")"]:
            is_plain = name[0] == "'" == value[0]
            return is_plain and is_local.strip("'").upper() in {"FALSE", "F", "OFF", "0"}
        case _:
            return False


def _classify_do(sql: str, statement: Statement) -> Classification:
    if not _TRANSACTION_END.search(sql, statement.start, statement.end):
        return SHARED
    ends = ends_transaction(_read_tokens(sql, statement)[1:])
    return _alone("DO with COMMIT or ROLLBACK in its body") if ends else SHARED


def _classify_prepare(sql: str, statement: Statement) -> Classification:
    """Distinguish PREPARE TRANSACTION 'x' from a prepared statement named "transaction"."""
    name = _read_tokens(sql, statement)[2:3]
    return _control(Control.PREPARE) if name and name[0][-1] in "'$" else SHARED


def _classify_end(_sql: str, statement: Statement) -> Classification:
    is_chain = statement.words[-2:] == _CHAIN
    return _control(Control.CHAIN if is_chain else Control.COMMIT)


def _classify_rollback(_sql: str, statement: Statement) -> Classification:
    if "TO" in statement.words[1:3]:
        return _control(Control.SAVEPOINT)
    is_chain = statement.words[-2:] == _CHAIN
    return _control(Control.CHAIN if is_chain else Control.ROLLBACK)


# By leading words; the longest match decides.
_RULES: Final[dict[_Words, _Rule]] = {
    ("ABORT",): _classify_rollback,
    ("ALTER", "DATABASE"): _classify_alter_database,
    ("ALTER", "SUBSCRIPTION"): _classify_alter_subscription,
    ("ALTER", "SYSTEM"): _alone("ALTER SYSTEM"),
    ("ALTER", "TABLE"): _classify_alter_table,
    ("ALTER", "TYPE"): _classify_alter_type,
    ("BEGIN",): _control(Control.BEGIN),
    ("CLUSTER",): _classify_cluster,
    ("COMMIT",): _classify_end,
    ("COMMIT", "PREPARED"): _alone("COMMIT PREPARED"),
    ("CREATE", "DATABASE"): _alone("CREATE DATABASE"),
    ("CREATE", "INDEX", "CONCURRENTLY"): _alone("CREATE INDEX CONCURRENTLY"),
    ("CREATE", "SUBSCRIPTION"): _classify_create_subscription,
    ("CREATE", "TABLESPACE"): _alone("CREATE TABLESPACE"),
    ("CREATE", "UNIQUE", "INDEX", "CONCURRENTLY"): _alone("CREATE INDEX CONCURRENTLY"),
    ("DISCARD", "ALL"): _alone("DISCARD ALL"),
    ("DO",): _classify_do,
    ("DROP", "DATABASE"): _alone("DROP DATABASE"),
    ("DROP", "INDEX", "CONCURRENTLY"): _alone("DROP INDEX CONCURRENTLY"),
    ("DROP", "SUBSCRIPTION"): _alone("DROP SUBSCRIPTION"),
    ("DROP", "TABLESPACE"): _alone("DROP TABLESPACE"),
    ("END",): _classify_end,
    ("LOAD",): SESSION,
    ("PREPARE", "TRANSACTION"): _classify_prepare,
    ("REINDEX",): _classify_reindex,
    ("RELEASE",): _control(Control.SAVEPOINT),
    ("REPACK",): _classify_repack,
    ("RESET",): SESSION,
    ("ROLLBACK",): _classify_rollback,
    ("ROLLBACK", "PREPARED"): _alone("ROLLBACK PREPARED"),
    ("SAVEPOINT",): _control(Control.SAVEPOINT),
    ("SELECT",): _classify_select,
    ("SET",): SESSION,
    # These last as long as the transaction: outside of one they do nothing.
    **{("SET", word): SHARED for word in TRANSACTION_WORDS},
    ("START",): _control(Control.BEGIN),
    ("VACUUM",): _alone("VACUUM"),
}
_LONGEST_RULE: Final = max(len(words) for words in _RULES)
_FIRST_WORDS: Final = frozenset(words[0] for words in _RULES)
