"""Read Sqitch projects: plan, ids, layout, scripts, and what Lockgate refuses."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.foreign_folder import ForeignFolder

from lockgate.core.analysis import analyse_script
from lockgate.core.sql import statement as sql_statement
from lockgate.core.sql import token as sql_token
from lockgate.core.transaction_mode import Mode
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.sqitch.plan import Change, read_plan
from lockgate.formats.sqitch.reader import complete_history
from lockgate.formats.sqitch.uri import canonical_uri
from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from pathlib import Path

HEAD = "%syntax-version=1.0.0\n%project=flipr\n\n"
SIGNED = "2026-01-01T12:00:00Z P <p@example.com>"
SQL = "SELECT 1;\n"
# The expected changes below are those of Sqitch 1.3.1.
PLAN = """%syntax-version=1.0.0
%project=flipr
%uri=HTTPS://Example.COM:443/flipr/%7eus?q=%c3%bc#ä

users 2026-01-01T12:00:00Z Änne Planner <planner@example.com> # Adds; a table \\\\ of\\nusers.
 + flips [users] 2026-01-01T12:00:01Z Änne  Planner  <planner@example.com>  #   0
lists/main [flips users !later] 2026-01-01T12:00:02Z P <p@example.com> # # double
@v1.0 2026-01-01T12:00:03Z P <p@example.com> # Tag it.

users [users@v1.0 @v1.0 flipr:flips] 2026-01-01T12:00:04Z P <p@example.com>
later 2026-01-01T12:00:05Z P <p@example.com> # last
"""
CHANGES = (
    Change("users", "f40993f3165907527f0b93c55e2f5f00217b1ae8", 5, rework_tags=("v1.0",)),
    Change("flips", "10d01e5b74262e91223a841346ea755138ee1d8a", 6),
    Change("lists/main", "78068ef90ea3f0cdffe0c67e1752ba2a0637f743", 7, tags=("v1.0",)),
    Change("users", "29d0a1384dbdc7af95da4b7cc3a021404da1a01a", 10, number=2),
    Change("later", "02542ada8e2506b4f4a1707b554abe20b6f03316", 11),
)
SCRIPTS = ("users@v1.0", "flips", "lists/main", "users", "later")
FILES = {"sqitch.plan": PLAN, **{f"deploy/{name}.sql": f"-- {name}\n" for name in SCRIPTS}}


@pytest.fixture
def folder(tmp_path: Path) -> ForeignFolder:
    """Give an empty Sqitch folder."""
    return ForeignFolder(tmp_path / "project", "sqitch")


def make_files(*lines: str, **scripts: str) -> dict[str, str]:
    """Return a plan with the given lines, and a deploy script for each name."""
    plan = HEAD + "".join(f"{line}\n" for line in lines)
    return {"sqitch.plan": plan, **{f"deploy/{name}.sql": sql for name, sql in scripts.items()}}


@pytest.mark.parametrize(
    "command",
    [
        "\\echo creating a",
        "\\set ON_ERROR_STOP on",
        "\\set QUIET 1",
        "\\timing\r",
        "\\pset pager off",
        "\\encoding UTF8",
    ],
)
def test_command_that_is_psqls_own_business_is_left_out(
    folder: ForeignFolder, command: str
) -> None:
    """A psql command that affects only the terminal is removed before the script runs."""
    text = f"BEGIN;\n{command}\nSELECT 1;\nCOMMIT;\n{command}"
    script = folder.read_one(make_files(f"a {SIGNED}", a=text)).up
    found = analyse_script(script)
    assert (Mode.OWN_TRANSACTION, text, 3) == (found.mode, script.text, len(found.statements))


@pytest.mark.parametrize(
    "command", ["\\set ON_ERROR_STOP off", "\\set a 1", "\\i b.sql", "\\encoding LATIN1", "\\gexec"]
)
def test_command_that_concerns_the_database_is_refused(folder: ForeignFolder, command: str) -> None:
    """A psql command that affects what runs is refused, and the error is marked as psql's."""
    script = folder.read_one(make_files(f"a {SIGNED}", a=f"SELECT 1\n{command}\n")).up
    with pytest.raises(MigrationFileInvalid) as caught:
        analyse_script(script)
    word = command.split(maxsplit=1)[0]
    expected = f"deploy/a.sql:2: the script has the psql command {word}, which is not SQL."
    assert expected in caught.value.message
    assert "sqitch" == caught.value.fields["psql"]


