"""Versions are compared as numbers and shown as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Kind, Language, Migration, Options, Script, Version

GROUPS = st.lists(st.integers(0, 120) | st.integers(0, 10**15), min_size=1, max_size=4)
# Equal, or one is a prefix of the other.
RELATED = st.tuples(GROUPS, st.lists(st.integers(0, 9), max_size=2)).map(
    lambda drawn: (drawn[0], drawn[0] + drawn[1])
)


def make_script(text: str, substituted: str | None = None) -> Script:
    """Return an SQL script without options."""
    checksum = text_checksum(text)
    return Script(text, "0007_x.sql", 1, Language.SQL, Options(), checksum, substituted)


@pytest.mark.parametrize(
    ("one", "other"), [("7", "0007"), ("1.2", "01_002"), ("0", "000"), ("1_0", "1.0")]
)
def test_versions_of_one_number_are_one_version(one: str, other: str) -> None:
    """Leading zeros and the kind of separator do not change a version."""
    assert Version.parse(one) == Version.parse(other)
    assert hash(Version.parse(one)) == hash(Version.parse(other))


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("9", "10"),
        ("0010", "11"),
        ("1", "1.0"),
        ("1.9", "1.10"),
        ("2", "20261122093000"),
        ("1.99", "2"),
    ],
)
def test_versions_are_ordered_as_numbers(lower: str, higher: str) -> None:
    """Versions are compared as numbers, not as text: 9 comes before 10."""
    assert Version.parse(lower) < Version.parse(higher)


@pytest.mark.parametrize(
    "text", ["", "v1", "1.", ".1", "1..2", "1-2", " 1", "1\n", "\u0661", "²", "+1"]
)
def test_text_that_is_not_a_version_is_refused(text: str) -> None:
    """Only groups of ASCII digits are a version; the message quotes the text."""
    with pytest.raises(ValueError, match="is not a version; a version is digits") as caught:
        Version.parse(text)
    assert f'"{text}" is not a version; a version is digits, such as 20261122093000' == str(
        caught.value
    )


@must_reach(several_groups=30, leading_zeros=10)
@given(GROUPS)
def test_version_keeps_its_text(groups: list[int]) -> None:
    """A version is shown as it was written."""
    text = ".".join(f"{group:03}" for group in groups)
    version = Version.parse(text)
    reached("several_groups", when=len(groups) > 1)
    reached("leading_zeros", when=any(group < 100 for group in groups))
    assert (text, tuple(groups)) == (str(version), version.key)


@must_reach(equal=5, less=10, greater=10, prefix=5)
@given(st.one_of(st.tuples(GROUPS, GROUPS), RELATED))
def test_order_of_versions_is_that_of_their_numbers(pair: tuple[list[int], list[int]]) -> None:
    """Any two versions compare like their lists of numbers."""
    one, other = pair
    reached("equal", when=one == other)
    reached("less", when=one < other)
    reached("greater", when=one > other)
    reached("prefix", when=one != other and one == other[: len(one)])
    left = Version.parse("_".join(map(str, one)))
    right = Version.parse(".".join(map(str, other)))
    assert (one < other, one == other) == (left < right, left == right)


@pytest.mark.parametrize(
    ("version", "name", "migration_id", "label"),
    [
        ("0007", "add_orders", "0007", "0007 add_orders"),
        ("7", "", "7", "7"),
        (None, "account_view", "R__account_view", "R__account_view"),
    ],
)
def test_migration_names_itself(
    version: str | None, name: str, migration_id: str, label: str
) -> None:
    """The id is the key in the history; the label is for readers."""
    kind = Kind.REPEATABLE if version is None else Kind.VERSIONED
    parsed = None if version is None else Version.parse(version)
    migration = Migration(parsed, name, kind, make_script("SELECT 1;"), None)
    assert (migration_id, label) == (migration.migration_id, migration.label)
    assert migration.path == "0007_x.sql"


def test_substituted_text_is_sent_and_never_shown() -> None:
    """A variable's value may be a secret, so repr does not contain it."""
    script = make_script("ALTER ROLE app PASSWORD '${pw}';", "ALTER ROLE app PASSWORD 'hush';")
    assert script.sql == "ALTER ROLE app PASSWORD 'hush';"
    assert "hush" not in repr(script)


def test_empty_substitution_is_a_substitution() -> None:
    """An empty text after substitution counts as substituted."""
    assert make_script("${nothing}", "").sql == ""
