"""Parse and format durations such as ``5s`` and ``10min``."""

from __future__ import annotations

import re

_UNITS_MS = {
    "ms": 1,
    "s": 1_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
}
_DURATION = re.compile(r"([0-9]{1,12}) *([a-z]+)")
# PostgreSQL keeps its timeouts in 32 bits.
_LONGEST_MS = 2**31 - 1


def parse_duration_ms(text: str) -> int:
    """Return the milliseconds of a duration such as ``5s``, ``10min`` or ``0``.

    The units are PostgreSQL's (manual, section 19.1.1): ms, s, min, h, d. A bare number other than
    0 is refused, since PostgreSQL would read it as milliseconds and a person as seconds.

    Raises:
        ValueError: the text is not a duration, or longer than PostgreSQL's 24 days; the message says
            what is accepted.
    """
    stripped = text.strip().lower()
    if stripped == "0":
        return 0
    match = _DURATION.fullmatch(stripped)
    if match is None or match[2] not in _UNITS_MS:
        raise ValueError(f'"{text}" is not a duration; write a number with ms, s, min, h or d: 5s')
    milliseconds = int(match[1]) * _UNITS_MS[match[2]]
    if milliseconds > _LONGEST_MS:
        raise ValueError(f'"{text}" is too long; PostgreSQL takes at most 24d')
    return milliseconds


def format_duration(milliseconds: float) -> str:
    """Format a duration for people: ``84 ms``, ``1.9 s``, ``3 min 5 s``."""
    if milliseconds < _UNITS_MS["s"]:
        return f"{round(milliseconds)} ms"
    if milliseconds < _UNITS_MS["min"]:
        return f"{milliseconds / 1_000:.1f} s"
    minutes, seconds = divmod(round(milliseconds / 1_000), 60)
    return f"{minutes} min {seconds} s"
