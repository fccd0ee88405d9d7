"""Messages of several statements: their text, and the statement to blame for an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Kind, Language, Migration, Options, Script, Version
from lockgate.core.policy import Tls
from lockgate.core.sql.script import split_statements
from lockgate.postgres.server.connection import Connection
from lockgate.postgres.server.dial import Dial
from lockgate.postgres.server.message import (
    MOST_CHARACTERS,
    MOST_MIGRATIONS,
    Blame,
    Message,
    MessagePart,
    MessageWriter,
    find_blame,
    find_results,
)
from lockgate.postgres.server.statement_result import Result, StatementError
from lockgate.postgres.server.tls import make_tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database

COPY = "CREATE TABLE t (a int);\nCOPY t FROM stdin;\n1\n2\n\\.\nCOPY t FROM stdin;\n3\n\\.\nSELECT 4;\n"
RECORD = "SELECT '{}' AS recorded"


def make_migration(version: str, sql: str) -> Migration:
    """Return a migration with one script."""
    script = Script(sql, f"{version}.sql", 1, Language.SQL, Options(), text_checksum(sql))
    return Migration(Version.parse(version), "x", Kind.VERSIONED, script, None)


def add(writer: MessageWriter, migration: Migration) -> None:
    """Add a whole script and its record."""
    script = migration.up
    statements = split_statements(script.sql)
    writer.add_script(migration, script, statements, (0, len(script.sql)))
    record = RECORD.format(migration.migration_id)
    writer.add(MessagePart.RECORD, record, migration=migration)


def write(*scripts: str) -> Message:
    """Return a message with a transaction of migrations 1, 2 and so on."""
    writer = MessageWriter()
    writer.add(MessagePart.CONTROL, "BEGIN")
    for number, sql in enumerate(scripts, 1):
        add(writer, make_migration(str(number), sql))
    writer.add(MessagePart.FENCE, "SELECT 1")
    writer.add(MessagePart.CONTROL, "COMMIT")
    return writer.take()


def results(count: int) -> list[Result]:
    """Return the results of this many statements."""
    return [Result("SELECT 1", ((number,),)) for number in range(count)]


def error(finished: int, position: int | None = None) -> StatementError:
    """Return an error after this many finished statements, with or without a position."""
    fields = {} if position is None else {"P": str(position + 1)}
    return StatementError({"C": "XX000", "M": "no", **fields}, results(finished))


@dataclass(frozen=True, slots=True)
class Place:
    """A blame in short: migration, statement number from 1, and the script from that position on."""

    migration: str
    statement: int | None
    rest: str


def to_place(blame: Blame) -> Place | MessagePart:
    """Return the position that a blame refers to."""
    if blame.piece.script is None or blame.piece.migration is None:
        return blame.piece.part
    assert blame.offset is not None
    rest = blame.piece.script.sql[blame.offset :]
    return Place(blame.piece.migration.migration_id, blame.statement, rest)


# Writing.


def test_script_is_sent_verbatim() -> None:
    """The script is sent unchanged, and an open comment or statement is closed after it."""
    assert (
        "BEGIN;\nSELECT '%s :x ? $1' -- why\n;\nSELECT '1' AS recorded;\nSELECT 1;\nCOMMIT;\n"
    ) == write("SELECT '%s :x ? $1' -- why").text


def test_copy_data_is_kept_beside_the_text() -> None:
    """COPY data is sent by the COPY protocol; neither the data nor its end marker stays in the text."""
    message = write(COPY)
    assert ("1\n2\n", "3\n") == message.copies
    assert (
        "BEGIN;\nCREATE TABLE t (a int);\nCOPY t FROM stdin;\n\n;\n\nCOPY t FROM stdin;\n\n;\n"
        "\nSELECT 4;\n\n;\nSELECT '1' AS recorded;\nSELECT 1;\nCOMMIT;\n"
    ) == message.text


def test_empty_copy_has_its_data_too() -> None:
    """A COPY without rows does not receive the rows of the next COPY."""
    assert ("", "1\n") == write("COPY t FROM stdin;\n\\.\nCOPY u FROM stdin;\n1\n\\.\n").copies


def test_restrict_lines_are_blanked_without_moving_anything() -> None:
    """The restrict lines of pg_dump are blanked, and later offsets remain those of the file."""
    message = write("\\restrict abc\nSELECT 1;")
    assert "restrict" not in message.text
    place = to_place(find_blame(message, error(0, message.text.index("SELECT 1;"))))
    assert Place("1", 1, "SELECT 1;") == place


def test_stretch_of_a_script_is_numbered_from_its_first() -> None:
    """A part of a script keeps the statement numbers and offsets of the whole script."""
    migration = make_migration("1", "SELECT 1; SELECT 2;\nSELECT three;\nSELECT 4;")
    statements = split_statements(migration.up.sql)[1:3]
    writer = MessageWriter()
    span = (statements[0].start, statements[-1].end)
    writer.add_script(migration, migration.up, statements, span, 1)
    message = writer.take()
    assert "SELECT 2;\nSELECT three\n;\n" == message.text
    by_position = to_place(find_blame(message, error(1, message.text.index("three"))))
    assert Place("1", 3, "three;\nSELECT 4;") == by_position
    assert Place("1", 3, "SELECT three;\nSELECT 4;") == to_place(find_blame(message, error(1)))


def test_writer_begins_anew() -> None:
    """After ``take`` the writer is empty, and the next message starts from offset 0."""
    writer = MessageWriter()
    seen = [writer.is_empty]
    add(writer, make_migration("1", COPY))
    seen.append(writer.is_empty)
    writer.take()
    seen.append(writer.is_empty)
    assert [True, False, True] == seen
    add(writer, make_migration("2", "SELECT 1"))
    message = writer.take()
    assert ("SELECT 1\n;\nSELECT '2' AS recorded;\n", ()) == (message.text, message.copies)
    assert [0, 11] == [piece.start for piece in message.pieces]


def test_message_is_full_after_a_hundred_migrations() -> None:
    """The hundredth migration fills a message, and a new message has room again."""
    writer = MessageWriter()
    seen = []
    for number in range(1, MOST_MIGRATIONS + 1):
        add(writer, make_migration(str(number), "SELECT 1"))
        seen.append(writer.is_full)
    writer.take()
    seen.append(writer.is_full)
    assert [False] * 99 + [True, False] == seen


def test_message_is_full_after_a_megabyte() -> None:
    """A long script alone fills a message."""
    writer = MessageWriter()
    writer.add(MessagePart.CONTROL, "x" * (MOST_CHARACTERS - 3))
    is_full_before = writer.is_full
    writer.add(MessagePart.CONTROL, "")
    assert (False, True) == (is_full_before, writer.is_full)


# Blaming.

TWO = ("SELECT one;\n SELECT two;", "/* next */ SELECT three")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("BEGIN", MessagePart.CONTROL),
        ("one", Place("1", 1, "one;\n SELECT two;")),
        ("SELECT two", Place("1", 2, "SELECT two;")),
        ("two", Place("1", 2, "two;")),
        ("'1' AS", MessagePart.RECORD),
        ("next", Place("2", 1, "next */ SELECT three")),
        ("three", Place("2", 1, "three")),
        ("SELECT 1;\nCOMMIT", MessagePart.FENCE),
        ("COMMIT", MessagePart.CONTROL),
    ],
)
def test_position_leads_to_the_statement(word: str, expected: Place | MessagePart) -> None:
    """A position in the message maps to a script or to one of Lockgate's own statements."""
    message = write(*TWO)
    # Regardless of the results so far: the server parses a whole message before it runs any of it.
    for finished in (0, 5):
        found = find_blame(message, error(finished, message.text.index(word)))
        assert expected == to_place(found)


