"""docs/performance.md shows what was measured, and nothing else."""

from __future__ import annotations

from pathlib import Path

from benchmarks.page import PAGE, PICTURE, fill, make_parts, read_published
from benchmarks.plot import draw
from benchmarks.row import ROWS

DOCS = Path(__file__).parents[2] / "docs"


def test_page_shows_the_record() -> None:
    """Every table of the page is the one that the record gives."""
    text = (DOCS / PAGE).read_text(encoding="utf-8")
    assert text == fill(text, read_published(DOCS))
    assert all(f"<!-- measured: {name} -->" in text for name in make_parts(read_published(DOCS)))


def test_picture_shows_the_record() -> None:
    """The picture is the one that the record gives."""
    assert (DOCS / PICTURE).read_text(encoding="utf-8") == draw(read_published(DOCS))


def test_record_has_the_rows_of_the_targets() -> None:
    """What is published are rows in their order, and those of the main targets are among them."""
    published = list(read_published(DOCS)["rows"])
    assert [row.name for row in ROWS if row.name in published] == published
    assert {"nothing-1000", "one", "fresh-1000"} <= set(published)
