"""The verdict on an interrupted statement, from the facts in the catalogs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockgate.core.index_shape import IndexShape
from lockgate.core.statement_verdict import (
    CatalogFacts,
    Index,
    RecordedFacts,
    Verdict,
    decide,
    find_other_invalid,
    find_own_indexes,
)
from lockgate.core.verification import Question, Verification

SHAPE = IndexShape(is_unique=False, method="btree", keys=("v",))
VALID = Index(11, "public", "t_v", "t", is_valid=True, shape=SHAPE)
BROKEN = replace(VALID, is_valid=False)
BUILDING = replace(BROKEN, builder=7)
NAMED = Verification(Question.INDEX_BUILT, name="t_v", table="t", shape=SHAPE)
NAMELESS = replace(NAMED, name=None)
NOTHING_THERE = RecordedFacts(table=5)
STOOD_THERE = RecordedFacts(11, 5, frozenset({11}))
EARLIER_BUILD = RecordedFacts(is_recorded=False)


def found(*indexes: Index, table: int | None = 5) -> CatalogFacts:
    """Return catalog facts about the indexes on a table."""
    named = next((one.oid for one in indexes if one.name == "t_v"), None)
    return CatalogFacts(oid=named, table=table, indexes=indexes)


@pytest.mark.parametrize(
    ("question", "found", "before", "verdict"),
    [
        # The statement was not begun.
        (NAMED, found(), None, Verdict.RUN),
        (NAMED, found(VALID), None, Verdict.RUN),
        (NAMED, found(BROKEN), None, Verdict.OCCUPIED),
        (NAMED, found(BUILDING), None, Verdict.WAIT),
        (NAMELESS, found(BROKEN), None, Verdict.RUN),
        # The statement's own index.
        (NAMED, found(), NOTHING_THERE, Verdict.RUN),
        (NAMED, found(VALID), NOTHING_THERE, Verdict.DONE),
        (NAMED, found(BROKEN), NOTHING_THERE, Verdict.CLEAN),
        (NAMED, found(BUILDING), NOTHING_THERE, Verdict.WAIT),
        (NAMED, found(replace(BROKEN, name="lockgate_invalid_11")), NOTHING_THERE, Verdict.CLEAN),
        (NAMELESS, found(replace(VALID, name="t_v_idx")), NOTHING_THERE, Verdict.DONE),
        (NAMELESS, found(replace(BROKEN, name="t_v_idx")), NOTHING_THERE, Verdict.CLEAN),
        (NAMED, found(BROKEN), EARLIER_BUILD, Verdict.CLEAN),
        # Another index.
        (NAMED, found(VALID), STOOD_THERE, Verdict.RUN),
        (NAMED, found(BROKEN), STOOD_THERE, Verdict.OCCUPIED),
        (NAMED, found(replace(VALID, name="other")), NOTHING_THERE, Verdict.RUN),
        (NAMELESS, found(replace(BROKEN, shape=replace(SHAPE, keys=("w",)))), NOTHING_THERE,
         Verdict.RUN),
        (NAMELESS, found(BROKEN), STOOD_THERE, Verdict.RUN),
        (NAMED, found(replace(VALID, shape=replace(SHAPE, is_unique=True))), NOTHING_THERE,
         Verdict.CANNOT_KNOW),
        (NAMELESS, found(VALID), EARLIER_BUILD, Verdict.CANNOT_KNOW),
        # The name is now that of another table, or of none.
        (NAMED, found(VALID, table=6), NOTHING_THERE, Verdict.CANNOT_KNOW),
        (NAMED, found(table=None), NOTHING_THERE, Verdict.CANNOT_KNOW),
    ],
)  # fmt: skip
def test_index_is_recognised_by_its_oid_and_shape(
    question: Verification, found: CatalogFacts, before: RecordedFacts | None, verdict: Verdict
) -> None:
    """A new index of the requested shape is the statement's own: done if valid, else dropped."""
    assert verdict == decide(question, found, before).verdict


def test_invalid_indexes_of_others_are_distinguished_from_those_of_the_statement() -> None:
    """An index that existed before or has another shape is not the statement's; one in progress is."""
    strange = replace(BROKEN, oid=12, name="x")
    seen = found(strange, replace(BUILDING, oid=13), replace(BROKEN, oid=14, name="y"))
    before = RecordedFacts(table=5, indexes=frozenset({12}))
    assert [14, 13] == sorted(
        [one.oid for one in find_own_indexes(NAMELESS, seen, before)], reverse=True
    )
    assert [12] == [one.oid for one in find_other_invalid(NAMELESS, seen, before)]
    assert [12, 14] == [one.oid for one in find_other_invalid(NAMELESS, seen, None)]


def test_leftover_of_a_rebuild_is_recognised_under_any_name() -> None:
    """A copy left by REINDEX belongs to the statement, whatever its name."""
    copy = replace(BROKEN, oid=12, name="t_v_ccnew")
    reindex = Verification(Question.REINDEXED, name="t")
    seen = CatalogFacts(indexes=(BROKEN, copy))
    assert (copy,) == find_own_indexes(reindex, seen, STOOD_THERE)
    assert (BROKEN,) == find_other_invalid(reindex, seen, STOOD_THERE)


def of(question: Question) -> Verification:
    """Return a question about an object named x."""
    return Verification(question, name="x", table="y")


SAME = RecordedFacts(3, 5)


