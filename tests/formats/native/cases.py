"""The native format: names, order, options, variables, refusals, and how its folders are recognised."""

from __future__ import annotations

from tests.formats.kit import Cases, Place, Read, Recognised, Refused

from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Kind, Options

SQL = "SELECT 1;\n"
MARKED = f"-- migrate:up\n{SQL}"
BOTH = "-- migrate:up lock_timeout:1s\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"
PYTHON = "def up(connection):\n    pass\n"
ENDINGS = ("\n", "\r\n", "\r")
SWITCHED = (
    "-- migrate:up\nSELECT '${A}';\n-- migrate:env on\nSELECT '${A}', '${B:-b}', '$A', '${}';\n"
    "-- migrate:env off\nSELECT '${A}';\n"
)
SENT = SWITCHED.removeprefix("-- migrate:up")
DURATION = "it takes a duration such as 5s or 10min."

CASES = Cases(
    "lockgate",
    example={"1_a.sql": "-- migrate:up lock_timeout:1s\nCREATE TABLE a ();\n", "README.md": ""},
    places=[Place({"1_a.sql": SQL}, path) for path in ("2_b.sql", "2_b.py", "R__b.sql")],
    table=None,
    read=[
        Read(
            "Versioned migrations are ordered by number, and repeatables follow by name.",
            dict.fromkeys(
                [
                    *("R__b_view.sql", "10_ten.sql", "9_nine.sql", "R__a_view.sql"),
                    "20261122093000_create_accounts.sql",
                ],
                SQL,
            ),
            {"migration_id": ["9", "10", "20261122093000", "R__a_view", "R__b_view"]},
        ),
        Read(
            "A repeatable's name is the text after R__, and its id includes the prefix.",
            {"R__account_balance_view.sql": SQL},
            {
                "version": [None],
                "name": ["account_balance_view"],
                "kind": [Kind.REPEATABLE],
                "migration_id": ["R__account_balance_view"],
            },
        ),
        *(
            Read(
                "A name begins after the first underscore; it may contain any characters or be empty.",
                {name: SQL},
                {"version.text": [version], "name": [title]},
            )
            for name, version, title in [
                ("7.sql", "7", ""),
                ("0007_.sql", "0007", ""),
                ("0007_add_a_b.sql", "0007", "add_a_b"),
                ("0007_größer.sql", "0007", "größer"),
                ("0007_a.b c.sql", "0007", "a.b c"),
            ]
        ),
        Read(
            "Migrations in subfolders are ordered by version with all others.",
            {"2026/b/0002_b.sql": SQL, "0003_c.sql": SQL, "2025/0001_a.sql": SQL},
            {"path": ["2025/0001_a.sql", "2026/b/0002_b.sql", "0003_c.sql"]},
        ),
        Read(
            "Other file types, hidden files and folders, and Python caches are ignored.",
            {
                "0001_a.sql": SQL,
                "README.md": "#",
                ".0002_b.sql": SQL,
                "__init__.py": "",
                ".git/0003_c.sql": SQL,
                "__pycache__/0004_d.py": "",
            },
            {"migration_id": ["0001"]},
        ),
        *(
            Read(
                "A byte order mark and the kind of line ending do not affect options or checksums.",
                {"0001_a.sql": bom + BOTH.replace("\n", ending)},
                {
                    "up.text": [f"{ending}SELECT 1;{ending}"],
                    "down.text": [f"{ending}SELECT 2;{ending}"],
                    "up.first_line": [1],
                    "down.first_line": [3],
                    "up.options": [Options(lock_timeout_ms=1_000)],
                    "up.checksum": [text_checksum("\nSELECT 1;\n")],
                },
            )
            for ending in ENDINGS
            for bom in ("", "\ufeff")
        ),
        *(
            Read(
                "Options are key:value words in any order.",
                {"0001_a.sql": f"-- migrate:up{options}\nSELECT 1;\n"},
                {"up.options": [expected]},
            )
            for options, expected in [
                ("", Options()),
                (" transaction:false", Options(transaction=False)),
                (" transaction:true", Options(transaction=True)),
                (" lock_timeout:500ms", Options(lock_timeout_ms=500)),
                (" lock_timeout:0", Options(lock_timeout_ms=0)),
                (" statement_timeout:10min", Options(statement_timeout_ms=600_000)),
                (
                    "\ttransaction:false  lock_timeout:1h statement_timeout:1d ",
                    Options(
                        transaction=False,
                        lock_timeout_ms=3_600_000,
                        statement_timeout_ms=86_400_000,
                    ),
                ),
            ]
        ),
        Read(
            "Up and down scripts have separate options.",
            {"0001_a.sql": "-- migrate:up lock_timeout:1s\n-- migrate:down transaction:false\n"},
            {
                "up.options": [Options(lock_timeout_ms=1_000)],
                "down.options": [Options(transaction=False)],
            },
        ),
        Read(
            "Variables are replaced only between on and off; text and checksum stay those of the file.",
            {"0001_a.sql": SWITCHED},
            {
                "up.text": [SENT],
                "up.sql": [SENT.replace("'${A}', '${B:-b}'", "'a', 'b'")],
                "up.checksum": [text_checksum(SENT)],
            },
            variables={"A": "a"},
        ),
        *(
            Read(
                "Substitution works with every kind of line ending.",
                {"0001_a.sql": f"  -- migrate:env on {ending}SELECT '${{A}}';{ending}"},
                {"up.sql": [f"  -- migrate:env on {ending}SELECT 'a';{ending}"]},
                variables={"A": "a"},
            )
            for ending in ENDINGS
        ),
        *(
            Read(
                "An empty variable counts as set, and a value is not substituted again.",
                {"1.sql": "-- migrate:env on\n${A:-d}\n"},
                {"up.sql": [f"-- migrate:env on\n{expected}\n"]},
                variables=variables,
            )
            for variables, expected in [
                ({}, "d"),
                ({"A": ""}, ""),
                ({"A": "${B}", "B": "x"}, "${B}"),
            ]
        ),
        Read(
            "Substitution that is on in the up script is off in the down script.",
            {"1.sql": "-- migrate:up\n-- migrate:env on\n${A}\n-- migrate:down\n${A}\n"},
            {"down.sql": ["\n${A}\n"]},
            variables={"A": "a"},
        ),
        *(
            Read(
                "Without a function down there is no down script, and transaction is optional.",
                {"0001_a.py": f"{head}\ndef up(connection): ...\n"},
                {"down": [None], "up.options.transaction": [transaction]},
            )
            for head, transaction in [
                ("", None),
                ("transaction = True", True),
                ("transaction: bool = False", False),
                ("\ufefftransaction = False", False),
            ]
        ),
    ],
    refused=[
        # An .sql or .py file with another name is refused rather than ignored.
        *(
            Refused({"0001_b.sql": SQL, name: SQL}, f"{name} is not a valid migration file name.")
            for name in (
                *("create_accounts.sql", "V1__create.sql", "1-create.sql", "1.2_create.sql"),
                *("R_view.sql", "R__.sql", "R__view.py", "0001_a.SQL", "helpers.py", "sub/x.sql"),
            )
        ),
        # A version is unique across leading zeros, languages and folders.
        *(
            Refused(
                {one: SQL, other: PYTHON if other.endswith(".py") else SQL},
                f"Two files have version {version}: {one} and {other}.",
            )
            for one, other, version in [
                ("0001_a.sql", "0001_b.sql", "0001"),
                ("0001_b.sql", "1_a.sql", "1"),
                ("1.sql", "1_a.py", "1"),
                ("0001_a.sql", "later/0001_a.sql", "0001"),
            ]
        ),
        Refused(
            {"R__v.sql": SQL, "b/R__v.sql": SQL},
            "Two files have the name v: R__v.sql and b/R__v.sql.",
        ),
        *(
            Refused({"0001_a.sql": text}, f"0001_a.sql:{problem}")
            for text, problem in [
                (
                    "-- migrate:down\nSELECT 1;\n-- migrate:up\nSELECT 2;\n",
                    "3: -- migrate:up is below -- migrate:down.",
                ),
                (
                    "-- migrate:up\nSELECT 1;\n-- migrate:up\nSELECT 2;\n",
                    "3: a second -- migrate:up.",
                ),
                (
                    "-- migrate:up\n-- migrate:down\n-- migrate:down\n",
                    "3: a second -- migrate:down.",
                ),
                (
                    "-- note\nSELECT 1;\n-- migrate:up\nSELECT 2;\n",
                    "2: there is SQL above the first marker.",
                ),
                (
                    "/* open\n-- migrate:up\nSELECT 2;\n",
                    "1: there is SQL above the first marker.",
                ),
                (
                    "-- note\n-- migrate:env on\n-- migrate:up\nSELECT 2;\n",
                    "2: -- migrate:env is above the first marker.",
                ),
                (
                    "-- migrate:verify SELECT true\n-- migrate:up\nSELECT 2;\n",
                    "1: -- migrate:verify is above the first marker.",
                ),
                ("-- migrate:upp\n", "1: unknown marker -- migrate:upp; did you mean up?"),
                ("-- migrate:UP\n", "1: unknown marker -- migrate:UP; did you mean up?"),
                ("-- migrate:dwon\n", "1: unknown marker -- migrate:dwon; did you mean down?"),
                ("\n-- migrate:backfill table:t\n", "2: unknown marker -- migrate:backfill."),
                ("-- migrate:\n", "1: unknown marker -- migrate:."),
            ]
        ),
        Refused(
            {"0001_a.sql": "-- migrate:down\nSELECT 1;\n"},
            "0001_a.sql has a down script but no up script.",
        ),
        Refused(
            {"R__v.sql": BOTH.replace(" lock_timeout:1s", "")},
            "R__v.sql is repeatable and has a down script.",
        ),
        *(
            Refused(
                {"0001_a.sql": f"\n-- migrate:up {options}\nSELECT 1;\n"},
                f"0001_a.sql:2: {problem}",
            )
            for options, problem in [
                (
                    "transactoin:false",
                    "unknown option transactoin:false; did you mean transaction?",
                ),
                ("timeout:5s", "unknown option timeout:5s; did you mean lock_timeout?"),
                ("transaction", "unknown option transaction; did you mean transaction?"),
                ("lock_timeout: 5s", f'lock_timeout cannot be ""; {DURATION}'),
                ("nonsense", "unknown option nonsense."),
                ("transaction:true transaction:false", "transaction is set twice."),
                (
                    "lock_timeout:1s transaction:true lock_timeout:1s",
                    "lock_timeout is set twice.",
                ),
                ("transaction:no", 'transaction cannot be "no"; it takes true or false.'),
                ("transaction:False", 'transaction cannot be "False"; it takes true or false.'),
                ("lock_timeout:5", f'lock_timeout cannot be "5"; {DURATION}'),
                ("statement_timeout:30d", f'statement_timeout cannot be "30d"; {DURATION}'),
            ]
        ),
        # A missing variable is refused instead of becoming empty.
        *(
            Refused(
                {
                    "0001_a.sql": "-- migrate:up\n-- migrate:env on\n\nSELECT '${TEAM}';\n".replace(
                        "\n", ending
                    )
                },
                "0001_a.sql:4: the variable TEAM is not set.",
                "Set TEAM in the environment, or write ${TEAM:-a default}.",
                variables={"TEAMS": "x"},
            )
            for ending in ENDINGS
        ),
        *(
            Refused(
                {"0001_a.sql": f"SELECT 1;\n-- migrate:env {word}\n"},
                f'0001_a.sql:2: -- migrate:env takes on or off, not "{word}".',
            )
            for word in ("", "yes", "ON", "on off")
        ),
        # It would shift the line numbers of errors.
        *(
            Refused(
                {"0001_a.sql": "\n-- migrate:env on\nSELECT '${TEXT}';\n"},
                "0001_a.sql:3: the value of TEXT has several lines.",
                variables={"TEXT": value},
            )
            for value in ("one\ntwo", "one\r", "\r\n")
        ),
        *(
            Refused({"0001_a.py": text}, f"0001_a.py{problem}", column=column)
            for text, problem, column in [
                ("def down(connection): ...\n", " has no function up(connection).", None),
                ("\ndef up(): ...\n", ":2: up must take one argument, the connection.", None),
                (
                    "def up(connection): ...\ndef down(connection, how): ...\n",
                    ":2: down must take one argument, the connection.",
                    None,
                ),
                (
                    "transaction = 'no'\ndef up(connection): ...\n",
                    ":1: transaction must be a literal True or False.",
                    None,
                ),
                (
                    "\ndef up(connection) ...\n",
                    ":2: Python syntax error: expected ':'.",
                    20,
                ),
            ]
        ),
    ],
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
