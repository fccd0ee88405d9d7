"""Sort names as JavaScript does; the expected orders come from Node.js."""

from __future__ import annotations

from lockgate.formats.shared.collation import find_undecided, numeric_key, plain_key


def test_plain_order_is_that_of_node() -> None:
    """Punctuation, symbols, digits and letters follow in this order, lower case before upper case."""
    expected = [
        "_a",
        "-a",
        ".a",
        "+a",
        "~a",
        "$a",
        "10",
        "1a",
        "2",
        "a",
        "A",
        "a_b",
        "a1",
        "ab",
        "b",
    ]
    assert sorted(set(expected), key=plain_key) == expected


def test_numeric_order_is_that_of_node() -> None:
    """Digits are compared as numbers, and punctuation is ignored."""
    expected = ["1_9.sql", "1_10.sql", "1_a+b.sql", "1_a~.sql", "1_ab.sql", "1_a.sql", "1_A.sql"]
    assert sorted(set(expected), key=numeric_key) == expected
    assert numeric_key("1_a-b") == numeric_key("01_a b")


def test_undecided_pair_is_found() -> None:
    """Equal keys, or a first difference beyond ASCII, leave the order undecided."""
    assert find_undecided(map(numeric_key, ["1_a", "1_b", "1__b"])) == 1
    assert find_undecided(map(plain_key, ["a", "e", "é"])) == 1
    assert find_undecided(map(plain_key, ["1é", "2", "2é"])) is None