@pytest.mark.parametrize(
    ("question", "found", "before", "verdict"),
    [
        (Question.INDEX_DROPPED, CatalogFacts(oid=3, is_there=True), None, Verdict.RUN),
        (Question.INDEX_DROPPED, CatalogFacts(oid=3, is_there=True), SAME, Verdict.RUN),
        (Question.INDEX_DROPPED, CatalogFacts(), SAME, Verdict.DONE),
        (Question.INDEX_DROPPED, CatalogFacts(oid=4), SAME, Verdict.DONE),
        (Question.INDEX_DROPPED, CatalogFacts(oid=4, is_there=True), SAME, Verdict.CANNOT_KNOW),
        (Question.INDEX_DROPPED, CatalogFacts(is_there=True), SAME, Verdict.CANNOT_KNOW),
        (Question.INDEX_DROPPED, CatalogFacts(), RecordedFacts(), Verdict.RUN),
        (Question.INDEX_DROPPED, CatalogFacts(oid=4), RecordedFacts(), Verdict.CANNOT_KNOW),
        (Question.INDEX_DROPPED, CatalogFacts(), EARLIER_BUILD, Verdict.CANNOT_KNOW),
        (Question.INDEX_DROPPED, CatalogFacts(oid=4), EARLIER_BUILD, Verdict.RUN),
        (Question.DATABASE_GONE, CatalogFacts(), SAME, Verdict.DONE),
        (Question.DATABASE_GONE, CatalogFacts(), EARLIER_BUILD, Verdict.CANNOT_KNOW),
        (Question.TABLESPACE_GONE, CatalogFacts(oid=9, is_there=True), SAME, Verdict.CANNOT_KNOW),
        (Question.DATABASE_THERE, CatalogFacts(), RecordedFacts(), Verdict.RUN),
        (Question.DATABASE_THERE, CatalogFacts(oid=4, is_ours=True), RecordedFacts(), Verdict.DONE),
        (Question.DATABASE_THERE, CatalogFacts(oid=4), RecordedFacts(), Verdict.CANNOT_KNOW),
        (Question.DATABASE_THERE, CatalogFacts(oid=3, is_ours=True), SAME, Verdict.RUN),
        (Question.DATABASE_THERE, CatalogFacts(oid=4, is_ours=True), SAME, Verdict.CANNOT_KNOW),
        (Question.SUBSCRIPTION_THERE, CatalogFacts(oid=4, is_ours=True), EARLIER_BUILD,
         Verdict.CANNOT_KNOW),
        (Question.DETACHED, CatalogFacts(3, 5, is_there=True, is_attached=True), SAME, Verdict.RUN),
        (Question.DETACHED, CatalogFacts(3, 5, is_there=True), SAME, Verdict.DONE),
        (Question.DETACHED, CatalogFacts(None, 5), SAME, Verdict.CANNOT_KNOW),
        (Question.DETACHED, CatalogFacts(9, 5, is_there=True, is_attached=True), SAME,
         Verdict.CANNOT_KNOW),
        (Question.DETACHED, CatalogFacts(3, 5, is_there=True, is_attached=True, is_detaching=True), SAME,
         Verdict.FINALIZE),
        (Question.DETACHED, CatalogFacts(), EARLIER_BUILD, Verdict.CANNOT_KNOW),
        (Question.DETACHED, CatalogFacts(3, 5), EARLIER_BUILD, Verdict.CANNOT_KNOW),
        (Question.REINDEXED, CatalogFacts(indexes=(BROKEN,)), None, Verdict.RUN),
        (Question.REINDEXED, CatalogFacts(indexes=(BROKEN,)), RecordedFacts(), Verdict.CLEAN),
        (Question.REINDEXED, CatalogFacts(indexes=(BUILDING,)), RecordedFacts(), Verdict.WAIT),
        (Question.REINDEXED, CatalogFacts(indexes=(BROKEN,)), STOOD_THERE, Verdict.RUN),
        (Question.REINDEXED, CatalogFacts(indexes=(replace(BROKEN, may_drop=False),)), RecordedFacts(),
         Verdict.RUN),
        (Question.HARMLESS, CatalogFacts(), RecordedFacts(), Verdict.RUN),
        (Question.UNKNOWN, CatalogFacts(), None, Verdict.RUN),
        (Question.UNKNOWN, CatalogFacts(), RecordedFacts(), Verdict.CANNOT_KNOW),
        (Question.AUTHOR, CatalogFacts(is_there=True), RecordedFacts(), Verdict.DONE),
        (Question.AUTHOR, CatalogFacts(), RecordedFacts(), Verdict.RUN),
        (Question.AUTHOR, CatalogFacts(is_there=True), None, Verdict.RUN),
    ],
)  # fmt: skip
def test_answer_decides_what_to_do(
    question: Question, found: CatalogFacts, before: RecordedFacts | None, verdict: Verdict
) -> None:
    """The verdict depends on recorded oids, not on names alone."""
    assert verdict == decide(of(question), found, before).verdict


def test_facts_are_read_as_they_were_recorded() -> None:
    """Facts read from the record equal the facts that were recorded."""
    seen = found(VALID, replace(BROKEN, oid=12))
    assert RecordedFacts(11, 5, frozenset({11, 12})) == RecordedFacts.read(seen.facts(), None)
    assert RecordedFacts(11, None, frozenset({11}), is_recorded=False) == RecordedFacts.read(
        None, 11
    )
