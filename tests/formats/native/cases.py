"""The native format: files that its reader opens, and how its folders are recognised."""

from __future__ import annotations

from tests.formats.kit import Cases, Place, Recognised

SQL = "SELECT 1;\n"
MARKED = f"-- migrate:up\n{SQL}"

CASES = Cases(
    "lockgate",
    example={"1_a.sql": "-- migrate:up lock_timeout:1s\nCREATE TABLE a ();\n", "README.md": ""},
    places=[Place({"1_a.sql": SQL}, path) for path in ("2_b.sql", "2_b.py", "R__b.sql")],
    table=None,
    read=[],
    recognised=[
        Recognised({"1_a.sql": MARKED, "R__b.sql": ""}, "the repeatable R__b.sql"),
        Recognised(
            {"1_a.sql": MARKED, "2_b.py": "def up(connection): ..."}, "up(connection) in 2_b.py"
        ),
        Recognised({"1_a.sql": f"{MARKED}-- migrate:env on\n"}, "-- migrate:env on in 1_a.sql"),
        Recognised(
            {"1_a.sql": f"{MARKED}-- migrate:verify SELECT 1\n"},
            "-- migrate:verify SELECT 1 in 1_a.sql",
        ),
        Recognised(
            {"1_a.sql": "-- migrate:up lock_timeout:5s\n"},
            "-- migrate:up lock_timeout:5s in 1_a.sql",
        ),
        Recognised({"a/1_a.sql": "SELECT 1;"}, "no marker in a/1_a.sql"),
        # Any file of another tool, or nothing but dbmate's markers, rules the native format out.
        Recognised({"1_a.sql": MARKED}, None),
        Recognised({"1_a.sql": "SELECT 1;", "V2__b.sql": ""}, None),
        Recognised({"1_a.up.sql": "SELECT 1;"}, None),
        Recognised({"1_a.sql": "-- +goose Up\n"}, None),
        Recognised({"1_a.sql": "--! Previous: -\n"}, None),
        Recognised({"1_a.sql": "-- Up Migration\n"}, None),
        Recognised({"1_a.sql": "-- depends: 0_a\n"}, None),
        Recognised({"1_a.sql": "-- no-transaction\n"}, None),
        Recognised({"2_b.py": "def upgrade(): ..."}, None),
        Recognised({}, None),
    ],
    stubs=[],
    histories=[],
)
