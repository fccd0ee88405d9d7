"""Which changes are made of a text."""

from __future__ import annotations

import pytest
from tests.mutants.mutate import find_changes


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a == b", ["a != b"]),
        ("a < b <= c", ["a <= b <= c", "a < b < c"]),
        ("(a) not in (b)", ["(a) in (b)"]),
        ("a and b or c", ["a and b and c", "a or b or c"]),
        ("not a", ["(a)"]),
        ("x = n - 1", ["x = n + 1", "x = n - 2"]),
        ("x = 'a' + b", []),
        ("x = True", ["x = False"]),
        ("x = a if b else c", ["x = a if not (b) else c"]),
        ("if a:\n    f()", ["if not (a):\n    f()", "if a:\n    pass"]),
        ("def f():\n    return a", ["def f():\n    return None"]),
        ("def f():\n    return None", []),
        ("raise a", ["pass"]),
        ("x += y", ["pass"]),
        ("for a in b:\n    continue", ["for a in b:\n    break"]),
        ("é = 'größe' == b", ["é = 'größe' != b"]),
        ("x: Literal[1]", []),
        ('"""A docstring."""', []),
        ("@cache(1)\ndef f(): ...", []),
        ("if TYPE_CHECKING:\n    x = 1", []),
        ("x = f(\n    a\n    + b,\n)", ["x = f(\n    a\n    - b,\n)"]),
    ],
)
def test_changes_of_a_text_are_these(source: str, expected: list[str]) -> None:
    """Each place is changed in each way, one at a time, and the rest of the text stays."""
    changes = find_changes(source)
    assert sorted(expected) == sorted(change.apply(source) for change in changes)


def test_diff_shows_the_changed_line() -> None:
    """A survivor is shown with its file and a line around it."""
    (change,) = find_changes("a\nb == c\nd\n")
    assert ("--- x.py\n+++ x.py\n@@ -1,3 +1,3 @@\n a\n-b == c\n+b != c\n d") == change.diff(
        "a\nb == c\nd\n", "x.py"
    )
