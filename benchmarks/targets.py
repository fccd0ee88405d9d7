"""Lockgate's performance targets, as ratios within one record, and whether they are reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.peer import Kind
from benchmarks.record import find_value, list_tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.record import Record

TOOLS = frozenset({kind.value for kind in Kind} - {Kind.OURS, Kind.FLOOR})
INTERPRETED = frozenset({Kind.PYTHON.value, Kind.NODE.value, Kind.JAVA.value, Kind.PERL.value})


@dataclass(frozen=True, slots=True)
class Target:
    """One ratio to stay at or below; ``unit`` is the measured quantity."""

    what: str
    limit: float
    measured: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Whether it is reached."""
        return self.measured <= self.limit


def find_targets(record: Record) -> list[Target]:
    """Return every target for which the record has both numbers."""
    return [*_floors(record), *_peers(record), *_others(record)]


# Lockgate's peer and row, the peer and row to compare with, and the limit of the ratio.
_RATIOS = (
    ("lockgate", "fresh-1000", "psql-1", "fresh-1000", 0.85),
    ("lockgate", "fresh-10000", "psql-each", "fresh-10000", 0.4),
    ("lockgate-each", "fresh-1000", "psql-each", "fresh-1000", 0.85),
    ("lockgate-each", "fresh-1000", "goose", "fresh-1000", 0.85),
    ("lockgate", "nothing-1000", "pg8000-each", "nothing-1000", 1.3),
    ("lockgate", "one", "pg8000-each", "one", 1.3),
    ("lockgate", "nothing-10000", "lockgate", "nothing-1000", 1.5),
    ("lockgate", "outside-4000", "lockgate", "outside-500", 12.0),
    ("lockgate", "far-fresh-1000", "psql-1", "far-fresh-1000", 0.85),
    ("lockgate", "far-fresh-10000", "psql-each", "far-fresh-10000", 0.4),
    ("lockgate-each", "far-fresh-1000", "psql-each", "far-fresh-1000", 0.85),
    ("lockgate-each", "far-fresh-1000", "goose", "far-fresh-1000", 0.85),
    ("lockgate", "far-nothing-1000", "pg8000-each", "far-nothing-1000", 1.3),
    ("lockgate", "far-one", "pg8000-each", "far-one", 1.3),
)


def _floors(record: Record) -> Iterator[Target]:
    for ours, our_row, other, other_row, limit in _RATIOS:
        mine, theirs = find_value(record, our_row, ours), find_value(record, other_row, other)
        if mine is None or theirs is None:
            continue
        against = other if other_row == our_row else record["rows"][other_row]["title"]
        what = f"{record['rows'][our_row]['title']}: {ours} ÷ {against}"
        yield Target(what, limit, mine / theirs)


def _peers(record: Record) -> Iterator[Target]:
    for row, kinds, limit, who in (
        *((row, TOOLS, 1.0, "the quickest tool") for row in ("fresh-1000", "far-fresh-1000")),
        *((row, TOOLS, 0.5, "the quickest tool") for row in ("fresh-10000", "far-fresh-10000")),
        *((row, INTERPRETED, 1.0, "the quickest of Python, Node, Perl and Java")
          for row in record["rows"]),
    ):  # fmt: skip
        ours = find_value(record, row, "lockgate")
        others = sorted(list_tools(record, row, kinds), key=lambda pair: pair[1])
        if ours is not None and others:
            name, value = others[0]
            what = f"{record['rows'][row]['title']}: lockgate ÷ {who} ({name})"
            yield Target(what, limit, ours / value)


def _others(record: Record) -> Iterator[Target]:
    check = find_value(record, "check-10000", "lockgate")
    if check is not None:
        yield Target("10,000 files read and checked, whole process", 1_000, check, " ms")
    memory = find_value(record, "fresh-10000", "lockgate", "mb")
    if memory is not None:
        yield Target("10,000 pending: peak memory", 150, memory, " MB")
