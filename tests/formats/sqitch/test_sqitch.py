"""Read Sqitch's plans, and scripts that only psql understands."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.formats.sqitch.cases import FILES, PLAN, SIGNED, make_files
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

# The expected changes below are those of Sqitch 1.3.1.
CHANGES = (
    Change("users", "f40993f3165907527f0b93c55e2f5f00217b1ae8", 5, rework_tags=("v1.0",)),
    Change("flips", "10d01e5b74262e91223a841346ea755138ee1d8a", 6),
    Change("lists/main", "78068ef90ea3f0cdffe0c67e1752ba2a0637f743", 7, tags=("v1.0",)),
    Change("users", "29d0a1384dbdc7af95da4b7cc3a021404da1a01a", 10, number=2),
    Change("later", "02542ada8e2506b4f4a1707b554abe20b6f03316", 11),
)


@pytest.fixture
def folder(tmp_path: Path) -> ForeignFolder:
    """Give an empty Sqitch folder."""
    return ForeignFolder(tmp_path / "project", "sqitch")


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
