"""goose: names, annotations, variables, what Lockgate refuses, and the history table."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.formats.kit import (
    Adoption,
    Cases,
    History,
    Place,
    Read,
    Recognised,
    Refused,
    Stub,
    Table,
)

from lockgate.formats.tool import ForeignHistory, ForeignRow

UP = "-- +goose Up\n"
DOWN = "-- +goose Down\n"
BEGIN = "-- +goose StatementBegin\n"
END = "-- +goose StatementEnd\n"
ON = "-- +goose ENVSUB ON\n"
OFF = "-- +goose ENVSUB OFF\n"
FUNCTION = """\
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$
SELECT 1;
SELECT 'x'
$$;
"""
INSIDE = f"CREATE FUNCTION f() AS $$\n{ON}SELECT '${{A}}';\n{OFF}$$;\n"
AT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)

CASES = Cases(
    "goose",
    example={
        "1_a.sql": f"{UP}CREATE TABLE a ();\n{DOWN}DROP TABLE a;\n",
        "embed.go": "",
        "2_b.go": "",
    },
    places=[Place({"1_a.sql": f"{UP}SELECT 1;\n"}, "2_b.sql")],
    table=Table(
        "goose_db_version",
        "id int, version_id bigint, is_applied boolean, tstamp timestamp",
        "1, 1, true, now()",
        chosen_by={"GOOSE_TABLE": "app.goose_db_version"},
    ),
    read=[
        Read(
            "Versions are sorted as numbers, and files without a version are ignored.",
            {
                **dict.fromkeys(("9_a.sql", "10_b.sql", "0_c.sql"), f"{UP}SELECT 1;\n"),
                **dict.fromkeys(("x.sql", "8_d_test.go"), ""),
            },
            {"migration_id": ["9", "10"], "name": ["a", "b"]},
        ),
        Read(
            "A Go migration has its version and its name.",
            {"00001_a.go": "package m"},
            {"migration_id": ["00001"], "name": ["a"]},
        ),
        Read(
            "The text between the annotations stays as it is and keeps its line number.",
            {"00001_a.sql": f"-- about\n{UP}-- why\n{BEGIN}SELECT 1;\n{END}{DOWN}"},
            {
                "up.text": [f"\n-- why\n{BEGIN}SELECT 1;\n{END}"[:-1]],
                "up.first_line": [2],
                "up.options.transaction": [None],
                "up.substituted": [None],
            },
        ),
        Read(
            "NO TRANSACTION applies to the whole file, anywhere in it and in any case.",
            {"00001_a.sql": f"{UP}SELECT 1;\n{DOWN}-- +GOOSE no transaction\n".lower()},
            {"up.options.transaction": [False], "down.options.transaction": [False]},
        ),
        Read(
            "Carriage returns are removed, so the database stores the function without them.",
            {"00001_a.sql": f"{UP}{FUNCTION}".replace("\n", "\r\n")},
            {"up.sql": [f"\n{FUNCTION}"]},
        ),
        Read(
            "An annotation inside a statement is not sent, but counts in the checksum.",
            {"00001_a.sql": UP + BEGIN + INSIDE + END},
            {
                "up.text": [f"\n{BEGIN}{INSIDE}{END}"],
                "up.sql": [f"\n{BEGIN}CREATE FUNCTION f() AS $$\nSELECT 'x';\n$$;\n{END}"],
            },
            variables={"A": "x"},
        ),
        *(
            Read(
                "Variables between ENVSUB ON and OFF are replaced, in either spelling, with defaults.",
                {"00001_a.sql": f"{UP}{ON}{line}\n{OFF}SELECT '$A';\n"},
                {"up.sql": [f"\n{ON}{expected}\n{OFF}SELECT '$A';\n"]},
                variables={"A": "one", "EMPTY": ""},
            )
            for line, expected in [
                ("SELECT '${A}', '$A';", "SELECT 'one', 'one';"),
                (
                    "SELECT '${B:-x}', '${B-x}', '${EMPTY:-x}', '${EMPTY-x}';",
                    "SELECT 'x', 'x', 'x', '';",
                ),
                ("SELECT '${A?must}', '${A:-x}';", "SELECT 'one', 'one';"),
                ("SELECT '$(x) \\\\';", "SELECT '$(x) \\\\';"),
            ]
        ),
        Read(
            "A variable's value is masked in messages; a default, which is in the file, is not.",
            {"00001_a.sql": f"{ON}{UP}SELECT '${{A}}', '${{B:-two}}';\n"},
            {"up.hidden": [("one",)]},
            variables={"A": "one"},
        ),
        Read(
            "A comment between statements stays as it is.",
            {"00001_a.sql": f"{UP}{ON}-- costs $5\nSELECT 1;\n"},
            {"up.sql": [f"\n{ON}-- costs $5\nSELECT 1;\n"]},
        ),
    ],
    refused=[
        Refused(
            {"1_a.sql": "SELECT 1;\n"},
            "1_a.sql:1 has SQL above -- +goose Up.",
            "Move it below.",
        ),
        Refused(
            {"1_a.sql": "-- nothing\n"},
            "1_a.sql:2 has no -- +goose Up.",
            "Put it above the up script.",
        ),
        Refused(
            {"1_a.sql": f"{UP}SELECT 1\n{DOWN}"},
            "1_a.sql:2 has an unfinished statement, which goose refuses.",
            "End its last line with a semicolon.",
        ),
        Refused(
            {"1_a.sql": f"{UP}{BEGIN}SELECT 1;\n"},
            "1_a.sql:2 has a -- +goose StatementBegin without a StatementEnd.",
            "Put -- +goose StatementEnd after the statement.",
        ),
        Refused(
            {"1_a.sql": f"{UP}{END}"},
            "1_a.sql:2 has a -- +goose StatementEnd in the wrong place.",
            "Write StatementBegin and StatementEnd alternately, below -- +goose Up or Down.",
        ),
        Refused(
            {"1_a.sql": f"{UP}{BEGIN}SELECT 1;\n{DOWN}"},
            "1_a.sql:4 has a -- +goose Down inside a statement.",
            "Put -- +goose StatementEnd above it.",
        ),
        Refused(
            {"1_a.sql": f"{DOWN}{UP}"},
            "1_a.sql:1 has a -- +goose Down in the wrong place.",
            "Write one -- +goose Up and, after its script, at most one -- +goose Down.",
        ),
        Refused(
            {"1_a.sql": f"{UP} {DOWN}"},
            "1_a.sql:2 has an annotation that goose does not know: -- +goose Down.",
            "Valid are Up, Down, StatementBegin, StatementEnd, NO TRANSACTION, ENVSUB ON and"
            " ENVSUB OFF, at the start of a line.",
        ),
        Refused(
            {"1_a.sql": f"{UP}{ON}SELECT '${{A}}';\n"},
            "1_a.sql:3 needs the variable A, which is not set.",
            "Set A in the environment, or write ${A:-a default}.",
        ),
        Refused(
            {"1_a.sql": f"{UP}{ON}SELECT $$x$$;\n"},
            "1_a.sql:3 has a dollar sign that goose would read as a variable or an escape.",
            "Put -- +goose ENVSUB OFF above the line, and ENVSUB ON below it.",
        ),
        Refused(
            {"1_a.sql": f"{UP}{ON}SELECT '$A';\n"},
            "1_a.sql:3 needs the variable A, whose value has several lines.",
            "Give A a value without line breaks: they would shift the lines of the file.",
            variables={"A": "1\n2"},
        ),
    ],
    recognised=[
        Recognised({"1_a.sql": UP.lower()}, "-- +goose Up in 1_a.sql"),
        # The annotation of sql-migrate.
        Recognised({"1_a.sql": "-- +migrate Up\n"}, None),
    ],
    stubs=[Stub({"1_a.sql": f"{UP}DELETE FROM goose_db_version;\n"}, "goose_db_version")],
    histories=[
        History(
            "Version 1 was undone, 3 was applied again after 2, and 0 is not a migration.",
            """
