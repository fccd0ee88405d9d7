"""Compare texts and attributes as the cases of the tools need it."""

from __future__ import annotations

import pytest
from tests.formats.kit import ABSENT, Recognised, Refused, describe, fits, look

from lockgate.core.migration import Version
from lockgate.core.transaction_mode import Mode
from lockgate.formats.shared.scripts import make_script, make_versioned


@pytest.mark.parametrize(
    ("expected", "found", "is_fitting"),
    [
        ("a.sql is", "a.sql is", True),
        ("a.sql is", "a_sql is", False),
        ("a.sql is", "a.sql is not", False),
        ("a.sql is…", "a.sql is not\nvalid", True),
        ("…is…", "a.sql is not", True),
        ("…is", "a.sql is not", False),
        ("a…z", "a b", False),
        ("", "a", False),
    ],
)
def test_text_fits_whole_or_around_its_ellipses(
    expected: str, found: str, *, is_fitting: bool
) -> None:
    """Every character counts, except where the expected text has an ellipsis."""
    assert is_fitting is fits(expected, found)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("migration_id", "1"),
        ("up.text", "VACUUM;"),
        ("up.mode", Mode.STATEMENTS),
        ("down", None),
        ("down.text", ABSENT),
        ("up.obstacle.why", ABSENT),
    ],
)
def test_attribute_is_found_by_its_path(path: str, expected: object) -> None:
    """A missing script is distinguished from a value that is None."""
    migration = make_versioned(Version.parse("1"), "", make_script("VACUUM;", "1.sql"), None)
    assert expected == look(migration, path)


def test_case_is_described_by_its_first_text() -> None:
    """A message describes a case, and the names of its files do if it has no text."""
    assert "is refused" == describe(Refused({"a.sql": ""}, "is refused", "Rename it."))
    assert "a.sql, b.sql" == describe(Recognised({"a.sql": "", "b.sql": ""}, None))
