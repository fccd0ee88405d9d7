r"""The cost of a script, counted and not timed: four times the text costs four times work and memory.

Work is the number of calls plus the characters of new strings returned. Copying the whole script for
each of its lines would multiply it.
"""

from __future__ import annotations

import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from lockgate.core.analysis import analyse_script
from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Language, Options, Script
from lockgate.core.sql.script import sendable, split_statements
from lockgate.core.token_checksum import find_token_checksum
from lockgate.core.transaction_mode import Mode
from lockgate.postgres.server.message import MessageWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from lockgate.core.migration import Migration

# Slightly above four: lists grow in steps, and fixed costs do not grow.
MOST = 4.5
KINDS: dict[str, Callable[[int], str]] = {
    "restrict": lambda n: "\\restrict abc\n" * n + "SELECT 1;\n",
    "restrict between": lambda n: "\\restrict abc\nSELECT 1;\n\\unrestrict abc\n" * (n // 2),
    "inserts": lambda n: "".join(f"INSERT INTO t VALUES ({i}, 'row {i}');\n" for i in range(n)),
    "one insert": lambda n: "INSERT INTO t VALUES (0)" + ",\n(1)" * (2 * n) + ";\n",
    "comments": lambda n: "-- why\n" * n + "SELECT 1;\n",
    "copy": lambda n: "COPY t FROM stdin;\n1\ta\n\\.\n" * (n // 2),
    "copy data": lambda n: "COPY t FROM stdin;\n" + "1\ta\n" * (4 * n) + "\\.\n",
}


def read(text: str) -> None:
    """Process a script as a run does before sending it."""
    split_statements.cache_clear()
    script = Script(text, "1_a.sql", 1, Language.SQL, Options(), text_checksum(text))
    analysis = analyse_script(script)
    assert Mode.SHARED is analysis.mode
    find_token_checksum(text)
    sendable(text)
    writer = MessageWriter()
    migration: Migration | None = None
    writer.add_script(migration, script, analysis.statements, (0, len(text)))  # type: ignore[arg-type]
    writer.take()


def count_work(text: str) -> int:
    """Return the number of calls plus the characters of strings returned."""
    work = 0

    def note(_frame: FrameType, event: str, value: object) -> None:
        nonlocal work
        work += 1
        if event == "return" and isinstance(value, str) and value is not text:
            work += len(value)

    sys.setprofile(note)
    try:
        read(text)
    finally:
        sys.setprofile(None)
    return work


def measure_peak(text: str) -> int:
    """Return the peak memory in bytes while a script is processed."""
    tracemalloc.start()
    try:
        read(text)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        split_statements.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
def test_work_on_a_script_grows_with_its_length(kind: str) -> None:
    """Work grows in proportion to the length of the script."""
    make = KINDS[kind]
    read(make(10))
    assert count_work(make(4 * 2_000)) <= MOST * count_work(make(2_000))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_for_a_script_grows_with_its_length(kind: str) -> None:
    """Memory grows in proportion to the length of the script."""
    make = KINDS[kind]
    read(make(10))
    assert measure_peak(make(4 * 2_000)) <= MOST * measure_peak(make(2_000))


def test_memory_for_a_large_script_is_a_multiple_of_it() -> None:
    """Five megabytes of INSERT statements need less than six copies and 400 bytes per statement."""
    count = 120_000
    text = KINDS["inserts"](count)
    assert len(text) > 5_000_000
    per_statement = 400
    assert measure_peak(text) < 6 * len(text) + per_statement * count
