"""Fixed defects of the connection, each tested against a real server."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from tests.support.waiting import Background, is_asleep, wait_until

from lockgate.core.failure import ConnectionLost
from lockgate.core.policy import Tls
from lockgate.postgres.server.connection import Connection
from lockgate.postgres.server.dial import Dial
from lockgate.postgres.server.statement_result import StatementError
from lockgate.postgres.server.tls import make_tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database


def open_connection(database: Database, notices: list[dict[str, str]] | None = None) -> Connection:
    """Open a connection the way the product does."""
    context = make_tls_context(
        Tls.VERIFY_FULL, database.host, ca_file=str(database.ca_file), off_anywhere=False
    )
    return Connection(
        Dial(database.host, database.port, 5.0, context),
        user=database.user,
        password=database.password,
        database=database.name,
        application_name="test",
        on_notice=None if notices is None else notices.append,
    )


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """Return an open connection."""
    opened = open_connection(database)
    yield opened
    opened.close()


def test_send_returns_a_result_per_statement(connection: Connection) -> None:
    """A message of several statements returns the tag and the rows of each."""
    results = connection.send("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2); TABLE t; ;")
    assert ["CREATE TABLE", "INSERT 0 2", "SELECT 2"] == [result.tag for result in results]
    assert ((1,), (2,)) == results[2].rows


def test_statement_error_contains_the_results_before_it(connection: Connection) -> None:
    """The error carries the results before it, and the connection stays usable."""
    with pytest.raises(StatementError) as caught:
        connection.send("SELECT 1; SELECT 2; SELECT 1/0; SELECT 3")
    assert ("22012", 2) == (caught.value.sqlstate, len(caught.value.results))
    assert ((1,),) == connection.send("SELECT 1")[0].rows


def test_failure_of_other_work_is_not_a_broken_connection(connection: Connection) -> None:
    """An error raised in ``meanwhile`` propagates, and the next message gets its own answer."""

    def fail() -> None:
        raise PermissionError("not this folder")

    with pytest.raises(PermissionError, match="not this folder"):
        connection.send("SELECT 1; SELECT 1/0", meanwhile=fail)
    assert ((2,),) == connection.send("SELECT 2")[0].rows


def test_interrupt_meanwhile_ends_the_connection(connection: Connection) -> None:
    """An interrupt in ``meanwhile`` closes the connection without waiting for the server."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        connection.send("SELECT 1", meanwhile=interrupt)
    with pytest.raises(ConnectionLost):
        connection.send("SELECT 2")


@pytest.mark.parametrize("is_watched", [False, True])
def test_network_that_fell_silent_is_a_broken_connection(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, *, is_watched: bool
) -> None:
    """The system ends a silent connection after TCP_USER_TIMEOUT, which counts as a lost connection."""
    error = TimeoutError(errno.ETIMEDOUT, "Connection timed out")
    monkeypatch.setattr(connection, "handle_messages", mock.Mock(side_effect=error))
    with pytest.raises(ConnectionLost, match="the connection to the server broke"):
        connection.send("SELECT 1", is_watched=is_watched)


def test_copy_data_is_sent_with_the_message(connection: Connection) -> None:
    """Each COPY in a message receives its own data, in order."""
    results = connection.send(
        "CREATE TABLE t (a int); COPY t FROM STDIN; COPY t FROM STDIN; SELECT sum(a) FROM t",
        ("1\n2\n", "39\n"),
    )
    assert ["CREATE TABLE", "COPY 2", "COPY 1", "SELECT 1"] == [result.tag for result in results]
    assert ((42,),) == results[-1].rows


def test_copy_without_data_fails_and_stays_in_step(connection: Connection) -> None:
    """A COPY FROM STDIN without data fails, and the next message gets its own answer."""
    connection.send("CREATE TABLE t (a int)")
    with pytest.raises(StatementError, match="COPY from stdin failed"):
        connection.send("COPY t FROM STDIN")
    assert ((7,),) == connection.send("SELECT 7")[0].rows


def test_copy_without_data_by_cursor_stays_in_step(connection: Connection) -> None:
    """The same holds for a COPY that is executed through the DB-API cursor, as SQLAlchemy does."""
    connection.send("CREATE TABLE t (a int)")
    connection.autocommit = True
    cursor = connection.cursor()
    with pytest.raises(
        connection.ProgrammingError if False else Exception, match="COPY from stdin"
    ):
        cursor.execute("COPY t FROM STDIN")
    cursor.execute("SELECT 7")
    assert [[7]] == list(cursor.fetchall())


def test_copy_out_is_dropped(connection: Connection) -> None:
    """The unread output of a COPY TO STDOUT does not disturb the next message."""
    connection.send("CREATE TABLE t AS SELECT generate_series(1, 1000) AS a; COPY t TO STDOUT")
    assert ((7,),) == connection.send("SELECT 7")[0].rows


def test_error_of_a_killed_backend_has_its_reason(
    connection: Connection, database: Database
) -> None:
    """The server's termination message reaches the caller instead of a network error."""
    pid = connection.backend_pid
    database.run("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
    with pytest.raises(ConnectionLost) as caught:
        connection.send("SELECT 1")
    assert "57P01" == caught.value.sqlstate


def test_cancel_ends_the_statement_on_the_server(
    connection: Connection, database: Database
) -> None:
    """A cancel request from another thread, over TLS, ends the statement with 57014."""
    sending = Background.start(lambda: connection.send("SELECT pg_sleep(600)"))
    wait_until(lambda: is_asleep(database), "a statement that sleeps")
    connection.cancel(5, lambda: True)
    with pytest.raises(StatementError) as caught:
        sending.result()
    assert "57014" == caught.value.sqlstate


def test_sever_unblocks_a_waiting_thread(connection: Connection, database: Database) -> None:
    """Closing the socket ends a wait that the server would not end."""
    sending = Background.start(lambda: connection.send("SELECT pg_sleep(600)"))
    wait_until(lambda: is_asleep(database), "a statement that sleeps")
    connection.sever()
    with pytest.raises(ConnectionLost):
        sending.result()


def test_notices_come_decoded(database: Database) -> None:
    """A notice reaches its callback immediately, decoded as text."""
    notices: list[dict[str, str]] = []
    connection = open_connection(database, notices)
    connection.send("DO $$ BEGIN RAISE WARNING 'größer'; END $$")
    connection.close()
    assert ["größer"] == [notice["M"] for notice in notices]


def test_close_can_be_repeated(connection: Connection) -> None:
    """Closing twice is harmless, and sending on a closed connection raises ConnectionLost."""
    connection.close()
    connection.close()
    with pytest.raises(ConnectionLost):
        connection.send("SELECT 1")


def test_failed_transaction_rolls_back_after_a_comment(connection: Connection) -> None:
    """A ROLLBACK that follows a comment is not treated as a failure."""
    with pytest.raises(StatementError):
        connection.send("BEGIN; SELECT 1/0")
    assert connection.in_transaction
    connection.send("/* out */ ROLLBACK")
    assert not connection.in_transaction
