"""Writes the record into the documentation: the tables in ``docs/performance.md``, picture and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.plot import draw
from benchmarks.record import read_record, write_record
from benchmarks.table import make_memory, make_round_trips, make_targets, make_times

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.record import Record

PAGE, PICTURE, NUMBERS = "performance.md", "performance.svg", "performance.json"
_BEGIN, _END = "<!-- measured: {} -->\n", "<!-- end -->"


def publish(record: Record, docs: Path) -> None:
    """Write a record into the documentation."""
    write_record(record, docs / NUMBERS)
    (docs / PICTURE).write_text(draw(record), encoding="utf-8")
    page = docs / PAGE
    page.write_text(fill(page.read_text(encoding="utf-8"), record), encoding="utf-8")


def read_published(docs: Path) -> Record:
    """Return the record in the documentation."""
    return read_record(docs / NUMBERS)


def fill(text: str, record: Record) -> str:
    """Return the page's text with every measured part replaced."""
    for name, part in make_parts(record).items():
        before, begin, rest = text.partition(_BEGIN.format(name))
        _, end, after = rest.partition(_END)
        if begin and end:
            text = f"{before}{begin}{part}{end}{after}"
    return text


def make_parts(record: Record) -> dict[str, str]:
    """Return the parts of the page that come from a record."""
    near = [row for row in record["rows"] if not row.startswith("far-")]
    far = [row for row in record["rows"] if row.startswith("far-")]
    machine = "".join(f"* {name}: {value}\n" for name, value in record["machine"].items())
    return {
        "machine": machine,
        "targets": make_targets(record),
        "near": make_times(record, near),
        "far": make_times(record, far),
        "memory": make_memory(record, near),
        "round trips": make_round_trips(record, far),
    }
