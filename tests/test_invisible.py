"""Invisible characters are named by their code points and positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.invisible import name_invisible
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

CHARACTERS = {
    "\u00a0": "U+00A0 NO-BREAK SPACE",
    "\u200b": "U+200B ZERO WIDTH SPACE",
    "\u00ad": "U+00AD SOFT HYPHEN",
    "\ufeff": "U+FEFF BYTE ORDER MARK",
    "\u202e": "U+202E RIGHT-TO-LEFT OVERRIDE",
    "\u200e": "U+200E LEFT-TO-RIGHT MARK",
    "\u2060": "U+2060 WORD JOINER",
    "\u2028": "U+2028 LINE SEPARATOR",
    "\u3000": "U+3000 IDEOGRAPHIC SPACE",
    "\u3164": "U+3164 HANGUL FILLER",
    "\u0085": "U+0085",
    "\x01": "U+0001",
}


@pytest.mark.parametrize("character", CHARACTERS, ids=CHARACTERS.values())
@pytest.mark.parametrize("head", ["", "-- migrate:up transaction:false\n"])
def test_invisible_character_in_a_file_is_named(
    project: Project, character: str, head: str
) -> None:
    """The message names the character, and the hint gives its line and column."""
    project.write({"1_a.sql": f"{head}SELECT 1;\nSELECT 'ä',\n  {character}x;\n"})
    error = project.run().error
    assert error is not None
    name = CHARACTERS[character]
    assert f"<{name}>" in error.message
    assert f"1_a.sql:{3 + bool(head)}:3 has an invisible character: {name}." in (error.hint or "")


@pytest.mark.parametrize("character", CHARACTERS, ids=CHARACTERS.values())
def test_invisible_character_in_a_string_is_text(project: Project, character: str) -> None:
    """An invisible character in a string is text, and errors do not mention it."""
    project.write({"1_a.sql": f"SELECT '{character}'; -- {character}\n"})
    assert project.run().status is Status.APPLIED
    project.write({"2_b.sql": f"SELECT '{character}', nonsense; -- {character}\n"})
    error = project.run().error
    assert error is not None
    assert "invisible" not in f"{error.message} {error.hint}"


def test_text_that_can_be_seen_stays() -> None:
    """Letters, marks and plain white space are unchanged."""
    text = "größe 日本語 e\u0301 🐘\n\t\r"
    assert text == name_invisible(text)
