"""A failed migration in Prisma's history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.proofs.folder import Change
from tests.proofs.tools.prisma import TOOL, deploy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.proofs.kit import Proof, Tool

BROKEN = Change("9", "broken", ("SELECT no_such_column;",), ())


def test_failure_of_prisma_is_not_adopted(prove: Callable[[Tool], Proof]) -> None:
    """Prisma's row of a failed migration stops the adoption, and the message names the fix."""
    proof = prove(TOOL)
    project = proof.write("failing", [*TOOL.changes[:2], BROKEN])
    deploy(project, proof.ours, may_fail=True)
    report = proof.adopt(proof.open(project))
    assert report.error is not None
    assert "prisma migrate resolve --applied 9_broken" in report.error.message
