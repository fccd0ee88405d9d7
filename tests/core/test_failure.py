"""Failure messages are complete, name the position, and contain no row data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.core.failure import (
    Blocker,
    Failure,
    StepFailed,
    make_excerpt,
    mask,
    without_row_data,
)

HOLDER = Blocker(4711, "app", "reporting", "idle in transaction", 75.6, "SELECT ?")
PLACES = st.integers(min_value=1, max_value=300)


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (Failure("0012 add_email", "it broke"), "Migration 0012 add_email failed: it broke."),
        (
            Failure(
                migration="0012 add_email",
                message='column "email" already exists',
                sqlstate="42701",
                statement=3,
                file="0012_add_email.sql",
                line=14,
                column=5,
            ),
            (
                'Statement 3 of migration 0012 add_email failed: column "email" already exists (42701).'
                " 0012_add_email.sql:14:5."
            ),
        ),
        (
            Failure("7 fill", "x" * 9_000, sqlstate="P0001", file="7_fill.sql", line=4, column=1),
            f"Migration 7 fill failed: {'x' * 2_000}… (P0001). 7_fill.sql:4:1.",
        ),
        (
            Failure("7 fill", "KeyError: 'x'", file="7_fill.py", line=4),
            "Migration 7 fill failed: KeyError: 'x'. 7_fill.py:4.",
        ),
        (
            Failure("7 x", "canceled", sqlstate="55P03", blockers=(HOLDER,)),
            (
                "Migration 7 x failed: canceled (55P03). It waited for pid 4711 of app (reporting), idle"
                " in transaction for 76 s."
            ),
        ),
        (
            Failure("7 x", "canceled", blockers=(Blocker(1, None, None, None, None, None), HOLDER)),
            (
                "Migration 7 x failed: canceled. It waited for pid 1 and pid 4711 of app (reporting),"
                " idle in transaction for 76 s."
            ),
        ),
    ],
)
def test_failure_is_described_in_one_or_two_sentences(failure: Failure, text: str) -> None:
    """The message states what failed, why, where and which session blocked it, as far as known."""
    assert text == failure.describe()
    assert text == str(StepFailed(failure))


# PostgreSQL's messages about a value that does not fit, in several languages.
@pytest.mark.parametrize(
    "message",
    [
        'invalid input syntax for type integer: "hush"',
        'invalid input syntax for type integer: "hush" hush"',
        'invalid input syntax for type integer: "hush\nhush"',
        'invalid input value for enum mood: "hush"',
        'value "hush" is out of range for type "hush"',
        "ungültige Eingabesyntax für Typ integer: »hush«",
        "syntaxe en entrée invalide pour le type integer : « hush »",
        'ungültige Eingabesyntax für Typ integer: »"hush" hush«',
        "integer型の入力構文が不正です: “hush”",
    ],
)
def test_value_of_a_data_exception_is_hidden(message: str) -> None:
    """Messages of class 22 quote the rejected value, which is row data, so it is masked."""
    shown = without_row_data("22P02", message)
    assert "hush" not in shown
    assert "…" in shown
    assert shown.split(" ", 1)[0] == message.split(" ", 1)[0]


@pytest.mark.parametrize(
    ("sqlstate", "message"),
    [
        ("42701", 'column "email" of relation "account" already exists'),
        ("23505", 'duplicate key value violates unique constraint "account_pkey"'),
        ("22012", "division by zero"),
    ],
)
def test_names_are_shown(sqlstate: str, message: str) -> None:
    """Names quoted in messages of other classes are shown; a message without quotes is unchanged."""
    assert message == without_row_data(sqlstate, message)


@must_reach(quote=5, newline=5)
@given(st.one_of(st.text(), st.text("\"'\n\\a:", min_size=1)))
def test_no_value_gets_out_of_its_quotes(value: str) -> None:
    """A value is masked completely, whatever it contains, including quotes and newlines."""
    reached("quote", when='"' in value)
    reached("newline", when="\n" in value)
    assert 'invalid: "…"' == without_row_data("22P02", f'invalid: "{value}"')


@pytest.mark.parametrize(
    ("text", "line", "column", "excerpt"),
    [
        ("SELECT nothing;", 1, 8, "SELECT nothing;\n       ^"),
        ("SELECT 1;\r\n  SELECT x;\r\n", 2, 10, "  SELECT x;\n         ^"),
        ("SELECT 1;\r  SELECT x;", 2, 10, "  SELECT x;\n         ^"),
        ("a;\r\n\r\nb", 3, 1, "b\n^"),
        ("\tSELECT\tx;", 1, 9, " SELECT x;\n        ^"),
        ("SELECT 'größer', x;", 1, 18, "SELECT 'größer', x;\n                 ^"),
        ("SELECT '🐘', x;", 1, 13, "SELECT '🐘', x;\n            ^"),
        ("a\u2028b\x0cc\x85d", 1, 7, "a\u2028b\x0cc\x85d\n      ^"),
        ("SELECT", 1, 7, "SELECT\n      ^"),
        ("SELECT", 2, 1, "\n^"),
        ("", 1, 1, "\n^"),
    ],
)
def test_excerpt_points_at_the_place(text: str, line: int, column: int, excerpt: str) -> None:
    """The caret is under the column, with any line ending and any character before it."""
    assert excerpt == make_excerpt(text, line, column)


@pytest.mark.parametrize(
    ("column", "shown", "caret"),
    [
        (1, "x" * 100, 0),
        (51, "x" * 100, 50),
        (52, "x" * 100, 50),
        (102, "x" * 99 + "y", 50),
        (151, "x" * 50 + "y" * 50, 50),
        (300, "y" * 51, 50),
    ],
)
def test_excerpt_of_a_long_line_is_a_window(column: int, shown: str, caret: int) -> None:
    """An excerpt of a long line is a window of 100 characters around the position."""
    line = "x" * 150 + "y" * 150
    expected = f"{shown}\n{' ' * caret}^"
    assert expected == make_excerpt(line, 1, column)


LINES = st.text(alphabet=st.characters(exclude_characters="\r\n"), max_size=300)
LONG_LINES = st.builds(lambda line, times: f"{line}x" * times, LINES, st.integers(101, 300))


@must_reach(long_line=20, place_in_the_line=10, place_beyond=10)
@given(st.one_of(LINES, LONG_LINES), PLACES, PLACES)
def test_excerpt_is_two_lines_and_short(text: str, line: int, column: int) -> None:
    """The excerpt has at most 100 characters, and the caret is under the character of the position."""
    shown, caret = make_excerpt("\n" * (line - 1) + text, line, column).split("\n")
    assert len(shown) <= 100
    place = len(caret) - 1
    assert caret == " " * place + "^"
    reached("long_line", when=len(text) > 100)
    reached("place_in_the_line", when=column <= len(text))
    reached("place_beyond", when=column > len(text))
    if column <= len(text):
        assert text.replace("\t", " ")[column - 1] == shown[place]


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ('syntax error at or near "hunter2"', 'syntax error at or near "…"'),
        ('role "HUNTER2" already exists', 'role "…" already exists'),
        ('syntax error at or near "hunter2\'; DROP"', 'syntax error at or near "…\'; DROP"'),
        ('syntax error at or near "unte"', 'syntax error at or near "…"'),
        ("Syntaxfehler bei „hunte“", "Syntaxfehler bei „…“"),
        ("psql meta-command unter is not SQL", "psql meta-command … is not SQL"),
        ('column "id" of "account" is missing', 'column "id" of "account" is missing'),
        ("x1 is no 1, it is [a.b]", "x1 is no …, it is …"),
    ],
)
def test_hidden_values_are_masked(message: str, masked: str) -> None:
    """Hidden values are masked in any case and in parts; short values only as whole words."""
    assert masked == mask(message, ("hunter", "1", "[a.b]", "hunter2"))


def test_nothing_hidden_masks_nothing() -> None:
    """With no hidden values, or an empty one, the message is unchanged."""
    assert ["abc", "abc"] == [mask("abc", ()), mask("abc", ("",))]
