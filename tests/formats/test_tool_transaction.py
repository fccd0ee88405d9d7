"""Scripts that step out of the transaction that their tool has opened around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.core.analysis import Mode, UnitMode, analyse_script
from lockgate.core.migration import Version
from lockgate.core.request import Action
from lockgate.formats.scripts import make_script, make_versioned

if TYPE_CHECKING:
    from tests.support.project import Project

WRAPPED, BLOCK, ALONE = UnitMode.WRAPPED, UnitMode.BLOCK, UnitMode.ALONE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("COMMIT;\nVACUUM;\nBEGIN;", [(ALONE, "VACUUM")]),
        ("COMMIT;\nSELECT 1;", [(WRAPPED, "SELECT 1")]),
        (
            "SELECT 1;\nCOMMIT;\nVACUUM;\nBEGIN;\nSELECT 2;\nSAVEPOINT s;",
            [(WRAPPED, "SELECT 1"), (ALONE, "VACUUM"), (WRAPPED, "SELECT 2")],
        ),
        (
            "COMMIT;\nBEGIN;\nSELECT 1;\nSELECT 2;\nCOMMIT;\nVACUUM;\nBEGIN",
            [(BLOCK, "BEGIN"), (ALONE, "VACUUM")],
        ),
    ],
)
def test_script_that_ends_its_tools_transaction_runs_in_steps(
    text: str, expected: list[tuple[UnitMode, str]]
) -> None:
    """Its first COMMIT and its last BEGIN are the tool's; those between them are its own."""
    script = make_versioned(Version.parse("1"), "", make_script(text, "1.sql"), None).up
    found = analyse_script(script)
    units = [
        (
            unit.mode,
            script.sql[found.statements[unit.first].start : found.statements[unit.first].end],
        )
        for unit in found.units
    ]
    assert (Mode.STATEMENTS, text) == (found.mode, script.text)
    assert expected == [unit for unit in units if not unit[1].startswith("SAVEPOINT")]


@pytest.mark.parametrize("text", ["BEGIN;\nSELECT 1;\nCOMMIT;", "SELECT 'a\nCOMMIT;'", "COMMIT; ("])
def test_script_with_its_own_transaction_or_none_is_left_as_it_is(text: str) -> None:
    """Only what would end a transaction that it has not begun is meant for the tool's."""
    script = make_script(text, "1.sql")
    assert script == make_versioned(Version.parse("1"), "", script, None).up


def test_new_enum_value_is_used_behind_its_commit(project: Project) -> None:
    """What such scripts are written for works, and a failure names the line of the file."""
    project.settings["LOCKGATE_FORMAT"] = "sqlx"
    text = (
        "COMMIT;\nALTER TYPE m ADD VALUE 'b';\nBEGIN;\n"
        "CREATE TABLE t (m m DEFAULT 'b');\nDROP TABLE u;"
    )
    project.write({"1_a.sql": "CREATE TYPE m AS ENUM ('a');", "2_b.sql": text})
    failed = project.run(Action.UP)
    assert failed.error is not None
    assert ("2_b.sql", 5) == (failed.error.file, failed.error.line)
    project.write({"2_b.sql": text.replace("DROP TABLE", "DROP TABLE IF EXISTS")})
    assert ("applied", "up_to_date") == (
        project.run(Action.UP).status,
        project.run(Action.UP).status,
    )
