"""Alembic: where revisions are found, refusals, and the version table."""

from __future__ import annotations

from typing import Any

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

from lockgate.core.migration import Language
from lockgate.core.transaction_mode import Mode
from lockgate.formats.tool import ForeignHistory

TABLE = "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);"


def write(revision: str, *downs: str, more: str = "", body: str = "pass") -> str:
    """Return the text of a revision file."""
    below: Any = None if not downs else downs[0] if len(downs) == 1 else downs
    return (
        f'"""Make\n{revision}.\n\nRevision ID: {revision}\n"""\nfrom alembic import op\n'
        f"revision = {revision!r}\ndown_revision = {below!r}\n{more}\n\n"
        f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    {body}\n"
    )


REVISION = 'revision = "a"\ndown_revision = None\n'
A = write("a")
MAKE = write("1975ea83b712")
BRANCHES = {
    f"{name}.py": f"revision = {name!r}\ndown_revision = {below!r}\n\ndef upgrade(): pass\n"
    for name, below in {"a": None, "b": "a", "c": "a"}.items()
}


CASES = Cases(
    "alembic",
    example={
        "env.py": "",
        "script.py.mako": "",
        "versions/a_a.py": f"{REVISION}\n\ndef upgrade(): ...\n",
    },
    places=[
        Place({"a.py": f"{REVISION}def upgrade(): pass\n"}, path)
        for path in ("b.py", "alembic.ini", "pyproject.toml")
    ],
    table=Table(
        "alembic_version",
        "version_num varchar",
        "'1'",
        chosen_in=[
            {
                "../env.py": "context.configure("
                "version_table='alembic_version', version_table_schema='app')\n"
            }
        ],
    ),
    read=[
        Read(
            "The id is the version, the docstring's first paragraph the name, the file both scripts.",
            {"versions/1975ea83b712_make.py": MAKE},
            {
                "migration_id": ["1975ea83b712"],
                "name": ["Make 1975ea83b712."],
                "up.text": [MAKE],
                "up.language": [Language.PYTHON],
                "down.text": [MAKE],
            },
        ),
        Read(
            "The revision id, which Alembic appends to the message, does not count as a name.",
            {"a.py": A.replace("Make\na.", "")},
            {"name": [""]},
        ),
        *(
            Read(
                "The folder may be the project, the script folder or the folder of revisions.",
                files,
                {"path": expected},
            )
            for files, expected in [
                ({"a.py": A, "b.py": write("b", "a")}, ["a.py", "b.py"]),
                (
                    {"env.py": "import app", "versions/a.py": A, "versions/README": ""},
                    ["versions/a.py"],
                ),
                (
                    # Alembic takes the location relative to the project root, where it is run.
                    {
                        "alembic.ini": "[alembic]\nscript_location = app/store/db\n",
                        "env.py": "",
                        "versions/a.py": A,
                    },
                    ["versions/a.py"],
                ),
                (
                    {
                        "alembic.ini": "[alembic]\nscript_location = app.core:store:db\n",
                        "db/env.py": "",
                        "db/versions/a.py": A,
                        "db/versions/old/z.py": write("z"),
                    },
                    ["db/versions/a.py"],
                ),
                (
                    {
                        "alembic.ini": "[alembic]\nscript_location = %(here)s/db\n"
                        "[loggers]\nkeys=%(x)s\n",
                        "db/versions/a.py": A,
                        "db/versions/sub/b.py": write("b"),
                    },
                    ["db/versions/a.py"],
                ),
                (
                    {
                        "alembic.ini": "[alembic]\nscript_location = my.app:db\n"
                        "version_locations = x y/z\nrecursive_version_locations = true\n",
                        "my/app/db/env.py": "",
                        "x/a.py": A,
                        "y/z/sub/b.py": write("b"),
                    },
                    ["y/z/sub/b.py", "x/a.py"],
                ),
                (
                    {
                        "pyproject.toml": '[tool.alembic]\nscript_location = "%(here)s/db"\n',
                        "db/versions/a.py": A,
                    },
                    ["db/versions/a.py"],
                ),
            ]
        ),
        Read(
            "An upgrade with an autocommit block runs outside the shared transaction, alone.",
            {"a.py": A.replace("pass", "op.get_context().autocommit_block()", 1)},
            {"up.mode": [Mode.STATEMENTS], "down.mode": [Mode.SHARED]},
        ),
        Read(
            "A dependency on a branch label means the revision with that label.",
            {
                "a.py": write("a", more="depends_on = 'other'"),
                "b.py": write("b", more="branch_labels = ('other',)"),
                "c.py": write("c", "b"),
            },
            {"migration_id": ["b", "c", "a"]},
        ),
    ],
    refused=[
        Refused({"README": ""}, "…contains no migrations…"),
        Refused({"a.py": "import os"}, "a.py has no down_revision…"),
        Refused({"x.py": "import os"}, "x.py has no revision…"),
        Refused({"a.py": "revision='a'\ndown_revision=None"}, "a.py has no upgrade()…"),
        Refused({"a.py": write("a-b")}, 'a.py:7 has the revision "a-b"…'),
        Refused({"a.py": A.replace("'a'", "make()")}, "a.py:7 computes the names of revisions…"),
        Refused({"a.py": "def"}, "a.py:1 has a Python syntax error…"),
        Refused(
            {"a.py": write("a", "b")},
            "a.py:8 builds on the revision b, which no file defines…",
        ),
        Refused({"a.py": A, "b.py": A}, "b.py:8 has revision a, and so has a.py…"),
        Refused(
            {"a.py": write("a", "b"), "b.py": write("b", "a")},
            "…is part of a circle of revisions: a, b…",
        ),
        Refused({"a.py": A, "sub/b.py": write("b")}, "sub/b.py is a revision in a subfolder…"),
        Refused(
            {
                "alembic.ini": "[alembic]\nscript_location = .\n",
                "versions/a.py": A,
                "versions/2024/b.py": write("b", "a"),
            },
            "versions/2024/b.py is a revision in a subfolder…",
        ),
        Refused(
            {"alembic.ini": "[alembic]\nscript_location = ../db\n"},
            "…has a location of revisions, ../db…",
        ),
        Refused({"alembic.ini": "script_location = db\n"}, "alembic.ini cannot be read…"),
    ],
    not_run=[
        NotRun(
            {
                "a.py": write("a", more="from alembic import context").replace(
                    "pass", "context.get_x_argument()", 1
                )
            },
            "a.py:12: the script uses values of alembic.context…",
        ),
        NotRun(
            {"a.py": A.replace("upgrade()", "upgrade(engine)")},
            "…has upgrade with arguments…",
        ),
    ],
    recognised=[
        Recognised({"alembic.ini": ""}, "it has alembic.ini"),
        Recognised({"env.py": "", "versions/a.py": ""}, "it has env.py"),
        Recognised({"a.py": A}, "a.py has a revision and a down_revision"),
        Recognised({"20260101000000_a.py": "def up(connection): ...\n"}, None),
        Recognised({"a.py": "revision = 1\n"}, None),
    ],
    stubs=[
        Stub(
            {"a.py": write("a", body="op.execute('TABLE alembic_version')")},
            "alembic_version",
            "version_num varchar(32)",
        )
    ],
    histories=[
        History(
            "The table yields heads only, since it does not record what they build on.",
            f"{TABLE} INSERT INTO alembic_version VALUES ('b'), ('a')",
            ForeignHistory("public.alembic_version", (), heads=("a", "b")),
        ),
        History("Without Alembic's table, no table is found.", "", None),
    ],
    adoptions=[
        Adoption(
            "A head and its ancestors are recorded; a revision on another branch stays pending.",
            BRANCHES,
            f"{TABLE} INSERT INTO alembic_version VALUES ('c')",
            adopted=["a", "c"],
            applied=["b"],
        ),
        Adoption(
            "Adoption is refused if the database has a head that the folder does not.",
            BRANCHES,
            f"{TABLE} INSERT INTO alembic_version VALUES ('gone')",
            refused="…the revision gone…",
        ),
    ],
)
