"""Decisions about snapshots: progress, reuse and deletion."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.core.backup import Purpose
from lockgate.core.endpoint import Endpoint
from lockgate.core.snapshot import (
    DATABASE_TAG,
    OLDEST_REUSED,
    RUN_TAG,
    SCHEMA_TAG,
    VERSION_TAG,
    WORK_TAG,
    Snapshot,
    SnapshotProgress,
    find_asked_for,
    find_surplus,
    make_tags,
    name_snapshot,
)

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
PURPOSE = Purpose("feed", Endpoint("db.example", 5432, "shop"), "0007", "up 0009")
TAGS = make_tags(PURPOSE, "lockgate")


def make(name: str, *, minutes: int | None = 5, **fields: object) -> Snapshot:
    """Make a finished snapshot of Lockgate's, this many minutes old; None if RDS gives no time yet."""
    created_at = None if minutes is None else NOW - timedelta(minutes=minutes)
    snapshot = Snapshot(
        f"lockgate-{name}", f"arn:{name}", "available", created_at=created_at, tags=TAGS
    )
    return replace(snapshot, **fields)  # type: ignore[arg-type]


def names(snapshots: list[Snapshot]) -> list[str]:
    """Return the identifiers without their common prefix."""
    return [snapshot.identifier.removeprefix("lockgate-") for snapshot in snapshots]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("available", SnapshotProgress.READY),
        ("creating", SnapshotProgress.WAITED_FOR),
        ("a-state-of-a-later-day", SnapshotProgress.WAITED_FOR),
        ("failed", SnapshotProgress.FAILED),
        ("error", SnapshotProgress.FAILED),
        ("storage-full", SnapshotProgress.FAILED),
        ("incompatible-restore", SnapshotProgress.FAILED),
        ("inaccessible-encryption-credentials", SnapshotProgress.FAILED),
        ("deleting", SnapshotProgress.FAILED),
    ],
)
def test_status_gives_the_progress_of_a_snapshot(status: str, expected: SnapshotProgress) -> None:
    """A status that is neither available nor failed means that the snapshot is still waited for."""
    assert expected == make("a", status=status).progress


def test_name_and_tags_say_run_database_version_and_work() -> None:
    """The work tag depends only on database, schema and goal."""
    assert "lockgate-feed" == name_snapshot("feed")
    assert {
        RUN_TAG: "feed",
        DATABASE_TAG: "shop",
        SCHEMA_TAG: "lockgate",
        VERSION_TAG: "0007",
    } == {key: value for key, value in TAGS.items() if key != WORK_TAG}
    resumed = replace(PURPOSE, run_id="cafe", version="0008")
    others = [
        make_tags(replace(PURPOSE, goal="up 0010"), "lockgate"),
        make_tags(PURPOSE, "ops"),
        make_tags(replace(PURPOSE, endpoint=Endpoint("db.example", 5432, "crm")), "lockgate"),
    ]
    assert TAGS[WORK_TAG] == make_tags(resumed, "lockgate")[WORK_TAG]
    assert 4 == len({TAGS[WORK_TAG], *(tags[WORK_TAG] for tags in others)})


def test_database_without_a_version_is_tagged_none() -> None:
    """A database without a version is tagged none, because an empty tag is invisible in a list."""
    assert "none" == make_tags(replace(PURPOSE, version=None), "lockgate")[VERSION_TAG]


@pytest.mark.parametrize("name", ["a#b", "größe", "x" * 300, "a\tb"])
def test_name_that_does_not_fit_into_a_tag_is_replaced_by_a_digest(name: str) -> None:
    """A name that RDS refuses in a tag is replaced, and a digest keeps it unique."""
    endpoint = Endpoint("db.example", 5432, name)
    other = Endpoint("db.example", 5432, name.replace("#", "$").replace("ö", "ä") + "y")
    tag, another = (
        make_tags(replace(PURPOSE, endpoint=one), "lockgate")[DATABASE_TAG]
        for one in (endpoint, other)
    )
    assert tag != another
    assert len(tag) <= 256
    assert tag.isascii()
    assert tag.isprintable()
    assert "#" not in tag


# Reuse.


def test_newest_snapshot_of_the_same_work_is_gone_on_with() -> None:
    """The newest snapshot of the same work is reused; one without a time was just started."""
    finished, newer = make("a", minutes=9), make("b", minutes=3)
    begun = make("c", minutes=None, status="creating")
    assert newer == find_asked_for([finished, newer], TAGS, NOW)
    assert begun == find_asked_for([begun, finished, newer], TAGS, NOW)


@pytest.mark.parametrize(
    "snapshot",
    [
        make("a", minutes=61),
        make("a", minutes=None),
        make("a", status="failed"),
        make("a", is_manual=False),
        make("a", tags={}),
        make("a", tags={**TAGS, WORK_TAG: "other"}),
        make("a", tags={**TAGS, DATABASE_TAG: "crm"}),
        make("a", tags={**TAGS, SCHEMA_TAG: "ops"}),
        make("a", identifier="nightly-a"),
    ],
)
def test_snapshot_of_anything_else_is_not_gone_on_with(snapshot: Snapshot) -> None:
    """A snapshot that is too old, failed, foreign or for other work is not reused."""
    assert find_asked_for([snapshot], TAGS, NOW) is None


def test_unfinished_snapshot_has_no_age_limit() -> None:
    """A snapshot in progress is reused at any age: a new one would restart the wait."""
    slow = make("a", minutes=600, status="creating")
    assert slow == find_asked_for([slow], TAGS, NOW)
    assert make("a", minutes=60) == find_asked_for([make("a", minutes=60)], TAGS, NOW)
    assert timedelta(hours=1) == OLDEST_REUSED


# Pruning.


def test_newest_ones_stay() -> None:
    """The newest snapshots are kept, and the one just taken always counts among them."""
    listed = [make("old", minutes=90), make("taken", minutes=50), make("new", minutes=30)]
    assert ["old"] == names(find_surplus(listed, TAGS, "lockgate-taken", 2))
    assert ["new", "old"] == names(find_surplus(listed, TAGS, "lockgate-taken", 1))
    assert [] == find_surplus(listed, TAGS, "lockgate-taken", 3)


def test_failed_ones_go_and_begun_ones_stay() -> None:
    """A failed snapshot is deleted, because it restores nothing; one in progress is kept."""
    listed = [make("a", status="failed", minutes=1), make("b", minutes=9)]
    begun = make("c", status="creating", minutes=None)
    assert ["a"] == names(find_surplus([*listed, begun], TAGS, "lockgate-taken", 2))


@pytest.mark.parametrize(
    "foreign",
    [
        make("a", is_manual=False),
        make("a", identifier="nightly-a"),
        make("a", tags={}),
        make("a", tags={key: value for key, value in TAGS.items() if key != RUN_TAG}),
        make("a", tags={**TAGS, DATABASE_TAG: "crm"}),
        make("a", tags={**TAGS, SCHEMA_TAG: "ops"}),
        make("a", tags={}, status="failed"),
    ],
)
def test_snapshots_of_other_origin_are_never_deleted(foreign: Snapshot) -> None:
    """Automated snapshots, foreign ones and those of other databases are never deleted."""
    assert [] == find_surplus([foreign], TAGS, "lockgate-taken", 1)
