"""graphile-migrate's committed files: headers, hashes, placeholders, settings, and the history table."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from tests.formats.kit import (
    Adoption,
    Cases,
    History,
    NotRun,
    Place,
    Read,
    Recognised,
    Refused,
    Stub,
    Table,
)

from lockgate.core.transaction_mode import Mode
from lockgate.formats.tool import ForeignHistory, ForeignRow

SQL = "select 1;\n"
SECOND = "select 2;\n"
STEP = "committed/000001-step.sql"
# As written by graphile-migrate 1.4.1.
FIRST_HASH = "sha1:005c6eb7364156e6b0d158d8b2767a24f1ce6611"
GMRC = """\
{
  // settings
  "placeholders": {
    ":APP_ROLE": "!ENV",
    ":APP": "shop",
  },
  "afterAllMigrations": [{ "_": "command", "shadow": true, "command": "dump" }],
}
"""
PLACEHOLDERS = "grant x to :APP_ROLE; -- :APP\nselect ':APP', ':APPLE' from :DATABASE_NAME.t;\n"
RESERVED = "alter database :DATABASE_NAME owner to :DATABASE_OWNER;\n"
OUTSIDE = "--! no-transaction\ncreate index concurrently i on t (a);\n"
HARMLESS = "select to_char(now(), 'HH24:MI:SS'), 1::TEXT;\n"
# As created by graphile-migrate.
TABLE = """
CREATE SCHEMA graphile_migrate;
CREATE TABLE graphile_migrate.migrations (
    hash text PRIMARY KEY, previous_hash text REFERENCES graphile_migrate.migrations,
    filename text NOT NULL, date timestamptz NOT NULL DEFAULT now()
);"""
ONE = "create table one ();\n"
TWO = "create table two ();\n"


def hash_of(body: str, previous: str = "") -> str:
    """Return graphile-migrate's hash of a body that follows a hash."""
    text = f"{previous}\n{body.strip()}".strip() + "\n"
    return "sha1:" + hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def commit(*bodies: str) -> dict[str, str]:
    """Return the bodies as committed files, each referring to the hash of the one before it."""
    files: dict[str, str] = {}
    previous = ""
    for number, body in enumerate(bodies, start=1):
        digest = hash_of(body, previous)
        files[f"committed/{number:06d}-step.sql"] = (
            f"--! Previous: {previous or '-'}\n--! Hash: {digest}\n--! Message: step\n\n{body}"
        )
        previous = digest
    return files


def insert(digest: str) -> str:
    """Return the statement that inserts the row of the first file."""
    return (
        "INSERT INTO graphile_migrate.migrations (hash, filename, date)"
        f" VALUES ('{digest}', '000001.sql', '2024-05-06 07:08:09+00');"
    )


# Without the header Message.
ADOPTED = {
    "committed/000001-one.sql": f"--! Previous: -\n--! Hash: {hash_of(ONE)}\n\n{ONE}",
    "committed/000002-two.sql": f"--! Previous: {hash_of(ONE)}\n"
    f"--! Hash: {hash_of(TWO, hash_of(ONE))}\n\n{TWO}",
}
FIRST = commit(SQL)[STEP]
ALLOWED = FIRST.replace("\n\n", "\n--! AllowInvalidHash\n\n")
THREE = commit(SQL, SECOND, "select 3;\n")

