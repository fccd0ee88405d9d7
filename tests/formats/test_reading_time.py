"""Check that the time to read a file grows in proportion to its size."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.formats.test_hostile_files import PLACES
from tests.support.folders import write_folder

from lockgate.core.analysis import analyse_script
from lockgate.core.marker import find_markers
from lockgate.core.sharing import may_replay
from lockgate.errors import LockgateError
from lockgate.formats.registry import read_migrations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = 5_000
# A size four times as large takes four times as long if linear, sixteen if quadratic.
MOST_TIMES = 8
# Shorter times are dominated by fixed costs.
FLOOR_SECONDS = 0.02
HEADS = {
    "": "",
    "liquibase": "--liquibase formatted sql\n--changeset a:1\n",
    "goose": "-- +goose Up\n",
}
PIECES = [
    "\n", "\r\n", " ", "\t", "-", "--\n", "'", '"', "$", "${a:-", "/*", "\\", "[a", "`", "{", "=", ";",
    "\ufeff", "copy ", "#", "a", "x \n",
]  # fmt: skip


def measure(act: Callable[[], object]) -> float:
    """Return the CPU time of a call, whether it succeeds or is refused."""
    began = time.process_time()
    with contextlib.suppress(LockgateError):
        act()
    return time.process_time() - began


def grows_too_fast(act: Callable[[int], object]) -> bool:
    """Return whether four times the size takes far more than four times as long, in three attempts."""
    return all(
        measure(lambda: act(4 * SIZE)) > MOST_TIMES * max(measure(lambda: act(SIZE)), FLOOR_SECONDS)
        for _ in range(3)
    )


@pytest.mark.parametrize(("name", "files", "hostile"), PLACES)
def test_time_to_read_a_file_grows_with_its_size(
    tmp_path: Path, name: str, files: dict[str, str], hostile: str
) -> None:
    """No reader scans the rest of the file again for each repetition of a piece."""
    folder = write_folder(tmp_path / "m", files)
    head = HEADS.get(name, "") if hostile.endswith(".sql") else ""

    def read(piece: str, size: int) -> None:
        write_folder(folder, {hostile: head + piece * (size // len(piece)) + "!"})
        for migration in read_migrations(name, folder, {}).migrations:
            analyse_script(migration.up)
            may_replay(migration.up)

    assert [] == [one for one in PIECES if grows_too_fast(partial(read, one))]


@pytest.mark.parametrize("text", ["-- migrate:up a={}'", "-- up{}x=", "-- down {}!"])
@pytest.mark.parametrize("piece", ["aaa=", " ", "a ", "a", "-"])
def test_time_to_recognise_a_marker_grows_with_its_line(text: str, piece: str) -> None:
    """A marker line with many possible splits is parsed in linear time."""

    def find(size: int) -> None:
        find_markers(text.format(piece * (size // len(piece))))

    assert not grows_too_fast(find)
