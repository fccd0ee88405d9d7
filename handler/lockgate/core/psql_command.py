r"""Hints for a script that only psql can run: what to write instead, or how to run it with psql."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.address import make_command
from lockgate.core.hint import Hint, join_hints
from lockgate.core.request import Action
from lockgate.errors import MigrationFileInvalid

if TYPE_CHECKING:
    from lockgate.core.history import History
    from lockgate.core.migration import Migration
    from lockgate.core.sql.script import SqlTextInvalid

# The value of an obstacle's ``psql`` if no other tool runs the script with psql.
PSQL = "psql"
_IDLE = "Remove it: it has no effect on the database."
_FILE = "Replace it with the text of that file."
_VALUE = "Write the value in, or keep it in a setting of the database for current_setting()."
_BLOCK = "Write a DO block instead: IF … THEN … END IF, and EXECUTE for text that is SQL."
_COPY = "Replace it with COPY … FROM stdin; with the rows on the lines below it and \\. after them."
_SEND = "Replace it with a semicolon."
_OTHER = "Only psql understands its commands: remove it, or write what it does as SQL."
_INSTEAD = {
    **dict.fromkeys(("i", "ir", "include", "include_relative"), _FILE),
    **dict.fromkeys(("set", "unset", "gset", "getenv", "prompt"), _VALUE),
    **dict.fromkeys(("if", "elif", "else", "endif", "gexec"), _BLOCK),
    **dict.fromkeys(("g", "gx", ";"), _SEND),
    **dict.fromkeys(("echo", "qecho", "warn", "timing", "pset", "x", "o", "t", "a"), _IDLE),
    **dict.fromkeys(("c", "connect"), "Remove it: the settings name the database."),
    "copy": _COPY,
    "encoding": "Remove it: the file is UTF-8.",
    "q": "Remove it and everything below it.",
}


def find_command(text: str, error: SqlTextInvalid) -> str | None:
    """Return the psql command at which a text could not be split, or ``None`` for another cause."""
    if not text.startswith("\\", error.offset):
        return None
    return text[error.offset :].split(maxsplit=1)[0]


def describe_replacement(command: str) -> str:
    r"""Return what to write instead of a command such as ``\i``, as a sentence."""
    return _INSTEAD.get(command.removeprefix("\\"), _OTHER)


def add_psql_workaround(
    error: MigrationFileInvalid, migration: Migration, previous: Migration | None, history: History
) -> MigrationFileInvalid:
    """Return the refusal of a script, with a workaround in its hint if psql can run the script.

    ``previous`` is the pending migration before it.
    """
    tool = error.fields.get("psql")
    if tool is None:
        return error
    is_first = not history.rows and history.known_to is None
    if tool != PSQL and is_first:
        name = str(tool)
        adopt = make_command(Action.ADOPT, source=name, reason=f"applied by {name}", in_format=name)
        past = Hint(f"Or apply the file with {tool} and adopt that: ", adopt)
    else:
        past = _describe_past(migration, previous)
    return MigrationFileInvalid(
        error.message,
        hint=join_hints(error.hint, past),
        file=error.file,
        line=error.line,
        column=error.column,
    )


def _describe_past(migration: Migration, previous: Migration | None) -> Hint:
    down = migration.down or migration.empty_down
    is_shared = down is not None and down.path == migration.path
    what = "the up part of the file alone" if is_shared else "the file"
    first = Hint("Or ")
    if previous is not None and previous.version is not None:
        target = make_command(Action.UP, target=previous.migration_id)
        first = Hint("Or apply what is before it: ", target, "; then ")
    command = make_command(
        Action.REPAIR, mark=migration.migration_id, reason="run with psql", dry_run=False
    )
    return Hint(
        first,
        f"run {what} with psql, and record it as applied: ",
        command,
    )
