"""Commands: the keys and values that a caller sends, or options in a terminal, read into a `Request`.

Messages name the keys of a refused command, but no values except those of ``action`` and ``target``:
events of other services hold credentials.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from lockgate.core.policy import FirstRun
from lockgate.core.request import OPERATOR_ACTIONS, Action, Caller, Repair, Request
from lockgate.core.similar import find_similar
from lockgate.errors import RequestInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

_MAX_TEXT = 1_000
_MAX_VERSION = 500
_MAX_SHOWN = 40
# Two identifiers with their quotes and the dot between them.
_MAX_TABLE = 140
_REASON = {Action.DOWN: " --reason '…'", Action.PLAN: ""}
_DOWN = {Action.DOWN: "lockgate down", Action.PLAN: "lockgate plan --down"}

EXAMPLES = 'Send {} to migrate, or {"action": "status"} to see the state of the database.'


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store a JSON text: no NUL, no half of a surrogate pair."""
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)


def _read_text(value: object) -> str:
    if isinstance(value, str) and value.strip() and len(value) <= _MAX_TEXT and is_storable(value):
        return value
    raise ValueError(f"text of 1 to {_MAX_TEXT:,} characters")


def read_version(value: object) -> str:
    """Return a version, given as text or as a whole number.

    Raises:
        ValueError: it is neither; the message contains what is accepted.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and 0 < len(text) <= _MAX_VERSION and text.isprintable():
        return text
    raise ValueError("a version, such as 20261122093000")


def _read_table(value: object) -> str:
    """Return the name of a table, ``table`` or ``schema.table``.

    Raises:
        ValueError: it is not a valid name.
    """
    if isinstance(value, str) and 0 < len(value.strip()) <= _MAX_TABLE and value.isprintable():
        return value.strip()
    raise ValueError("the name of a table, such as app.goose_db_version")


def _read_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("true or false")


def _read_count(value: object) -> int:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and re.fullmatch(r"[1-9][0-9]{0,4}", text):
        return int(text)
    raise ValueError("a whole number from 1 to 99999")


def read_first_run(value: object) -> FirstRun:
    """Return the policy for a first run in a database that already has tables.

    Raises:
        ValueError: it is not one of them; the message contains what is accepted.
    """
    if isinstance(value, str) and value in list(FirstRun):
        return FirstRun(value)
    raise ValueError('"refuse" or "allow"')


def _read_direction(value: object) -> bool:
    if isinstance(value, str) and value in {"up", "down"}:
        return value == "down"
    raise ValueError('"up" or "down"')


def _read_tool(value: object, tools: Sequence[str]) -> str:
    if isinstance(value, str) and value in tools:
        return value
    raise ValueError(f"one of {', '.join(tools)}")


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a command: how its value is read, and the actions that accept it.

    ``other_field`` is the name of the request's field, if it differs from the key's.
    """

    name: str
    read: Callable[[object], Any]
    actions: frozenset[Action]
    other_field: str | None = None

    @property
    def field(self) -> str:
        """The name of the request's field, and of the terminal's option."""
        return self.other_field or self.name


_ADOPTIONS = frozenset({Action.BASELINE, Action.ADOPT, Action.REPAIR})
_REPAIR = frozenset({Action.REPAIR})

# The only key whose values depend on the tools that this package knows.
_TOOL = "from"

KEYS = (
    Key("target", read_version, frozenset({Action.UP, Action.PLAN, Action.DOWN, Action.BASELINE})),
    Key("steps", _read_count, frozenset({Action.DOWN, Action.PLAN})),
    Key("direction", _read_direction, frozenset({Action.PLAN}), "is_down"),
    Key("allow_data_loss", _read_flag, frozenset({Action.DOWN})),
    Key("accept", read_version, _REPAIR),
    Key("forget", read_version, _REPAIR),
    Key("mark", read_version, _REPAIR),
    Key(_TOOL, _read_text, frozenset({Action.ADOPT}), "source"),
    Key("table", _read_table, frozenset({Action.ADOPT})),
    Key("dry_run", _read_flag, _ADOPTIONS),
    Key("limit", _read_count, frozenset({Action.HISTORY})),
    Key("first_run", read_first_run, frozenset({Action.UP, Action.PLAN, Action.VALIDATE})),
    Key("reason", _read_text, frozenset(Action)),
    Key("requested_by", _read_text, frozenset(Action)),
    Key("execution", _read_text, frozenset(Action)),
)


def read_command(
    command: Mapping[Any, Any],
    allowed: Collection[str],
    list_tools: Callable[[], Sequence[str]],
    caller: Caller,
) -> Request:
    """Return the request of a command; an empty one means ``{"action": "up"}``.

    ``allowed`` are the actions of this function. ``list_tools`` returns the tools whose history can be
    adopted. ``execution`` identifies the sender's own run, and becomes the caller's reference.

    Raises:
        RequestInvalid: a key or value is unknown, one is missing, or the action is not allowed.
    """
    action = _read_action(command, allowed)
    _refuse_unknown_keys(command, action)
    values = {
        key.field: _read_value(key, command, list_tools) for key in KEYS if key.name in command
    }
    for needed in ("reason", "requested_by"):
        if action in OPERATOR_ACTIONS and needed not in values:
            raise refuse(
                f'The action "{action}" needs {needed}.',
                f'Send {{"action": "{action}", "requested_by": "…", "reason": "…"}}; both are recorded'
                " with the run.",
            )
    if "execution" in values:
        reference = {**caller.reference, "execution": values.pop("execution")}
        caller = Caller(caller.name, reference)
    return make_request(action, caller, values)


