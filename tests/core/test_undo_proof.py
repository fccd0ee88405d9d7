"""The proof required for an automatic undo, decided from values."""

from __future__ import annotations

import pytest

from lockgate.core.undo_facts import (
    ChangedTable,
    DatabaseObject,
    SequencePosition,
    TransactionFacts,
    UndoFacts,
)
from lockgate.core.undo_proof import Unproved, check_end, check_sequences, check_start, find_widened

XID = (7 << 32) + 741
TABLE = DatabaseObject("table", "public.account", "aa", 2, 100, frozenset({5}))
NEW = DatabaseObject("table", "public.orders", "bb", 1, 200, frozenset({741}))
FACTS = UndoFacts(
    {("pg_class", 1): TABLE},
    [
        TransactionFacts(
            ("2", "3"),
            XID,
            ((2, "public.orders"),),
            (
                ChangedTable(2, "public.orders", 200, has_rows=True),
                ChangedTable(1, "public.account", 100, has_rows=True),
            ),
            None,
            (SequencePosition(9, "public.numbers", None),),
        )
    ],
)
NOW = {("pg_class", 1): TABLE, ("pg_class", 2): NEW}


def test_facts_come_back_from_json_as_they_were() -> None:
    """Facts survive the round trip through JSON, except the file numbers of existing tables."""
    read = UndoFacts.from_json(FACTS.to_json())
    assert FACTS.transactions == read.transactions
    assert {
        ("pg_class", 1): DatabaseObject("table", "public.account", "aa", 2, None, frozenset({5}))
    } == (read.before)


def test_database_as_the_run_left_it_is_proved() -> None:
    """An undo is proved if nothing changed since the run."""
    assert check_start(FACTS, NOW, XID + 10) is None
    assert check_end(FACTS.before, {("pg_class", 1): TABLE}) is None
    assert check_sequences(FACTS, {9: None}) is None


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({("pg_class", 2): None}, "no longer exists"),
        (
            {
                ("pg_class", 2): DatabaseObject(
                    "table", "public.orders", "bb", 1, 201, frozenset({741})
                )
            },
            "was rewritten or emptied after it was created",
        ),
        (
            {
                ("pg_class", 2): DatabaseObject(
                    "table", "public.orders", "cc", 1, 200, frozenset({741, 800})
                )
            },
            "was created or changed by another transaction",
        ),
        (
            {
                ("pg_class", 1): DatabaseObject(
                    "table", "public.account", "cc", 3, 100, frozenset({5, 800})
                )
            },
            "was created or changed by another transaction",
        ),
        (
            {
                ("pg_proc", 3): DatabaseObject(
                    "function", "public.f", "dd", None, None, frozenset({800})
                )
            },
            "was created or changed by another transaction",
        ),
    ],
    ids=["gone", "rewritten", "changed", "changed that was there", "new of others"],
)
def test_what_others_did_since_is_found(
    change: dict[tuple[str, int], DatabaseObject | None], found: str
) -> None:
    """An object that another transaction dropped, rewrote, changed or created stops the undo."""
    now = {key: entry for key, entry in {**NOW, **change}.items() if entry is not None}
    unproved = check_start(FACTS, now, XID)
    assert unproved is not None
    assert found == unproved.why


def test_transaction_whose_number_may_be_reused_proves_nothing() -> None:
    """A transaction older than 2^31 numbers proves nothing, because catalogs keep 32 bits."""
    assert Unproved("the run", "is too long ago") == check_start(FACTS, NOW, XID + (1 << 31) + 1)


def test_sequence_that_was_used_is_found() -> None:
    """A sequence that was used stops the undo, because its numbers may be in use."""
    assert Unproved("sequence public.numbers", "was used by others") == check_sequences(
        FACTS, {9: 1}
    )


def test_table_with_more_columns_than_before_is_found() -> None:
    """A column with a higher number than before is new, because numbers are never reused."""
    assert {1: 2} == find_widened(FACTS, [(1, 3), (2, 5)])
    assert {} == find_widened(FACTS, [(1, 2), (2, 5)])
