"""What each command may have to read before it can decide. Imports nothing of the commands."""

from __future__ import annotations

from enum import StrEnum

from lockgate.core.request import Action


class Need(StrEnum):
    """Something that is read from the folder or the server.

    `EVIDENCE`: whether this package is an older one. `TABLES`, `CHANGED` and `CONTACT`: whether a first
    run may start. `SCRIPTS`: the scripts that the history keeps. `UNDO_FACTS`: what other runs recorded
    about their own work. `OPERATIONS`: that what Python scripts call is there. `CLAIMS`: another tool's
    history table.
    """

    FILES = "files"
    HISTORY = "history"
    RUNS = "runs"
    HOLDER = "holder"
    ACTIONS = "actions"
    EVIDENCE = "evidence"
    TABLES = "tables"
    CHANGED = "changed"
    CONTACT = "contact"
    SCRIPTS = "scripts"
    UNDO_FACTS = "undo_facts"
    OPERATIONS = "operations"
    CLAIMS = "claims"


_FILES_AND_HISTORY = frozenset({Need.FILES, Need.HISTORY})
_FIRST_RUN = frozenset({Need.TABLES, Need.CHANGED, Need.CONTACT})
_UNDO_FIRST = frozenset({Need.EVIDENCE, Need.SCRIPTS, Need.UNDO_FACTS})
_FORWARD = _FILES_AND_HISTORY | _FIRST_RUN | _UNDO_FIRST | {Need.OPERATIONS}

NEEDS: dict[Action, frozenset[Need]] = {
    Action.UP: _FORWARD,
    Action.PLAN: _FORWARD,
    Action.VALIDATE: _FORWARD,
    Action.STATUS: _FILES_AND_HISTORY | _FIRST_RUN | _UNDO_FIRST | {Need.HOLDER, Need.ACTIONS},
    Action.DOWN: _FILES_AND_HISTORY | {Need.SCRIPTS},
    Action.BASELINE: _FILES_AND_HISTORY,
    Action.ADOPT: _FILES_AND_HISTORY | {Need.CLAIMS},
    Action.REPAIR: _FILES_AND_HISTORY,
    Action.HISTORY: frozenset({Need.RUNS}),
    Action.UNLOCK: frozenset(),
}
