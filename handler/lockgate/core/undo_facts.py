"""What a run records about its changes, so that a later undo can be proved safe; to and from JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import field
from typing import Any

from lockgate.fast_start.dataclass import dataclass

# The catalog of an object and its oid, which together identify it in a database.
ObjectKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class DatabaseObject:
    """An object of the database. Only relations have ``columns`` and ``filenode``.

    ``written_by`` are the transactions (32 bits) that wrote its rows in the catalogs.
    """

    kind: str
    label: str
    digest: str
    columns: int | None = None
    filenode: int | None = None
    written_by: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """The object's name in messages."""
        return f"{self.kind} {self.label}"


Description = dict[ObjectKey, DatabaseObject]


def read_description(text: str) -> Description:
    """Read the result of `postgres.apply.description.description_sql`."""
    return {
        (cls, oid): DatabaseObject(
            kind, label, digest, columns, filenode, frozenset(filter(None, writers))
        )
        for cls, oid, kind, label, digest, columns, filenode, writers in json.loads(text)
    }


@dataclass(frozen=True, slots=True)
class ChangedTable:
    """A table or materialized view that a transaction created or altered.

    ``has_rows``: it contains rows; a partitioned table has none itself.
    """

    oid: int
    label: str
    filenode: int
    has_rows: bool


@dataclass(frozen=True, slots=True)
class SequencePosition:
    """The position of a sequence that a transaction created or altered; ``None``: it was never used."""

    oid: int
    label: str
    last: int | None


@dataclass(frozen=True, slots=True)
class TransactionFacts:
    """What one transaction did, as observed before its COMMIT.

    ``written`` are the tables in which it wrote rows. ``blind`` is the first thing whose effects cannot
    be observed, such as a foreign table, or ``None``.
    """

    migrations: tuple[str, ...]
    xid: int
    written: tuple[tuple[int, str], ...] = ()
    made: tuple[ChangedTable, ...] = ()
    blind: str | None = None
    sequences: tuple[SequencePosition, ...] = ()


@dataclass(frozen=True, slots=True)
class UndoFacts:
    """The database before a run's first change, and what each of its transactions did."""

    before: Description
    transactions: list[TransactionFacts] = field(default_factory=list)

    def to_json(self) -> str:
        """Return the JSON that the run's row stores."""
        before = [
            [*key, entry.kind, entry.label, entry.digest, entry.columns, sorted(entry.written_by)]
            for key, entry in self.before.items()
        ]
        transactions = [
            [
                one.migrations,
                one.xid,
                one.written,
                [dataclasses.astuple(made) for made in one.made],
                one.blind,
                [dataclasses.astuple(place) for place in one.sequences],
            ]
            for one in self.transactions
        ]
        return json.dumps({"before": before, "transactions": transactions})

    @classmethod
    def from_json(cls, text: str) -> UndoFacts:
        """Read the result of `to_json`."""
        kept: dict[str, Any] = json.loads(text)
        before = {
            (of, oid): DatabaseObject(kind, label, digest, columns, written_by=frozenset(writers))
            for of, oid, kind, label, digest, columns, writers in kept["before"]
        }
        transactions = [
            TransactionFacts(
                tuple(migrations),
                xid,
                tuple((oid, label) for oid, label in written),
                tuple(ChangedTable(*made) for made in mades),
                blind,
                tuple(SequencePosition(*place) for place in places),
            )
            for migrations, xid, written, mades, blind, places in kept["transactions"]
        ]
        return cls(before, transactions)


def read_transaction(migrations: tuple[str, ...], begin: str, end: str) -> TransactionFacts:
    """Return the facts of a transaction from the queries of `postgres.apply.undo_facts`."""
    counts: dict[str, int] = json.loads(begin)["counts"]
    seen: dict[str, Any] = json.loads(end)
    blind: str | None = seen["blind"]
    if "off" in {json.loads(begin)["track_counts"], seen["track_counts"]}:
        blind = "track_counts is off, so changed rows are not counted"
    written = tuple(
        (oid, label) for oid, label, count in seen["written"] if count != counts.get(str(oid), 0)
    )
    made = tuple(ChangedTable(*one) for one in seen["made"])
    places = tuple(SequencePosition(*one) for one in seen["sequences"])
    return TransactionFacts(migrations, int(seen["xid"]), written, made, blind, places)
