"""The results as one JSON value: the work, the machine, and every sample."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

from benchmarks.peers import PEERS
from benchmarks.row import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.bench import Outcome, Results
    from benchmarks.peer import Peer
    from benchmarks.row import Row

Record = dict[str, Any]
FORMAT = "lockgate/benchmark/v1"


def make_record(
    machine: Mapping[str, str], rows: Sequence[Row], peers: Sequence[Peer], results: Results
) -> Record:
    """Return the value: median milliseconds, peak megabytes, and the milliseconds of every run."""
    measured = {name for outcomes in results.values() for name in outcomes}
    return {
        "format": FORMAT,
        "machine": dict(machine),
        "peers": {peer.name: str(peer.kind) for peer in peers if peer.name in measured},
        "rows": {
            row.name: {
                "title": row.title,
                "peers": {name: _of_outcome(one) for name, one in results[row.name].items()},
            }
            for row in rows
            if row.name in results
        },
    }


def _of_outcome(outcome: Outcome) -> dict[str, Any]:
    if outcome.failed is not None:
        return {"failed": outcome.failed}
    return {
        "ms": round(statistics.median(sample.ms for sample in outcome.samples), 1),
        "mb": max(sample.mb for sample in outcome.samples),
        "round_trips": outcome.turns,
        "samples": [sample.ms for sample in outcome.samples],
    }


def add_to(record: Record, other: Record) -> Record:
    """Merge two records; of rows in both, the second record's are used.

    Both must have been measured on one machine, or their ratios mean nothing.
    """
    known = {**record["rows"], **other["rows"]}
    peers = {**record["peers"], **other["peers"]}
    return {
        **other,
        "peers": {peer.name: peers[peer.name] for peer in PEERS if peer.name in peers},
        "rows": {row.name: known[row.name] for row in ROWS if row.name in known},
    }


def write_record(record: Record, path: Path) -> None:
    """Write a record, with each row of the table on a line or two."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_record(path: Path) -> Record:
    """Return a record that `write_record` wrote."""
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    return record


def find_value(record: Record, row: str, peer: str, field: str = "ms") -> float | None:
    """Return a number of a record; ``None`` if it is missing."""
    found = record["rows"].get(row, {}).get("peers", {}).get(peer, {}).get(field)
    return None if found is None else float(found)


def list_tools(record: Record, row: str, kinds: frozenset[str]) -> Iterator[tuple[str, float]]:
    """Yield the tools of the given kinds that completed a row, with their milliseconds."""
    for peer, kind in record["peers"].items():
        value = find_value(record, row, peer)
        if kind in kinds and value is not None:
            yield peer, value