@pytest.mark.parametrize(
    ("finished", "expected"),
    [
        (0, MessagePart.CONTROL),
        (1, Place("1", 1, "SELECT one;\n SELECT two;")),
        (2, Place("1", 2, "SELECT two;")),
        (3, MessagePart.RECORD),
        (4, Place("2", 1, "SELECT three")),
        (5, MessagePart.RECORD),
        (6, MessagePart.FENCE),
        (7, MessagePart.CONTROL),
        (99, MessagePart.CONTROL),
    ],
)
def test_finished_statements_lead_to_the_next(finished: int, expected: Place | MessagePart) -> None:
    """Without a position, the first unfinished statement is blamed."""
    assert expected == to_place(find_blame(write(*TWO), error(finished)))


@pytest.mark.parametrize(
    ("finished", "expected"),
    [
        (1, Place("1", 1, COPY)),
        (2, Place("1", 2, COPY[24:])),
        (3, Place("1", 3, COPY[COPY.rindex("COPY") :])),
        (4, Place("1", 4, "SELECT 4;\n")),
        (5, MessagePart.RECORD),
    ],
)
def test_copy_counts_as_a_statement(finished: int, expected: Place | MessagePart) -> None:
    """Statement numbers continue after COPY data, although the text was cut there."""
    assert expected == to_place(find_blame(write(COPY), error(finished)))


def test_position_after_copy_data_is_that_in_the_file() -> None:
    """The position accounts for the COPY data that was cut out of the message."""
    message = write(COPY)
    found = find_blame(message, error(4, message.text.index("4;")))
    assert Place("1", 4, "4;\n") == to_place(found)


