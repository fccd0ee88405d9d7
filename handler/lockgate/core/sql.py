"""SQL as text: split, classify, redact. The door to the ``sql_*`` modules; adds nothing itself."""

from lockgate.core.sql_class import (
    SHARED,
    Classification,
    Control,
    Transactionality,
    classify,
    may_be_alone,
    own_transaction,
)
from lockgate.core.sql_setting import client_encoding_of
from lockgate.core.sql_statement import (
    SqlTextInvalid,
    Statement,
    line_and_column,
    split_statements,
)
from lockgate.core.sql_text import redact_literals, sendable, spell_statement, spell_tokens
from lockgate.core.sql_token import Token, TokenKind, mentions, tokenize

__all__ = [
    "SHARED",
    "Classification",
    "Control",
    "SqlTextInvalid",
    "Statement",
    "Token",
    "TokenKind",
    "Transactionality",
    "classify",
    "client_encoding_of",
    "line_and_column",
    "may_be_alone",
    "mentions",
    "own_transaction",
    "redact_literals",
    "sendable",
    "spell_statement",
    "spell_tokens",
    "split_statements",
    "tokenize",
]
