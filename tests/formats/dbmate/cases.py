"""dbmate: names, order, markers, what Lockgate refuses, and the history table."""

from __future__ import annotations

from tests.formats.kit import Cases, History, Place, Read, Recognised, Refused, Stub, Table

from lockgate.core.catalog import Order
from lockgate.formats.tool import ForeignHistory, ForeignRow

FILE = "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"
INDENTED = "-- migrate:up\nSELECT 1;\n  -- migrate:down\n-- migrate:downward\nSELECT 2;\n"
NO_UP = (
    "1_a.sql has no -- migrate:up above its scripts.",
    "Put -- migrate:up, at the start of a line, above the up script.",
)
SECOND_UP = "has a second -- migrate:up; Lockgate runs one section of each per file."


def with_option(option: str) -> dict[str, str]:
    """Return a folder with a word behind the marker."""
    return {"1_a.sql": f"-- migrate:up {option}\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"}


CASES = Cases(
    "dbmate",
    example={"1_a.sql": "-- migrate:up\nCREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;\n"},
    places=[Place({"1_a.sql": "-- migrate:up\n"}, "2_b.sql")],
    table=Table(
        "schema_migrations",
        "version varchar",
        "'1'",
        chosen_by={"DBMATE_MIGRATIONS_TABLE": "app.schema_migrations"},
    ),
    read=[
        Read(
            "Versions are sorted as text, as in dbmate, so 10 runs before 9.",
            {"9_a.sql": FILE, "10_b.sql": FILE},
            {"migration_id": ["10", "9"], "name": ["b", "a"]},
            order=Order.LIST,
        ),
        Read(
            "If text and numeric order agree, versions are ordered by number.",
            {"20240101_a.sql": FILE, "20240102.sql": FILE},
            {"migration_id": ["20240101", "20240102"], "name": ["a", ""]},
            order=Order.NUMBERS,
        ),
        Read(
            "Files without a leading number or with another suffix, and subfolders, are ignored.",
            {"1_a.sql": FILE, "seed.sql": "x", "2_b.SQL": "x", "sub/3_c.sql": "x", "notes.py": "x"},
            {"migration_id": ["1"], "name": ["a"]},
        ),
        *(
            Read(
                "Only transaction:false has an effect, the last one wins, unknown words are ignored.",
                with_option(option),
                {"up.options.transaction": [expected]},
            )
            for option, expected in [
                ("", None),
                ("transaction:false", False),
                ("transaction:true", None),
                ("nonsense transaction:false:x", None),
                ("transaction:true transaction:false", False),
            ]
        ),
        Read(
            "A marker counts only at the start of a line and as a whole word.",
            {"1_a.sql": INDENTED},
            {"up.text": [INDENTED.removeprefix("-- migrate:up")], "down": [None]},
        ),
    ],
    refused=[
        Refused({"1_a.sql": "SELECT 1;\n"}, *NO_UP),
        Refused({"1_a.sql": "-- migrate:down\n-- migrate:up\n"}, *NO_UP),
        Refused(
            {"1_a.sql": "SELECT 1;\n-- migrate:up\n"},
            "1_a.sql:1 has SQL above -- migrate:up.",
            "Move it below the marker. Only comments may be above it.",
        ),
        Refused(
            {"1_a.sql": FILE + FILE},
            f"1_a.sql:5 {SECOND_UP}",
            "Split the file into several migrations.",
        ),
        Refused(
            {"1_a.sql": "-- migrate:up\n-- migrate:up\n"},
            f"1_a.sql:2 {SECOND_UP}",
            "Split the file into several migrations.",
        ),
        Refused(
            {"01_a.sql": FILE, "1_b.sql": FILE},
            "Two files have version 1: 01_a.sql and 1_b.sql.",
            "Give one of them another version.",
        ),
        # It points to a packaging mistake.
        Refused({"seed.sql": "x"}, "… contains no migrations."),
    ],
    recognised=[
        Recognised({"1_a.sql": FILE, "seed.sql": "x"}, "every file has -- migrate:up"),
        # Any feature of the native format rules dbmate out.
        Recognised({"1_a.sql": FILE, "2_b.sql": "SELECT 1;"}, None),
        Recognised({"1_a.sql": FILE, "R__b.sql": "SELECT 1;"}, None),
        Recognised({"1_a.sql": FILE.replace("up\n", "up lock_timeout:5s\n", 1)}, None),
        Recognised({"seed.sql": "SELECT 1;"}, None),
    ],
    stubs=[
        Stub(
            {"1_a.sql": "-- migrate:up\nDELETE FROM Schema_Migrations WHERE version = '0';\n"},
            "schema_migrations",
        ),
    ],
    histories=[
        History(
            "Versions are text and sorted byte by byte.",
            "CREATE TABLE schema_migrations (version varchar PRIMARY KEY);"
            "INSERT INTO schema_migrations VALUES ('9'), ('10')",
            ForeignHistory("public.schema_migrations", (ForeignRow("10"), ForeignRow("9"))),
        ),
    ],
)
