"""Which migrations share a message, and which fit one message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.core.analysis import analyse_script
from lockgate.core.segment import Cause, Step
from lockgate.formats.registry import read_migrations
from lockgate.postgres.apply.segment_message import fits_one_message, make_batches
from lockgate.postgres.server.message import MOST_CHARACTERS, MOST_MIGRATIONS

if TYPE_CHECKING:
    from pathlib import Path

LONG = f"SELECT '{'x' * MOST_CHARACTERS}';"
PYTHON = "def up(connection):\n    pass\n"
BACKSLASHES = "SET standard_conforming_strings = off;\nSELECT 'a\\'b';"


def make_steps(folder: Path, files: dict[str, str]) -> list[Step]:
    """Return the steps of a folder's migrations."""
    for name, text in files.items():
        (folder / name).write_text(text)
    catalog = read_migrations("lockgate", folder, {})
    return [Step(m, analyse_script(m.up), Cause.PENDING) for m in catalog.migrations]


def test_batch_ends_after_a_hundred_migrations_or_a_megabyte(tmp_path: Path) -> None:
    """A batch has at most 100 migrations or a megabyte; a longer migration ends its batch."""
    files = {f"{n:03}_a.sql": "SELECT 1;" for n in range(1, MOST_MIGRATIONS + 2)}
    steps = make_steps(tmp_path, files | {"102_b.sql": LONG, "103_c.sql": "SELECT 1;"})
    batches = make_batches(steps)
    assert [MOST_MIGRATIONS, 2, 1] == [len(batch) for batch in batches]
    assert steps == [step for batch in batches for step in batch]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1_a.sql": "SELECT 1;", "2_b.sql": "SELECT 2;"}, True),
        ({"1_a.sql": LONG}, False),
        ({"1_a.sql": LONG[: MOST_CHARACTERS // 2] + "';", "2_b.sql": LONG[:600_000] + "';"}, False),
        ({"1_a.sql": "SELECT 1;", "2_b.py": PYTHON}, False),
        ({"1_a.sql": BACKSLASHES}, False),
    ],
)
def test_long_or_unsendable_script_is_sent_separately(
    tmp_path: Path, files: dict[str, str], *, expected: bool
) -> None:
    """Long scripts would be in memory twice, and a Python function cannot be sent as text."""
    assert expected is fits_one_message(make_steps(tmp_path, files))