@pytest.mark.parametrize(
    ("sql", "mode"),
    [
        ("COMMIT;CREATE TABLE t ();", Mode.SHARED),
        ("CREATE TABLE t ();\nCOMMIT;\nSELECT 1;", Mode.SHARED),
        ("ROLLBACK;\nCREATE TABLE t ();\nEND", Mode.SHARED),
        ("abort work; end transaction; COMMIT AND NO CHAIN; SELECT 1", Mode.SHARED),
        ("BEGIN;\nSELECT 1;\nCOMMIT;\nCOMMIT; -- a; b\n", Mode.OWN_TRANSACTION),
        ("BEGIN;\nBEGIN;\nSELECT 1;\nstart transaction;\nCOMMIT;", Mode.OWN_TRANSACTION),
        ("COMMIT;", Mode.SHARED),
        ("COMMIT -- a; b\n;SELECT 1;", Mode.SHARED),
    ],
)
def test_what_psql_only_warns_of_is_left_out(folder: ForeignFolder, sql: str, mode: Mode) -> None:
    """A COMMIT outside a transaction and a BEGIN inside one are removed, since psql only warns."""
    up = folder.read_one(make_files(f"a {SIGNED}", a=sql)).up
    found = analyse_script(up)
    words = [one.words[0] for one in found.statements]
    expected = {
        Mode.SHARED: [w for w in words if w in {"CREATE", "SELECT"}],
        Mode.OWN_TRANSACTION: ["BEGIN", "SELECT", "COMMIT"],
    }
    assert (mode, expected[mode], len(sql)) == (found.mode, words, len(up.sql))
    assert up.text == sql


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("SELECT 1;\nBEGIN;\nSELECT 1;", "BEGIN"),
        ("BEGIN;\nROLLBACK;", "ROLLBACK"),
        ("BEGIN;\nCOMMIT AND CHAIN;\nCOMMIT;", "COMMIT"),
        ("COMMIT AND CHAIN;", "COMMIT"),
        ("BEGIN;\nBEGIN ISOLATION LEVEL SERIALIZABLE;\nCOMMIT;", "BEGIN"),
        ("BEGIN;\nPREPARE TRANSACTION 'x';", "PREPARE"),
    ],
)
def test_transaction_that_cannot_be_followed_is_refused(
    folder: ForeignFolder, sql: str, word: str
) -> None:
    """A transaction that psql would roll back or leave open is refused, marked as psql's."""
    up = folder.read_one(make_files(f"a {SIGNED}", a=sql)).up
    with pytest.raises(MigrationFileInvalid, match=f"this {word} has no counterpart") as caught:
        analyse_script(up)
    assert "sqitch" == caught.value.fields["psql"]


@pytest.mark.parametrize(
    "command",
    [
        "\\copy t from stdin",
        "  \\copy t (a, b) FROM STDIN with (format csv, header)",
        "\\copy public.t from stdin null ''",
    ],
)
def test_copy_of_psql_reads_the_lines_below_it(folder: ForeignFolder, command: str) -> None:
    r"""A \copy from stdin becomes a COPY with its data, and no statement shifts."""
    sql = f"SELECT 1;\n{command}\n1\t2\n\\.\nSELECT 2;\n"
    up = folder.read_one(make_files(f"a {SIGNED}", a=sql)).up
    found = analyse_script(up)
    assert ["SELECT", "COPY", "SELECT"] == [one.words[0] for one in found.statements]
    copied = found.statements[1]
    assert "COPY" + command.strip()[5:] == "COPY" + up.sql[copied.start + 4 : copied.end]
    assert "1\t2\n" == up.sql[slice(*(copied.copy_data or ()))]
    assert (sql, len(sql)) == (up.text, len(up.sql))


