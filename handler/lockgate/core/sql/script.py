"""The interface of `core.sql`: split, classify and redact SQL text."""

from lockgate.core.sql.kind import (
    SHARED,
    Classification,
    Control,
    Transactionality,
    can_be_repeated,
    classify,
    find_own_transaction,
    hides_lost_rows,
    may_commit,
    may_refuse_transaction,
)
from lockgate.core.sql.setting import changes_session, changes_settings, client_encoding_of
from lockgate.core.sql.statement import (
    SqlTextInvalid,
    Statement,
    iterate_statements,
    line_and_column,
    split_statements,
)
from lockgate.core.sql.text import (
    blank,
    find_invisible,
    normalize_statement,
    normalize_tokens,
    redact_literals,
    sendable,
)
from lockgate.core.sql.token import Skip, Token, TokenKind, mentions, tokenize

__all__ = [
    "SHARED",
    "Classification",
    "Control",
    "Skip",
    "SqlTextInvalid",
    "Statement",
    "Token",
    "TokenKind",
    "Transactionality",
    "blank",
    "can_be_repeated",
    "changes_session",
    "changes_settings",
    "classify",
    "client_encoding_of",
    "find_invisible",
    "find_own_transaction",
    "hides_lost_rows",
    "iterate_statements",
    "line_and_column",
    "may_commit",
    "may_refuse_transaction",
    "mentions",
    "normalize_statement",
    "normalize_tokens",
    "redact_literals",
    "sendable",
    "split_statements",
    "tokenize",
]
