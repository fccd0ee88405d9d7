"""Recognise the native format by its own features and by the absence of other tools' features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.folders import write_folder

from lockgate.formats.native.signs import find_native_sign

if TYPE_CHECKING:
    from pathlib import Path

MARKED = "-- migrate:up\nSELECT 1;\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1_a.sql": MARKED, "R__b.sql": ""}, "the repeatable R__b.sql"),
        ({"1_a.sql": MARKED, "2_b.py": "def up(connection): ..."}, "up(connection) in 2_b.py"),
        ({"1_a.sql": f"{MARKED}-- migrate:env on\n"}, "-- migrate:env on in 1_a.sql"),
        (
            {"1_a.sql": f"{MARKED}-- migrate:verify SELECT 1\n"},
            "-- migrate:verify SELECT 1 in 1_a.sql",
        ),
        (
            {"1_a.sql": "-- migrate:up lock_timeout:5s\n"},
            "-- migrate:up lock_timeout:5s in 1_a.sql",
        ),
        ({"a/1_a.sql": "SELECT 1;"}, "no marker in a/1_a.sql"),
        ({"1_a.sql": MARKED}, None),
        ({"1_a.sql": "SELECT 1;", "V2__b.sql": ""}, None),
        ({"1_a.up.sql": "SELECT 1;"}, None),
        ({"1_a.sql": "-- +goose Up\n"}, None),
        ({"1_a.sql": "--! Previous: -\n"}, None),
        ({"1_a.sql": "-- Up Migration\n"}, None),
        ({"1_a.sql": "-- depends: 0_a\n"}, None),
        ({"1_a.sql": "-- no-transaction\n"}, None),
        ({"2_b.py": "def upgrade(): ..."}, None),
        ({}, None),
    ],
)
def test_recognise_answers_for_what_no_other_tool_has(
    tmp_path: Path, files: dict[str, str], expected: str | None
) -> None:
    """A folder with any file of another tool, or with only dbmate's markers, is not native."""
    assert expected == find_native_sign(write_folder(tmp_path / "m", files))
