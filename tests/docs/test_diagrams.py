"""Check that diagrams match their sources, are readable, and that invalid sources are refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from docs.diagrams import draw
from tests.docs.markdown import PAGES, ROOT, list_images

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = list(draw.list_sources())
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_picture_is_drawn_from_its_text(source: Path) -> None:
    """Each picture is up to date with its source; `make diagrams` draws it again."""
    assert draw.draw(source.read_text("utf-8")) == source.with_suffix(".svg").read_text("utf-8")


def test_every_picture_has_its_text_and_its_page() -> None:
    """Each picture has a source and is shown on a page."""
    pictures = [
        ((ROOT / page).parent / target).resolve()
        for page in PAGES
        for _, target in list_images(page)
    ]
    shown = {path.name for path in pictures if path.parent == draw.FOLDER}
    drawn = {source.with_suffix(".svg").name for source in SOURCES}

    assert drawn == {path.name for path in draw.FOLDER.glob("*.svg")}
    assert drawn == shown


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_everything_is_inside_of_the_picture(source: Path) -> None:
    """The picture has a title for screen readers, and no shape extends beyond its edges."""
    # S314: the file is trusted, because it is part of this repository.
    root = ET.fromstring(source.with_suffix(".svg").read_text("utf-8"))  # noqa: S314
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    title = root.find(f"{SVG}title")

    assert title is not None
    assert source.read_text("utf-8").splitlines()[1] == f"title {title.text}"
    for shape in root.iter(f"{SVG}rect"):
        x, y = (float(shape.get(name, "0")) for name in ("x", "y"))
        assert 0 <= x <= x + float(shape.attrib["width"]) <= width
        assert 0 <= y <= y + float(shape.attrib["height"]) <= height


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrasts_with_its_background(scheme: str) -> None:
    """Text has a contrast of at least 4.5 to 1 on each fill, on light and dark pages."""
    rules = read_colours(draw._STYLE)
    if scheme == "dark":
        rules |= read_colours(draw._DARK)
    texts = [rules["text"], rules[".small"]]
    fills = [rules[name] for name in (".page", ".box", ".accent", ".warn", ".under")]

    assert all(contrast(text, fill) >= 4.5 for text in texts for fill in fills)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "drawing\ntitle A\n",
            "a source begins with one of sequence, grid, timeline, then a title",
        ),
        ('sequence\ntitle A\nwho a "A"\na -> b: says\n', "there is no b"),
        ("sequence\ntitle A\nwhom?\n", "neither who, note nor an arrow"),
        ('grid\ntitle A\nbox a here "A"\n', "a place is column,row"),
        ('grid\ntitle A\nbox a 1,1 "far too long for a box of ours"\n', "is too long for a box"),
        (
            'grid\ntitle A\nbox a 1,1 "A"\nbox b 2,1 "B"\nbox c 3,1 "C"\na -> c: through\n',
            "the arrow goes through a box",
        ),
        ('timeline\ntitle A\nlane a "A"\nspan a soon "B"\n', "a span is begin-end"),
        ('timeline\ntitle A\nlane a "A"\nspan a 1-2 "too long for one"\n', "too long for its span"),
        ('timeline\ntitle A\nmoment soon "B"\n', "a moment has a number"),
    ],
)
def test_text_that_cannot_be_drawn_is_refused(source: str, said: str) -> None:
    """The error names the line and the reason."""
    with pytest.raises(draw.SourceInvalid, match=re.escape(said)) as caught:
        draw.draw(source)
    assert re.match(r"line \d+: ", str(caught.value))


def read_colours(style: str) -> dict[str, str]:
    """Return the fill colour of each selector."""
    found: dict[str, str] = {}
    for selectors, body in re.findall(r"^([^{]+) \{([^}]*)\}", style, re.MULTILINE):
        fill = re.search(r"fill: (#[0-9a-f]{6})", body)
        if fill is not None:
            found |= dict.fromkeys(selectors.split(", "), fill[1])
    return found


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours as defined in WCAG 2, section 1.4.3."""
    darker, lighter = sorted(luminance(colour) for colour in (first, second))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour as defined in WCAG 2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