@pytest.mark.parametrize(
    "sql",
    [
        "\\copy t from 'a.csv'",
        "\\copy t from pstdin",
        "\\copy t to stdout",
        "\\copy t from program 'x'",
        "\\copy t from stdin; -- x\n1\n\\.",
        "\\copy (select * from stdin) to 'x'",
        "SELECT 1\n\\copy t from stdin\n1\n\\.\n;",
    ],
)
def test_copy_of_a_file_is_refused(folder: ForeignFolder, sql: str) -> None:
    r"""A \copy that reads or writes anything outside the script is refused."""
    up = folder.read_one(make_files(f"a {SIGNED}", a=sql)).up
    with pytest.raises(MigrationFileInvalid, match=r"has the psql command \\copy"):
        analyse_script(up)


@pytest.mark.parametrize("quote", ["'", "$$", "$a$"])
def test_copy_of_psql_in_a_string_is_a_string(folder: ForeignFolder, quote: str) -> None:
    r"""A \copy within a string or COPY data is left unchanged."""
    line = "\\copy t from stdin\n"
    line = "\\copy t from stdin\n"
    sql = f"SELECT {quote}\n{line}{quote};\nCOPY t FROM stdin;\n\\{line}\\.\n"
    up = folder.read_one(make_files(f"a {SIGNED}", a=sql)).up
    assert (sql, 2) == (up.sql, len(analyse_script(up).statements))


def test_script_of_many_commands_is_read_once(
    folder: ForeignFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each removed command costs one pass over its statement, not over the whole script."""
    looks: Counter[str] = Counter()
    match_tokens = sql_token.match_tokens

    def count(sql: str, *arguments: Any, **others: Any) -> Iterator[re.Match[str]]:
        looks["all"] += 1
        return match_tokens(sql, *arguments, **others)

    monkeypatch.setattr(sql_statement, "match_tokens", count)
    files = make_files(f"a {SIGNED}", a="\\echo on\nSELECT 1;\n" * 200)
    assert 200 == len(analyse_script(folder.read_one(files).up).statements)
    assert looks["all"] < 10 * 200


def test_plan_has_the_ids_that_sqitch_gives() -> None:
    """Change ids equal Sqitch's, which hash project, URI, parent, planner, date and note."""
    assert read_plan(PLAN, "sqitch.plan").changes == CHANGES


def test_line_endings_of_windows_and_a_mark_change_no_id() -> None:
    """Carriage returns and a byte order mark do not change the ids."""
    assert read_plan("\ufeff" + PLAN.replace("\n", "\r\n"), "sqitch.plan").changes == CHANGES


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://Example.com", "http://example.com/"),
        ("HTTP://example.com:80?x=1", "http://example.com?x=1"),
        ("https://User@Host:8443", "https://User@host:8443/"),
        ("urn:X-A:Y", "urn:x-a:Y"),
        ("ftp://H:21/x%2f%7E", "ftp://h/x%2F~"),
        ("ssh://H:22", "ssh://h"),
        ("https://h/a b<c>", "https://h/a%20b%3Cc%3E"),
        ("git://Host/x", "git://Host/x"),
    ],
)
def test_uri_is_made_canonical(uri: str, expected: str) -> None:
    """Case, default ports, escapes and empty paths are normalised like in Perl's URI module."""
    assert expected == canonical_uri(uri)


def test_changes_run_in_the_order_of_the_plan(folder: ForeignFolder) -> None:
    """A reworked change gets a number, and its earlier script the name of its tag."""
    catalog = folder.read(FILES)
    expected = [
        ("users", "deploy/users@v1.0.sql"),
        ("flips", "deploy/flips.sql"),
        ("lists/main", "deploy/lists/main.sql"),
        ("users#2", "deploy/users.sql"),
        ("later", "deploy/later.sql"),
    ]
    assert expected == [(m.migration_id, m.path) for m in catalog.migrations]


def test_revert_script_is_the_way_back(folder: ForeignFolder) -> None:
    """The revert script is the down script, and verify scripts are ignored."""
    files = make_files(f"a {SIGNED}", a=SQL)
    migration = folder.read_one({**files, "revert/a.sql": "SELECT 2;", "verify/a.sql": "SELECT x;"})
    assert migration.down is not None
    assert ("revert/a.sql", "SELECT 2;") == (migration.down.path, migration.down.text)


