"""Knex with the one-line scripts of knex-migrate-sql-file, which run SQL files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.proofs.tools.knex import TOOL, lay_out_stubs, run

from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.proofs.kit import Proof, Tool

CHANGES = TOOL.changes[: len(TOOL.changes) // 4]
FIRST_BATCH = 20


def test_scripts_of_knex_migrate_sql_file_are_what_knex_makes_of_them(
    prove: Callable[[Tool], Proof],
) -> None:
    """Knex and Lockgate undo the last of two batches to the same schema."""
    proof = prove(replace(TOOL, changes=CHANGES, lay_out=lay_out_stubs))
    whole, half = proof.write(), proof.write("half", CHANGES[:FIRST_BATCH])
    run(half, proof.theirs, "migrate:latest", stubs=True)
    run(whole, proof.theirs, "migrate:latest", stubs=True)
    run(whole, proof.ours, "migrate:latest", stubs=True)
    run(whole, proof.theirs, "migrate:rollback", stubs=True)
    ours = proof.open(whole)
    adopted = proof.adopt(ours)
    report = proof.undo(ours, steps=len(CHANGES) - FIRST_BATCH)
    expected = (Status.APPLIED, len(CHANGES) - FIRST_BATCH, proof.dump(proof.theirs))
    assert expected == (adopted.status, len(report.reverted), proof.dump(proof.ours))