def make_request(action: Action, caller: Caller, values: dict[str, Any]) -> Request:
    """Return the request for these values, after checking that they fit together.

    Raises:
        RequestInvalid: a key is missing, or two contradict each other.
    """
    repairs = [repair for repair in Repair if repair in values]
    if action is Action.REPAIR:
        if len(repairs) != 1:
            raise refuse(
                f"A repair makes one change to one migration; the command has {len(repairs)}.",
                'Send one of "accept", "forget" and "mark", each with a version.',
                in_terminal="lockgate repair --accept VERSION --reason '…'\nOr use --forget or --mark"
                " instead of --accept.",
            )
        rest = {name: value for name, value in values.items() if name != repairs[0]}
        values = {"dry_run": True, **rest, "repair": repairs[0], "version": values[repairs[0]]}
    is_down = action is Action.DOWN or values.get("is_down", False)
    if is_down and ("target" in values) == ("steps" in values):
        is_both = "target" in values
        raise refuse(
            "A down takes either target or steps; the command has both."
            if is_both
            else "A down needs target or steps.",
            'Send either "steps" (the number of migrations) or "target" (the version to stop at).',
            in_terminal=f"{_DOWN[action]} --steps 1{_REASON[action]}\n"
            f"{_DOWN[action]} --target VERSION{_REASON[action]}",
        )
    if "steps" in values and not is_down:
        raise refuse(
            '"steps" is only for a down.',
            'Add "direction": "down".',
            in_terminal=f"{_DOWN[Action.PLAN]} --steps {values['steps']}",
        )
    if action is Action.BASELINE and "target" not in values:
        raise refuse(
            "A baseline needs target.",
            'Send "target": the last version that the database already contains.',
            in_terminal="lockgate baseline --target VERSION --reason '…' --dry-run\nVERSION is the last"
            " one that the database already contains.",
        )
    return Request(action=action, caller=caller, **values)


def refuse_disallowed(action: Action, allowed: Collection[str]) -> None:
    """Refuse an action that this function does not allow.

    Raises:
        RequestInvalid: ``LOCKGATE_ALLOWED_ACTIONS`` does not name the action.
    """
    if action not in allowed:
        raise refuse(
            f'The action "{action}" is not allowed on this function; it accepts {_list(allowed)}.',
            "Invoke the function for operators, or add the action to LOCKGATE_ALLOWED_ACTIONS.",
        )


def _read_action(command: Mapping[Any, Any], allowed: Collection[str]) -> Action:
    value = command.get("action", Action.UP.value)
    if not isinstance(value, str):
        raise refuse(f"The action is {describe_kind(value)}, not text.", EXAMPLES)
    accepted = [action for action in Action if action in allowed]
    if value not in list(Action):
        raise refuse(
            f"Unknown action {_show(value)}.{_nearest(value, accepted)}"
            f" This function accepts {_list(accepted)}.",
            EXAMPLES,
        )
    action = Action(value)
    refuse_disallowed(action, allowed)
    return action


def _refuse_unknown_keys(command: Mapping[Any, Any], action: Action) -> None:
    known = ["action", *(key.name for key in KEYS if action in key.actions)]
    unknown = [str(key) for key in command if key not in known]
    if unknown:
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        raise refuse(
            f'Unknown key {_show(unknown[0])}{more} for the action "{action}".'
            f"{_nearest(unknown[0], known)} Accepted: {_list(known)}.",
            EXAMPLES,
        )


def _read_value(
    key: Key, command: Mapping[Any, Any], list_tools: Callable[[], Sequence[str]]
) -> Any:
    value = command[key.name]
    try:
        return _read_tool(value, list_tools()) if key.name == _TOOL else key.read(value)
    except ValueError as error:
        accepted = str(error)
    shown = f" {_show(value)}" if key.name == "target" and isinstance(value, str) else ""
    raise refuse(
        f"The value{shown} of {key.name} is invalid.", f"Send {accepted}, or leave {key.name} out."
    )


def refuse(problem: str, hint: str, *, in_terminal: str | None = None) -> RequestInvalid:
    """Return the refusal; ``in_terminal`` is the hint for the command line."""
    return RequestInvalid(problem, hint=hint, in_terminal=in_terminal)


def describe_kind(value: object) -> str:
    """Return the kind of a JSON value, with its article."""
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return "null" if value is None else kinds.get(type(value), "an object")


def _show(text: str) -> str:
    short = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
    return json.dumps(short, ensure_ascii=False)


def _nearest(word: str, known: Iterable[str]) -> str:
    near = find_similar(word.lower(), [str(item) for item in known])
    return f' Did you mean "{near}"?' if near else ""


def _list(names: Iterable[str]) -> str:
    return ", ".join(str(name) for name in names) or "none"