def test_configuration_says_where_things_are(folder: ForeignFolder) -> None:
    """The configuration has Git's syntax, and the engine's section overrides [core]."""
    config = (
        "[core]\n\tengine = pg\n  top_dir = a b ; of all\n\textension = ddl\n\tplan_file=x\n"
        '[engine "pg"]\n\tplan_file = "pl\\"a\\"n" # here\n\trevert_dir = un\\\ndo\n[deploy] verify\n'
    )
    files = {
        "sqitch.conf": config,
        'pl"a"n': f"{HEAD}a {SIGNED}\n",
        "a b/deploy/a.ddl": SQL,
        "undo/a.ddl": SQL,
    }
    migration = folder.read_one(files)
    assert migration.down is not None
    assert ("a b/deploy/a.ddl", "undo/a.ddl") == (migration.path, migration.down.path)


@pytest.mark.parametrize(
    ("sql", "transaction", "mode"),
    [
        ("CREATE TABLE t ();SELECT 1;", None, Mode.SHARED),
        ("BEGIN;CREATE TABLE t ();COMMIT;", None, Mode.OWN_TRANSACTION),
        ("BEGIN;\n\nCOMMIT;", None, Mode.OWN_TRANSACTION),
        ("BEGIN;SELECT 1;COMMIT;SELECT 2;", None, Mode.STATEMENTS),
        ("SELECT 1;VACUUM;", False, Mode.STATEMENTS),
        ("BEGIN;SELECT 1;COMMIT;CREATE INDEX CONCURRENTLY i ON t (a);", False, Mode.STATEMENTS),
        ("ALTER TYPE m ADD VALUE 'x';INSERT INTO t VALUES ('x');", False, Mode.STATEMENTS),
        ("BEGIN;ALTER TYPE m ADD VALUE 'x';COMMIT;", None, Mode.OWN_TRANSACTION),
    ],
)
def test_script_commits_where_psql_would_and_it_matters(
    folder: ForeignFolder, sql: str, mode: Mode, *, transaction: bool | None
) -> None:
    """Statements without BEGIN share a transaction unless one of them cannot run in any."""
    up = folder.read_one(make_files(f"a {SIGNED}", a=sql)).up
    assert (transaction, mode) == (up.options.transaction, analyse_script(up).mode)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1,\n :'name'", ":'name'"),
        ('CREATE SCHEMA :"registry"', ':"registry"'),
        ("SELECT :limit + 1", ":limit"),
        ("SELECT a[:'x']", ":'x'"),
        ("SELECT ':x', ':''y', $$ :z $$ -- :c", None),
        ("SELECT a::text, a[1:n], a [x:y], b := 1, a[1:2]", None),
        ("COPY t FROM stdin;\n:x :'y'\n\\.\n", None),
    ],
)
def test_variable_of_psql_is_an_obstacle(
    folder: ForeignFolder, sql: str, expected: str | None
) -> None:
    """A psql variable is refused; casts, slices, strings and COPY data are not mistaken for one."""
    obstacle = folder.read_one(make_files(f"a {SIGNED}", a=sql)).up.obstacle
    why = f"uses the psql variable {expected}, which only psql can fill in"
    assert (None if expected is None else why) == (None if obstacle is None else obstacle.why)


