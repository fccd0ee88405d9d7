"""Commands in messages, written so that the reader can use them as they are."""

from __future__ import annotations

import json
import shlex
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.core.request import OPERATOR_ACTIONS, Action, Repair
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

# What the reader fills in.
BLANK = "…"
_BLANK_IN_URL = ":PASSWORD@"
# Keys whose name is not that of the request's field.
_KEYS = {"source": "from"}
# Options whose names or values differ from the keys of a command.
_OPTIONS: dict[tuple[str, object], str] = {
    ("direction", "down"): "--down",
    ("dry_run", False): "--apply",
}


@dataclass(frozen=True, slots=True)
class Command:
    """A command to suggest: an action and the values of its keys, in the order to show them.

    The reason that an operator's action needs is left blank if it is not given. ``format`` is the one
    that the command needs in a terminal; a function has it as a setting.
    """

    action: Action
    values: tuple[tuple[str, str | int | bool], ...] = ()
    format: str | None = None

    @property
    def is_for_operators(self) -> bool:
        """True if the command needs a reason, and a function that accepts it."""
        return self.action in OPERATOR_ACTIONS


def make_command(
    action: Action, *, in_format: str | None = None, **values: str | int | bool
) -> Command:
    """Return a command with these values, by the names of a request's fields."""
    if action in OPERATOR_ACTIONS and "reason" not in values:
        flag = {"dry_run": values.pop("dry_run")} if "dry_run" in values else {}
        values |= {"reason": BLANK, **flag}
    keys = tuple((_KEYS.get(name, name), one) for name, one in values.items())
    return Command(action, keys, in_format)


def make_repair_command(repair: Repair, version: str) -> Command:
    """Return the command that repairs one row of the history."""
    return Command(Action.REPAIR, ((repair.value, version), ("reason", BLANK), ("dry_run", False)))


@dataclass(frozen=True, slots=True)
class Address:
    """Who reads a report, and so where its commands are to be run: in a terminal or in a function.

    ``options`` are those that the reader typed to name database and folder. ``operate`` is the name of
    the function for operators, ``None`` if it is not known.
    """

    is_terminal: bool = True
    options: tuple[str, ...] = field(default=(), repr=False)
    operate: str | None = None

    def write(self, command: Command) -> str:
        """Return what to type in the terminal, or what to send to a function."""
        if self.is_terminal:
            options = [*self.options, *_list_options(command)]
            if command.format is not None and "--format" not in self.options:
                options += ("--format", command.format)
            return " ".join(map(_quote, ("lockgate", str(command.action), *options)))
        text = f"send {json.dumps(_make_json(command), ensure_ascii=False)}"
        if not command.is_for_operators:
            return text
        return f"{text} to {self.operate or 'the function for operators'}"

    def explain(self, text: str) -> str:
        """Return a sentence on what to fill in in a text, with a leading space; empty if nothing."""
        return " (replace PASSWORD with the password)" if _BLANK_IN_URL in text else ""


def _list_options(command: Command) -> Iterator[str]:
    for name, value in command.values:
        if (name, value) in _OPTIONS:
            yield _OPTIONS[name, value]
        elif value is True:
            yield f"--{name.replace('_', '-')}"
        else:
            yield from (f"--{name.replace('_', '-')}", str(value))


def _quote(word: str) -> str:
    return f'"{BLANK}"' if word == BLANK else shlex.quote(word)


def _make_json(command: Command) -> dict[str, str | int | bool]:
    sender = {"requested_by": BLANK} if command.is_for_operators else {}
    return {"action": str(command.action), **dict(command.values), **sender}