def test_script_without_statements_gives_no_results() -> None:
    """A file of comments counts no results."""
    message = write("-- nothing here", "SELECT 1")
    assert MessagePart.RECORD == to_place(find_blame(message, error(1)))
    assert Place("2", 1, "SELECT 1") == to_place(find_blame(message, error(2)))


def test_records_are_found_among_results() -> None:
    """Each migration gets the result of its own record statement."""
    message = write(COPY, "", "SELECT 1; SELECT 2")
    found = find_results(message, results(20), MessagePart.RECORD)
    assert [("1", 5), ("2", 6), ("3", 9)] == [
        (migration and migration.migration_id, result.rows[0][0]) for migration, result in found
    ]


SCRIPTS = st.lists(
    st.lists(st.sampled_from(["SELECT 1", "TABLE größe", "/* 🐘 */ SELECT ''';'", "CALL p()"])),
    min_size=1,
    max_size=6,
)


@must_reach(several_scripts=30, several_statements=30, empty_script=10)
@given(SCRIPTS)
def test_position_and_count_name_the_same_statement(scripts: list[list[str]]) -> None:
    """For every statement, the position and the count of finished statements lead to the same blame."""
    message = write(*(";\n".join(script) for script in scripts))
    reached("several_scripts", when=len(scripts) > 1)
    reached("several_statements", when=any(len(script) > 1 for script in scripts))
    reached("empty_script", when=[] in scripts)
    finished = 0
    for piece in message.pieces:
        for index, statement in enumerate(piece.statements):
            position = piece.start + statement.start
            by_count = find_blame(message, error(finished + index))
            assert by_count == find_blame(message, error(0, position))
            assert piece is by_count.piece
            assert index + 1 == by_count.statement
        finished += piece.results


# Against a server.


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """Return an open connection."""
    context = make_tls_context(
        Tls.VERIFY_FULL, database.host, ca_file=str(database.ca_file), off_anywhere=False
    )
    opened = Connection(
        Dial(database.host, database.port, 5.0, context),
        user=database.user,
        password=database.password,
        database=database.name,
        application_name="test",
    )
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("scripts", "migration", "statement", "rest"),
    [
        (("SELECT 1;\nSELECT größe;",), "1", 2, "größe;"),
        (("SELECT '🐘🐘', größe",), "1", 1, "größe"),
        (("SELECT 1", "SELECT 2; DO $$ BEGIN RAISE 'no'; END $$; CALL p()"), "2", 2, "DO $$"),
        (("SELECT 1;\nSELEC 2;\nSELECT 3",), "1", 2, "SELEC 2;"),
        (("SELECT 1", "SELECT 1/0"), "2", 1, "SELECT 1/0"),
        (("-- a\n\\restrict x\nSELECT x",), "1", 1, "x"),
        ((COPY + "SELECT nothing;",), "1", 5, "nothing;"),
        ((COPY + "SELECT 1/0;",), "1", 5, "SELECT 1/0;"),
        ((COPY.replace("3\n", "x\n"),), "1", 3, "COPY t FROM stdin;\nx"),
        ((COPY, "TABLE t;" + COPY[24:].replace("2\n", "x\n")), "2", 2, "COPY t FROM stdin;\n1\nx"),
    ],
)
def test_server_error_is_attributed_to_its_statement(
    connection: Connection, scripts: tuple[str, ...], migration: str, statement: int, rest: str
) -> None:
    """With and without a position, and after COPY data, the error is located in the right file."""
    message = write(*scripts)
    with pytest.raises(StatementError) as caught:
        connection.send(message.text, message.copies)
    place = to_place(find_blame(message, caught.value))
    assert isinstance(place, Place)
    assert (migration, statement) == (place.migration, place.statement)
    assert place.rest.startswith(rest)


@pytest.mark.parametrize(
    "script", ["CREATE TABLE t", "CREATE TABLE t\n\n", "SELECT 1; CREATE TABLE t -- x"]
)
def test_error_at_the_end_of_a_script_is_within_it(connection: Connection, script: str) -> None:
    """An error about missing text at the end of a script is located inside the script."""
    message = write(script)
    with pytest.raises(StatementError) as caught:
        connection.send(message.text, message.copies)
    assert "42601" == caught.value.sqlstate
    blame = find_blame(message, caught.value)
    assert blame.offset is not None
    assert blame.offset <= len(script.rstrip())


def test_records_of_a_server_are_found(connection: Connection) -> None:
    """Records are found among the results of COPY, of empty scripts and of queries."""
    message = write(COPY, "-- nothing", "SELECT 1; ; SELECT 2")
    found = find_results(message, connection.send(message.text, message.copies), MessagePart.RECORD)
    assert [("1", (("1",),)), ("2", (("2",),)), ("3", (("3",),))] == [
        (migration and migration.migration_id, result.rows) for migration, result in found
    ]