def test_obstacle_names_its_line_where_it_is_to_run(folder: ForeignFolder) -> None:
    """The folder can be read, but running that script is refused."""
    up = folder.read_one(make_files(f"a {SIGNED}", a="SELECT 1;\nSELECT :x;")).up
    with pytest.raises(MigrationFileInvalid, match=r"deploy/a.sql:2: the script uses"):
        analyse_script(up)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((f"-a {SIGNED}",), "sqitch.plan:4 plans to revert a"),
        ((f"b [a] {SIGNED}",), "sqitch.plan:4 requires a, which is not planned above"),
        ((f"a {SIGNED}", f"b [!a] {SIGNED}"), "sqitch.plan:5 conflicts with a"),
        ((f"a [other:b] {SIGNED}",), "sqitch.plan:4 depends on another project: other:b"),
        ((f"a {SIGNED}", f"b [a a] {SIGNED}"), 'sqitch.plan:5 has the dependency "a", which'),
        ((f"a {SIGNED}", f"a {SIGNED}"), "sqitch.plan:5 has a twice without a tag"),
        ((f"@v {SIGNED}",), "sqitch.plan:4 has an invalid tag @v"),
        ((f"a {SIGNED}", f"@v {SIGNED}", f"@v {SIGNED}"), "sqitch.plan:6 has the tag @v twice"),
        ((f"HEAD {SIGNED}",), 'sqitch.plan:4 uses the name "HEAD"'),
        (
            ("a 2026-01-01 P <p@example.com>",),
            "sqitch.plan:4 has a line that is neither a change nor a tag",
        ),
        (("a~2 " + SIGNED,), "sqitch.plan:4 has a line that is neither a change nor a tag"),
        ((f"b {SIGNED}",), "sqitch.plan:4 has the change b, whose script deploy/b.sql is missing"),
        ((), "contains no migrations"),
    ],
)
def test_plan_is_refused_with_its_line(
    folder: ForeignFolder, lines: tuple[str, ...], expected: str
) -> None:
    """A plan that Sqitch or Lockgate cannot follow is refused, with the line if there is one."""
    message = folder.refuse(make_files(*lines, a=SQL))
    assert expected in message


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"deploy/a.sql": SQL}, "sqitch.plan is missing in"),
        ({"sqitch.plan": "%syntax-version=1.0.0\n\n"}, "sqitch.plan:1 has no %project"),
        ({"sqitch.plan": "%project=a:b\n\n"}, 'sqitch.plan:1 has the project "a:b"'),
        (
            {"sqitch.plan": f"%project=x\na {SIGNED}\n"},
            "sqitch.plan:2 has a line that is not a pragma",
        ),
        ({"sqitch.conf": "[core]\nengine = mysql\n"}, "is for the engine mysql"),
        ({"sqitch.conf": "[core]\ntop_dir = ../db\n"}, "sets top_dir to ../db, which is outside"),
        ({"sqitch.conf": "engine = pg\n"}, "sqitch.conf:1 has a line that is not a setting"),
        (
            {"sqitch.conf": "[core]\nengine = pg\n\n= pg\n"},
            "sqitch.conf:4 has a line that is not a setting",
        ),
    ],
)
def test_project_is_refused_with_its_reason(
    folder: ForeignFolder, files: dict[str, str], expected: str
) -> None:
    """A project is refused if it is invalid, for another database, or leaves its folder."""
    assert expected in folder.refuse(files)


def test_registry_gets_the_ids_of_the_plan(folder: ForeignFolder) -> None:
    """Rows get the catalog's ids; other projects are left out, and unplanned changes are unknown."""
    folder.write(FILES)
    rows = (
        ForeignRow(CHANGES[0].change_id, "users", checksum="c", group="flipr"),
        ForeignRow(CHANGES[3].change_id, "users", group="flipr"),
        ForeignRow("0" * 40, "gone", group="flipr"),
        ForeignRow("1" * 40, "users", group="other"),
    )
    completed = complete_history(folder.path, ForeignHistory("sqitch.changes", rows))
    expected = [
        ("users", "c", ForeignState.APPLIED),
        ("users#2", None, ForeignState.APPLIED),
        ("gone", None, ForeignState.UNKNOWN),
    ]
    assert expected == [(row.version, row.checksum, row.state) for row in completed.rows]


def test_registry_stands_in_where_a_script_names_it(folder: ForeignFolder) -> None:
    """A script that names the registry finds it in its schema."""
    catalog = folder.read(make_files(f"a {SIGNED}", a="TABLE sqitch.changes;"))
    assert catalog.stub is not None
    assert "CREATE SCHEMA IF NOT EXISTS sqitch" in catalog.stub.sql


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"sqitch.plan": ""}, "it has sqitch.plan"),
        ({"sqitch.conf": ""}, "it has sqitch.conf"),
        ({"deploy/a.sql": SQL, "revert/a.sql": SQL}, None),
    ],
)
def test_folder_is_recognised_by_its_plan(
    folder: ForeignFolder, files: dict[str, str], expected: str | None
) -> None:
    """A plan or a configuration identifies the folder; folders of scripts do not."""
    assert expected == folder.recognise(files)
