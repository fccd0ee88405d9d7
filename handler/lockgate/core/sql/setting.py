"""Statements that change the session, and the two settings that decide how a script's text is read.

A change to ``standard_conforming_strings`` or ``client_encoding`` counts even if it is rolled back.
"""

from __future__ import annotations

from lockgate.core.sql.token import TokenKind, lower_ascii, tokenize

# Commands that change settings.
SETTING_COMMANDS = frozenset({"SET", "RESET", "DISCARD"})
# Commands that leave anything else in the session.
SESSION_COMMANDS = SETTING_COMMANDS | {
    "CLOSE",
    "DEALLOCATE",
    "LISTEN",
    "LOAD",
    "PREPARE",
    "UNLISTEN",
}
# The second word of those whose effect ends with the transaction.
TRANSACTION_WORDS = frozenset({"CONSTRAINTS", "LOCAL", "TRANSACTION"})

_NAME = "standard_conforming_strings"
_TRUE = frozenset({"on", "true", "t", "tru", "tr", "yes", "ye", "y", "1"})
_FALSE = frozenset({"off", "of", "false", "fals", "fal", "fa", "f", "no", "n", "0"})


def changes_settings(words: tuple[str, ...]) -> bool:
    """Return whether a statement with these first words changes settings beyond its transaction."""
    return _begins_with(words, SETTING_COMMANDS)


def changes_session(words: tuple[str, ...]) -> bool:
    """Return whether a statement with these first words leaves anything in the session."""
    return _begins_with(words, SESSION_COMMANDS)


def _begins_with(words: tuple[str, ...], commands: frozenset[str]) -> bool:
    return words[:1] != () and words[0] in commands and TRANSACTION_WORDS.isdisjoint(words[1:2])


def string_setting_after(statement: str, *, now: bool, before: bool) -> bool:
    """Return the setting after ``statement``; ``before`` is the value that RESET restores."""
    words = _read_words(statement, strings=now)
    match words:
        case ["set", "session" | "local", *change] | ["set", *change]:
            return _value_of_set(change, now=now, before=before)
        case ["reset", "all" | "standard_conforming_strings"] | ["discard", "all"]:
            return before
        case ["select", "pg_catalog", ".", "set_config", "(", *change] | [
            "select",
            "set_config",
            "(",
            *change,
        ]:
            return _value_of_set(change, now=now, before=before)
        case _:
            return now


def client_encoding_of(statement: str, *, strings: bool) -> str | None:
    """Return the client encoding that a statement sets, as written, or ``None`` if it sets none.

    DEFAULT counts as none: it restores the encoding with which the connection was opened.
    """
    words = _read_words(statement, strings=strings)
    match words:
        case ["set", "session" | "local", *change] | ["set", *change]:
            value = change[1:2] if change[:1] == ["names"] else change[2:3]
            if change[:1] not in (["names"], ["client_encoding"]):
                return None
        case ["select", *_]:
            value = _value_of_call(words)
        case _:
            return None
    return value[0] if value and value != ["default"] else None


def _value_of_call(words: list[str]) -> list[str]:
    """Read the value of the first ``set_config('client_encoding', value, …)`` in a statement."""
    call = ["set_config", "(", "client_encoding", ","]
    places = (i for i in range(len(words)) if words[i : i + len(call)] == call)
    return next((words[i + len(call) :][:1] for i in places), [])


def _value_of_set(change: list[str], *, now: bool, before: bool) -> bool:
    """Read ``standard_conforming_strings``, a separator and the value."""
    if change[:1] != [_NAME] or len(change) < len(["name", "=", "value"]):
        return now
    value = change[2]
    if value == "default":
        return before
    return True if value in _TRUE else False if value in _FALSE else now


def _read_words(statement: str, *, strings: bool) -> list[str]:
    """Return the tokens folded to lower case, without their quotes."""
    return [
        lower_ascii(statement[token.start : token.end]).strip("'\"")
        for token in tokenize(statement, standard_conforming_strings=strings)
        if token.kind is not TokenKind.SEMICOLON
    ]
