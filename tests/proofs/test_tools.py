"""Every tool and Lockgate on the same folder: up, half-and-half and down give equal schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.proofs.tools import TOOLS

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.proofs.kit import Proof, Tool

    Prove = Callable[[Tool], Proof]

UNDOING = [tool for tool in TOOLS if tool.down is not None]


def name_of(tool: Tool) -> str:
    """Return the tool's name, which selects its proofs."""
    return tool.name


@pytest.mark.parametrize("tool", TOOLS, ids=name_of)
def test_up_gives_the_schema_that_the_tool_gives(prove: Prove, tool: Tool) -> None:
    """Lockgate and the tool apply the whole folder to the same schema."""
    proof = prove(tool)
    project = proof.write()
    printed = tool.up(project, proof.theirs)
    report = proof.open(project).run(Action.UP)
    assert tool.count == len(report.applied)
    tool.check_up(proof, printed, report)
    assert proof.dump(proof.theirs) == proof.dump(proof.ours)


@pytest.mark.parametrize("tool", TOOLS, ids=name_of)
def test_half_by_the_tool_adopted_and_finished_gives_the_same_schema(
    prove: Prove, tool: Tool
) -> None:
    """Lockgate adopts and finishes what the tool began, and leaves the tool's history unchanged."""
    proof = prove(tool)
    project = proof.write()
    tool.up(project, proof.theirs)
    half = proof.run_half(project)
    before = proof.count_rows()
    ours = proof.open(project)
    adopted = proof.adopt(ours)
    recorded = len(ours.history())
    finished = ours.run(Action.UP, **half.settings)
    assert (Status.APPLIED, half.is_warned) == (adopted.status, bool(adopted.warnings))
    assert (half.rows, half.rows) == (before, proof.count_rows())
    assert (half.count, tool.count - half.count) == (recorded, len(finished.applied))
    assert proof.dump(proof.theirs) == proof.dump(proof.ours)


@pytest.mark.parametrize("tool", UNDOING, ids=name_of)
def test_down_gives_the_schema_that_the_tool_gives(prove: Prove, tool: Tool) -> None:
    """Lockgate and the tool undo the same migrations to the same schema."""
    proof = prove(tool)
    assert tool.down is not None
    project = proof.write()
    tool.up(project, proof.theirs)
    tool.down.run(project, proof.theirs)
    ours = proof.open(project)
    ours.run(Action.UP)
    report = proof.undo(ours, **tool.down.request)
    assert tool.down.count == len(report.reverted)
    assert proof.dump(proof.theirs) == proof.dump(proof.ours)


@pytest.mark.parametrize("tool", UNDOING, ids=name_of)
def test_down_of_adopted_migrations_leaves_nothing(prove: Prove, tool: Tool) -> None:
    """After adopting everything that the tool applied, Lockgate undoes it to an empty schema."""
    proof = prove(tool)
    empty = proof.theirs.dump()
    project = proof.write()
    tool.up(project, proof.ours)
    ours = proof.open(project)
    proof.adopt(ours)
    report = proof.undo(ours, target="0")
    assert (None, tool.count) == (report.error, len(report.reverted))
    assert empty == proof.dump(proof.ours)
