"""Durations have PostgreSQL's units and are shown in readable form."""

from __future__ import annotations

import pytest

from lockgate.duration import format_duration, parse_duration_ms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("0s", 0),
        ("250ms", 250),
        ("5s", 5_000),
        ("5 s", 5_000),
        ("10min", 600_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        (" 90S ", 90_000),
        ("24d", 24 * 86_400_000),
    ],
)
def test_duration_with_unit_is_read(text: str, expected: int) -> None:
    """Every unit of PostgreSQL is read; case and space do not matter."""
    assert expected == parse_duration_ms(text)


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "-5s", "1.5s", "5m", "5 sec", "5s 3ms", "\N{ARABIC-INDIC DIGIT FIVE}s", "5\ns"],
)
def test_duration_in_other_form_is_refused(text: str) -> None:
    """A bare number, a sign, a fraction, an unknown unit or a non-ASCII digit is refused."""
    with pytest.raises(
        ValueError, match=r"is not a duration; write a number with ms, s, min, h or d: 5s"
    ):
        parse_duration_ms(text)


@pytest.mark.parametrize("text", ["25d", "999999999999s"])
def test_duration_beyond_postgresqls_range_is_refused(text: str) -> None:
    """A duration that PostgreSQL cannot store is refused."""
    with pytest.raises(ValueError, match=rf'"{text}" is too long; PostgreSQL takes at most 24d'):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (0, "0 ms"),
        (84.4, "84 ms"),
        (1_900, "1.9 s"),
        (59_949, "59.9 s"),
        (60_000, "1 min 0 s"),
        (185_000, "3 min 5 s"),
        (7_200_000, "120 min 0 s"),
    ],
)
def test_duration_for_people_has_two_figures_at_most(milliseconds: float, expected: str) -> None:
    """Durations are shown in milliseconds, tenths of seconds, or minutes and seconds."""
    assert expected == format_duration(milliseconds)
