"""Commands in hints: each reader gets one that can be used as it is."""

from __future__ import annotations

import json
import shlex

import pytest

from lockgate.awslambda.callers.direct import read_request
from lockgate.core.address import Address, Command, make_command, make_repair_command
from lockgate.core.hint import Hint, join_hints, write_hint
from lockgate.core.request import Action, Repair
from lockgate.settings import Settings
from lockgate.terminal.arguments import parse_arguments

COMMANDS = {
    "status": make_command(Action.STATUS),
    "history": make_command(Action.HISTORY),
    "up": make_command(Action.UP, target="0007_a b"),
    "first run": make_command(Action.PLAN, first_run="allow"),
    "down by steps": make_command(Action.DOWN, steps=2),
    "down to a version": make_command(Action.DOWN, target="0", reason="back to this package"),
    "baseline": make_command(Action.BASELINE, target="7"),
    "adopt": make_command(
        Action.ADOPT, source="goose", table='public."A b"', reason="take over", dry_run=True
    ),
    **{f"repair: {one}": make_repair_command(one, "R__a view") for one in Repair},
}
FUNCTION = Address(is_terminal=False)
OPERATE = Address(is_terminal=False, operate="shop-Operate-1ABC")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_command_for_a_terminal_is_accepted_by_it(command: Command) -> None:
    """The command line accepts the command, and the reader's options are in it."""
    address = Address(options=("--dir", "my files", "--local"))
    name, *arguments = shlex.split(address.write(command))
    options = parse_arguments(arguments)
    assert ("lockgate", str(command.action)) == (name, options.action)
    assert ("my files", True) == (options.dir, options.local)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_command_for_a_function_is_accepted_by_it(command: Command) -> None:
    """A function that allows the action accepts the JSON."""
    verb, text = FUNCTION.write(command).split(" ", 1)
    sent, end = json.JSONDecoder().raw_decode(text)
    request = read_request(sent, Settings(allowed_actions=tuple(Action)))
    assert ("send", command.action) == (verb, request.action)
    operators = " to the function for operators" if command.is_for_operators else ""
    assert operators == text[end:]


def test_change_by_an_operator_names_its_function() -> None:
    """An operator's command names the function for operators if it is known; others do not."""
    command = make_repair_command(Repair.ACCEPT, "7")
    assert (
        'send {"action": "repair", "accept": "7", "reason": "…", "dry_run": false,'
        ' "requested_by": "…"} to shop-Operate-1ABC'
    ) == OPERATE.write(command)
    assert 'send {"action": "status"}' == OPERATE.write(make_command(Action.STATUS))


def test_format_is_named_once_and_only_in_a_terminal() -> None:
    """A terminal may need the option ``--format``; a function has the setting."""
    command = make_command(Action.UP, in_format="sqitch")
    assert "lockgate up --format sqitch" == Address().write(command)
    assert "lockgate up --format auto" == Address(options=("--format", "auto")).write(command)
    assert 'send {"action": "up"}' == FUNCTION.write(command)


def test_hint_is_the_terminals_text_and_can_be_written_for_a_function() -> None:
    """As a string, a hint has the command line; for a function, it has the JSON."""
    hint = join_hints("Fix it.", None, Hint("Then: ", make_command(Action.UP), "."))
    assert "Fix it. Then: lockgate up." == hint
    assert 'Fix it. Then: send {"action": "up"}.' == write_hint(hint, FUNCTION)
    assert "lockgate up" == write_hint("lockgate up", FUNCTION)


def test_password_that_was_left_out_is_explained() -> None:
    """If the reader's URL lost its password, the hint says what to fill in."""
    address = Address(options=("--database-url", "postgresql://me:PASSWORD@host/shop"))
    assert (
        "Then: lockgate up --database-url postgresql://me:PASSWORD@host/shop"
        " (replace PASSWORD with the password)"
    ) == write_hint(Hint("Then: ", make_command(Action.UP)), address)
