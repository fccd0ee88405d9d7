"""The reader reads only what a command declares, and imports only what is needed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.engine import make_engine
from tests.support.fake_server import FakeServer

from lockgate.core.request import Action, Caller, Request
from lockgate.engine.decision import Ask
from lockgate.engine.needs import NEEDS, Need
from lockgate.engine.reader import Reader
from lockgate.settings import Settings

HANDLER = Path(__file__).parents[2] / "handler"
# Modules that only a run with work to do imports.
BEHIND_THE_DOOR = ["lockgate.engine.commands", "lockgate.engine.before_lock", "lockgate.core.plan"]


def make_reader(action: Action) -> Reader:
    """Return the reader of a request, with a server in memory."""
    dependencies = replace(make_engine(Settings()).dependencies, database=FakeServer())
    return Reader(dependencies, Request(action, Caller("test")))


@pytest.mark.parametrize("action", Action)
def test_undeclared_need_is_not_read(action: Action) -> None:
    """Reading more than the command declares fails."""
    undeclared = set(Need) - NEEDS[action] - {Need.FILES}
    for need in undeclared:
        with pytest.raises(AssertionError, match=f"{action} does not declare {need}"):
            make_reader(action).read(Ask(need))


def test_declared_need_is_read() -> None:
    """A declared need is read from the server."""
    assert () == make_reader(Action.HISTORY).read(Ask(Need.RUNS, 20))
    assert {} == make_reader(Action.STATUS).read(Ask(Need.ACTIONS))


def test_engine_without_work_imports_no_command() -> None:
    """A run with nothing pending does not import the commands."""
    script = (
        "import lockgate.wiring, sys; print([one for one in sys.argv[1:] if one in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, *BEHIND_THE_DOOR],
        env={"PYTHONPATH": str(HANDLER)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "[]" == ran.stdout.strip()
