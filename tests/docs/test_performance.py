"""Compare docs/performance.md with the recorded measurements."""

from __future__ import annotations

from pathlib import Path

from benchmarks.page import PAGE, PICTURE, fill, make_parts, read_published
from benchmarks.plot import draw
from benchmarks.row import ROWS

DOCS = Path(__file__).parents[2] / "docs"


def test_page_shows_the_record() -> None:
    """Every table of the page has the recorded values."""
    text = (DOCS / PAGE).read_text(encoding="utf-8")
    assert text == fill(text, read_published(DOCS))
    assert all(f"<!-- measured: {name} -->" in text for name in make_parts(read_published(DOCS)))


def test_picture_shows_the_record() -> None:
    """The picture shows the recorded values."""
    assert (DOCS / PICTURE).read_text(encoding="utf-8") == draw(read_published(DOCS))


def test_record_has_the_rows_of_the_targets() -> None:
    """The record has its rows in order and includes those of the main targets."""
    published = list(read_published(DOCS)["rows"])
    assert [row.name for row in ROWS if row.name in published] == published
    assert {"nothing-1000", "one", "fresh-1000"} <= set(published)