CREATE TABLE goose_db_version (
    id serial PRIMARY KEY,
    version_id bigint NOT NULL,
    is_applied boolean NOT NULL,
    tstamp timestamp NULL DEFAULT '2024-01-02 03:04:05'
);
INSERT INTO goose_db_version (version_id, is_applied)
VALUES (0, true), (1, true), (3, true), (2, true), (1, false), (3, false), (3, true)
""",
            ForeignHistory(
                "public.goose_db_version",
                (ForeignRow("2", applied_at=AT), ForeignRow("3", applied_at=AT)),
            ),
        ),
        History(
            "A table with that name but other columns is not used.",
            "CREATE TABLE goose_db_version (version_id bigint)",
            None,
        ),
    ],
    adoptions=[
        Adoption(
            "A Go migration that goose applied is adopted, and a pending one is refused.",
            {"1_a.sql": f"{UP}CREATE TABLE a ();\n", "2_b.go": "package m"},
            "CREATE TABLE goose_db_version"
            " (id int, version_id bigint, is_applied bool, tstamp timestamp);"
            "INSERT INTO goose_db_version VALUES (1, 1, true, now()), (2, 2, true, now())",
            before="2_b.go:1: the script is a Go migration, and Lockgate cannot run Go."
            " Nothing was changed.",
            adopted=["1", "2"],
            later={"3_c.sql": f"{UP}CREATE TABLE c ();\n"},
            applied=["3"],
        ),
    ],
)
