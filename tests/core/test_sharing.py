"""What prevents a script from sharing a transaction, from its text alone."""

from __future__ import annotations

import time

import pytest

from lockgate.core.migration import NO_OPTIONS, Language, Script
from lockgate.core.sharing import find_alone_reason, may_replay
from lockgate.core.sql.script import split_statements

# Hundreds of times the duration of a single pass over each text.
_MOST_SECONDS = 5.0


def make_script(sql: str) -> Script:
    """Return an SQL script."""
    return Script(sql, "1.sql", 1, Language.SQL, NO_OPTIONS, "")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("COPY t FROM '/tmp/a' (FREEZE)", "COPY ... FREEZE"),
        (
            "DO $$ BEGIN EXECUTE 'COPY a FROM b; COPY t FROM ''c'' WITH (FREEZE)'; END $$",
            "COPY ... FREEZE",
        ),
        ("DO $$ BEGIN COPY t FROM '/tmp/a'; PERFORM freeze(); END $$", None),
        ("INSERT INTO t VALUES ('lock, copy and unfreeze')", None),
    ],
)
def test_copy_with_freeze_is_found_in_its_own_statement(sql: str, expected: str | None) -> None:
    """FREEZE counts only after COPY in the same statement."""
    assert expected == find_alone_reason(make_script(sql), split_statements(sql))


def test_long_text_with_the_words_of_a_copy_is_gone_through_once() -> None:
    """A long text that contains the words of a COPY is scanned in linear time."""
    text = "you may copy the text and lock it " * 20_000
    sql = f"INSERT INTO t VALUES ('{text}')"
    begun = time.monotonic()
    assert find_alone_reason(make_script(sql), split_statements(sql)) is None
    assert may_replay(make_script(sql))
    assert time.monotonic() - begun < _MOST_SECONDS