CASES = Cases(
    "graphile-migrate",
    example={
        "committed/000001-a.sql": "--! Previous: -\n--! Hash: sha1:0\n\nCREATE TABLE a ();\n",
        "current.sql": "",
    },
    places=[Place({"1.sql": "--! Previous: -\n--! Hash: sha1:x\n\nSELECT 1;\n"}, "2.sql")],
    table=Table(
        "migrations",
        "hash text, previous_hash text, filename text, date timestamptz",
        "'x', NULL, '000001.sql', now()",
        schema="graphile_migrate",
    ),
    read=[
        Read(
            "The number is the version, the text starts after the headers, and there is no down.",
            commit("create table t ();\n"),
            {
                "migration_id": ["000001"],
                "name": ["step"],
                "path": [STEP],
                "up.text": ["\ncreate table t ();\n"],
                "up.sql": ["\ncreate table t ();\n"],
                "up.first_line": [4],
                "down": [None],
            },
        ),
        Read(
            "If the committed folder itself is configured, paths are relative to it.",
            {name.removeprefix("committed/"): text for name, text in commit(SQL, SQL).items()},
            {"migration_id": ["000001", "000002"], "path": ["000001-step.sql", "000002-step.sql"]},
        ),
        Read(
            "Numbers without leading zeros are sorted as text, as in graphile-migrate.",
            dict(
                zip(
                    ("committed/1.sql", "committed/10.sql", "committed/2.sql"),
                    commit(SQL, SQL, SQL).values(),
                    strict=True,
                )
            ),
            {"migration_id": ["1", "10", "2"]},
        ),
        Read(
            "Work in progress and files with other names are ignored.",
            commit(SQL)
            | {
                "current.sql": "drop table t;\n",
                "committed/notes.sql": "",
                "committed/1 a.sql": "",
            },
            {"migration_id": ["000001"]},
        ),
        Read(
            "The comment no-transaction counts only on the first line of the body.",
            commit("--! no-transaction\nselect 1;\n", "select 1;\n--! no-transaction\n"),
            {"up.options.transaction": [False, None]},
        ),
        Read(
            "A hash committed by graphile-migrate itself is accepted.",
            {"committed/000001.sql": f"--! Previous: -\n--! Hash: {FIRST_HASH}\n\nselect 1;\n"},
            {"migration_id": ["000001"]},
        ),
        Read(
            "AllowInvalidHash permits an edited file.",
            {STEP: ALLOWED + SECOND},
            {"migration_id": ["000001"]},
        ),
        Read(
            "Placeholders are filled in comments and strings too, the longest name first.",
            commit(PLACEHOLDERS) | {"../.gmrc": GMRC},
            {
                "up.text": [f"\n{PLACEHOLDERS}"],
                "up.sql": ["\ngrant x to reader; -- shop\nselect 'shop', ':APPLE' from db.t;\n"],
                "up.hidden": [("db", "reader")],
            },
            variables={"APP_ROLE": "reader", "DATABASE_NAME": "db"},
        ),
        *(
            Read(
                "Reserved placeholders come from the variables of that name or from DATABASE_URL.",
                commit(RESERVED),
                {"up.sql": ["\nalter database db owner to me;\n"]},
                variables=variables,
            )
            for variables in (
                {"DATABASE_NAME": "db", "DATABASE_OWNER": "me"},
                {"DATABASE_URL": "postgres://me:secret@host/db"},
            )
        ),
        Read(
            "Session settings replace the empty line after the headers, so that no line shifts.",
            commit(OUTSIDE) | {".gmrc": '{ pgSettings: { search_path: "app, it\'s" } }'},
            {
                "up.sql": [
                    "SELECT pg_catalog.set_config(E'search_path', E'app, it''s', false);\n"
                    + OUTSIDE
                ],
                "up.first_line": [4],
                "up.mode": [Mode.STATEMENTS],
            },
        ),
        Read(
            "Times and casts are not mistaken for placeholders.",
            commit(HARMLESS),
            {"migration_id": ["000001"]},
        ),
    ],
    refused=[
        Refused(
            {STEP: FIRST + SECOND},
            f"{STEP} has the hash {hash_of(SQL + SECOND)}, but its header has {hash_of(SQL)}: it was"
            " edited.",
        ),
        Refused({STEP: ALLOWED}, f"{STEP} has the header AllowInvalidHash and a valid hash."),
        # A missing file breaks the chain of hashes.
        Refused(
            {name: text for name, text in THREE.items() if "000002" not in name},
            f"committed/000003-step.sql:1 follows the hash {hash_of(SECOND, hash_of(SQL))},"
            f" but {STEP} has {hash_of(SQL)}.",
        ),
        Refused(
            {name: text for name, text in commit(SQL, SQL).items() if name != STEP},
            f"committed/000002-step.sql:1 follows the hash {hash_of(SQL)}, but it is the first.",
        ),
        *(
            Refused({"committed/000001.sql": text}, f"committed/000001.sql{expected}")
            for text, expected in [
                ("--! Hash: x\n\n", ":1 has no header --! Previous:."),
                ("--! Previous: -\n\n", ":1 has no header --! Hash:."),
                (
                    "--! Previous: -\n--! Hash: x\nselect 1;\n",
                    ":3 has no empty line after its headers.",
                ),
                ("--! Previous: -\n--! Previous: -\n", ":2 has the header Previous twice."),
                (
                    "--! Previous: -\r\n--! Hash: x\r\n\r\nselect 1;\r\n",
                    ":1 ends its lines with CR LF, which its hash does not cover.",
                ),
                ("", ":1 has no header --! Previous:."),
                ("select 1;\n", ":1 has no empty line after its headers."),
            ]
        ),
        # Ignoring a setting that Lockgate cannot follow would change the result.
        *(
            Refused(commit(SQL) | {"../.gmrc": gmrc}, f".gmrc{expected}")
            for gmrc, expected in [
                (
                    "{,",
                    ":1 cannot be read: Expecting property name enclosed in double quotes.",
                ),
                ("[]", " is not a JSON object."),
                (
                    '{"placeholders": {"app": "x"}}',
                    " has the placeholder app, which must be :UPPER_CASE with a text.",
                ),
                (
                    '{"placeholders": {":NOT_SET": "!ENV"}}',
                    " takes :NOT_SET from the environment, where NOT_SET is not set.",
                ),
                (
                    '{"placeholders": {":DATABASE_NAME": "x"}, "connectionString": "postgres://h/db"}',
                    " has the placeholder :DATABASE_NAME, which graphile-migrate sets itself.",
                ),
                (
                    '{"beforeAllMigrations": [{"_": "sql", "file": "roles.sql"}]}',
                    " has beforeAllMigrations, and Lockgate does not run actions of graphile-migrate.",
                ),
                (
                    '{"afterAllMigrations": ["grants.sql"]}',
                    " has afterAllMigrations, and Lockgate does not run actions of graphile-migrate.",
                ),
                (
                    '{"pgSettings": {"jit": false}}',
                    " has the setting jit in pgSettings, whose value is not text.",
                ),
            ]
        ),
        # Only Node.js can evaluate them.
        Refused(
            commit(SQL) | {"../.gmrc.js": ""},
            ".gmrc.js is a program, and Lockgate cannot run JavaScript.",
        ),
    ],
    not_run=[
        NotRun(
            commit(f"{HARMLESS}grant x to :APP_ROLE;\n"),
            f"{STEP}:6: the script has :APP_ROLE, which may be a placeholder, and there is no .gmrc.",
        ),
        NotRun(
            commit("drop database :DATABASE_NAME;\n"),
            f"{STEP}:5: the script has :DATABASE_NAME, whose value is unknown.",
        ),
        # It would shift the lines of the file.
        NotRun(
            commit("select :DATABASE_NAME;\n"),
            "…whose value has several lines…",
            variables={"DATABASE_NAME": "a\nb"},
        ),
    ],
    recognised=[
        Recognised({"committed/000001.sql": SQL}, None),
        Recognised(
            {"committed/000001.sql": SQL} | commit(SQL),
            "000001-step.sql begins with --! Previous:",
        ),
    ],
    stubs=[
        Stub(
            commit('delete from "graphile_migrate"."migrations";\n'), "graphile_migrate.migrations"
        )
    ],
    histories=[
        History("A database that graphile-migrate never used has no such table.", "", None),
        History(
            "The version is the number of the file, and the checksum is graphile-migrate's hash.",
            TABLE + insert(hash_of(ONE)),
            ForeignHistory(
                "graphile_migrate.migrations",
                (
                    ForeignRow(
                        "000001",
                        applied_at=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
                        checksum=hash_of(ONE),
                    ),
                ),
            ),
        ),
    ],
    adoptions=[
        Adoption(
            "A migration that graphile-migrate applied is not run again.",
            ADOPTED,
            ONE + TABLE + insert(hash_of(ONE)),
            adopted=["000001"],
            applied=["000002"],
        ),
        Adoption(
            "A file whose hash differs from the recorded one is not adopted.",
            ADOPTED,
            ONE + TABLE + insert(hash_of("create table other ();\n")),
            refused="Files were edited after graphile-migrate applied them, by its own checksums:"
            " 000001 one. Nothing was changed.",
        ),
    ],
)
