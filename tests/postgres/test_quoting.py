"""Quoted literals and identifiers, read back from a real server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.postgres.quoting import quote_identifier, quote_literal

if TYPE_CHECKING:
    import pg8000.native
    from tests.support.database import Database

NASTY = [
    "",
    "'",
    "''",
    "\\",
    "\\'",
    "'\\",
    "\\\\'; DROP TABLE t; --",
    "'; DROP TABLE t; --",
    "E'\\'",
    "$$x$$ $tag$",
    "%s %% {x} :name ? $1",
    '"quoted"',
    "\n\r\t\x01\x08\x0b\x7f",
    "\\n \\x41 \\101 \\u0041 \\U00000041",
    "größe 🐘 \u2028 \ufeff \uffff",
    "-- /* */ ;",
    " leading and trailing ",
]
# Valid text in PostgreSQL with UTF-8: no NUL, no lone surrogate.
TEXTS = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SPECIAL = st.one_of(TEXTS, st.text(alphabet="'\\\"$aé\n", max_size=8))


@pytest.fixture(params=["on", "off"])
def connection(database: Database, request: pytest.FixtureRequest) -> pg8000.native.Connection:
    """Return a connection for each value of standard_conforming_strings."""
    opened = database.connect()
    opened.run(f"SET standard_conforming_strings = {request.param}")
    # With "off" the server warns about every backslash, which does not matter here.
    opened.run("SET escape_string_warning = off")
    return opened


def test_quoted_text_is_read_back_unchanged(connection: pg8000.native.Connection) -> None:
    """Difficult texts are unchanged by a round trip, under either string setting."""
    literals = ", ".join(quote_literal(text) for text in NASTY)
    assert NASTY == connection.run(f"SELECT ARRAY[{literals}]")[0][0]


def test_any_quoted_text_is_read_back_unchanged(connection: pg8000.native.Connection) -> None:
    """Any text is unchanged by a round trip, also in two adjacent literals."""

    @must_reach(quote=5, backslash=5)
    @given(SPECIAL, SPECIAL)
    def send(one: str, other: str) -> None:
        reached("quote", when="'" in one + other)
        reached("backslash", when="\\" in one + other)
        sql = f"SELECT {quote_literal(one)},{quote_literal(other)}"
        assert [[one, other]] == connection.run(sql)

    send()


def test_quoted_identifier_is_read_back_unchanged(connection: pg8000.native.Connection) -> None:
    """Difficult identifiers are unchanged by a round trip; PostgreSQL has no empty identifier."""
    names = [text for text in NASTY if text]
    columns = ", ".join(f"1 AS {quote_identifier(name)}" for name in names)
    connection.run(f"SELECT {columns}")
    assert connection.columns is not None
    assert names == [column["name"] for column in connection.columns]


def test_values_of_other_types_come_back(connection: pg8000.native.Connection) -> None:
    """Numbers, booleans and NULL keep their type."""
    values = [0, -1, 2**63 - 1, True, False, None]
    literals = ", ".join(quote_literal(value) for value in values)
    assert values == connection.run(f"SELECT {literals}")[0]


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 22, 10, 2, 11, 123456, UTC),
        datetime(2026, 11, 22, 10, 2, 11, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
        datetime(1, 1, 1, tzinfo=UTC),
    ],
)
def test_quoted_time_is_read_back_unchanged(
    connection: pg8000.native.Connection, moment: datetime
) -> None:
    """A timestamp denotes the same moment in any session time zone."""
    connection.run("SET TIME ZONE 'Asia/Kathmandu'")
    sql = f"SELECT extract(epoch FROM {quote_literal(moment)}::timestamptz)::float8"
    assert moment.timestamp() == connection.run(sql)[0][0]


def test_true_is_not_quoted_as_a_number() -> None:
    """A Python bool is quoted as a boolean, although it is an int."""
    assert ("true", "false", "1", "NULL") == tuple(map(quote_literal, (True, False, 1, None)))
