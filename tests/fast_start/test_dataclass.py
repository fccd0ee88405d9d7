"""Lockgate's dataclass behaves like the standard library's; tests compare the two."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import field
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorate = Callable[[type], type]


def make_place(decorate: Decorate) -> Any:
    """Make a class with every kind of field that the package uses."""

    @decorate
    class Place:
        """A place."""

        x: int
        y: int = 0
        note: str = field(default="", repr=False, compare=False)
        seen: list[int] = field(default_factory=list)
        count: int = field(default=7, init=False)

        @property
        def total(self) -> int:
            """The sum of both."""
            return self.x + self.y

    return Place


OURS = make_place(dataclass(slots=True, frozen=True))
THEIRS = make_place(dataclasses.dataclass(slots=True, frozen=True))
KINDS = pytest.mark.parametrize("kind", [OURS, THEIRS], ids=["ours", "theirs"])


@dataclass(slots=True, frozen=True)
class Named:
    """A class that pickle can find by name."""

    name: str
    tags: tuple[str, ...] = ()
    note: str = field(default="", compare=False)


@KINDS
def test_value_has_the_given_fields(kind: Any) -> None:
    """Fields are set by position, name or default; a factory makes a new value each time."""
    one, other = kind(1, note="n"), kind(x=1, y=2, seen=[3])

    assert (1, 0, "n", [], 7) == (one.x, one.y, one.note, one.seen, one.count)
    assert (1, 2, "", [3], 3) == (other.x, other.y, other.note, other.seen, other.total)
    assert one.seen is not kind(1).seen


@KINDS
def test_value_is_shown_by_its_fields(kind: Any) -> None:
    """The repr shows the fields, except those with repr=False."""
    assert "make_place.<locals>.Place(x=1, y=2, seen=[], count=7)" == repr(kind(1, 2, "secret"))


@KINDS
def test_values_are_equal_by_their_compared_fields(kind: Any) -> None:
    """Values are equal if their compared fields are equal and their class is the same."""
    assert kind(1, note="a") == kind(1, note="b")
    assert kind(1) != kind(2)
    assert kind(1) != (OURS if kind is THEIRS else THEIRS)(1)
    assert kind(1).__eq__("1") is NotImplemented


@KINDS
def test_frozen_value_is_not_changed(kind: Any) -> None:
    """Fields of a frozen value cannot be set, deleted or added."""
    value = kind(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"^cannot assign to field 'x'$"):
        value.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"^cannot delete field 'x'$"):
        del value.x
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        value.z = 2
    assert (1, False) == (value.x, hasattr(value, "__dict__"))


@KINDS
@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing 1 required positional argument: 'x'"),
        ((1, 2, "", [], 9, 9), {}, "positional arguments but"),
        ((1,), {"x": 1}, "got multiple values for argument 'x'"),
        ((1,), {"z": 1}, "got an unexpected keyword argument 'z'"),
        ((1,), {"count": 1}, "got an unexpected keyword argument 'count'"),
    ],
)
def test_wrong_arguments_are_refused(
    kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any], said: str
) -> None:
    """Wrong arguments raise a TypeError like that of a function."""
    with pytest.raises(TypeError, match=said):
        kind(*args, **kwargs)


@KINDS
def test_value_works_with_what_the_standard_library_has_for_dataclasses(kind: Any) -> None:
    """The functions replace, asdict and fields work, and so does a match statement."""
    value = kind(1, 2, "n", [3])
    changed = dataclasses.replace(value, y=5)
    match changed:
        case kind(1, y=5):
            matched = True
        case _:
            matched = False

    assert {"x": 1, "y": 2, "note": "n", "seen": [3], "count": 7} == dataclasses.asdict(value)
    assert ((1, 5, "n"), True) == ((changed.x, changed.y, changed.note), matched)
    assert ("x", "y", "note", "seen", "count") == tuple(f.name for f in dataclasses.fields(kind))
    assert dataclasses.is_dataclass(kind)


def test_copies_are_equal_and_apart() -> None:
    """Copies, deep copies and pickles are equal to the original."""
    value = OURS(1, seen=[[1]])
    deep = copy.deepcopy(value)
    named = Named("a", ("b",))

    assert (value, True) == (deep, deep.seen[0] is not value.seen[0])
    assert (value, True) == (copy.copy(value), copy.copy(value).seen is value.seen)
    assert named == pickle.loads(pickle.dumps(named))  # noqa: S301 - pickled by this test


def test_hash_is_of_the_compared_fields() -> None:
    """Equal values have the same hash, and a mutable value has none."""

    @dataclass(slots=True)
    class Changing:
        """A mutable class."""

        x: int

    value = Changing(1)
    value.x = 2
    assert {Named("a", note="x"): 1}[Named("a", note="y")] == 1
    assert (2, Changing(2)) == (value.x, value)
    with pytest.raises(TypeError, match="unhashable"):
        hash(value)


def test_methods_of_a_class_are_its_own() -> None:
    """A class keeps its own methods, and __post_init__ is called."""

    @dataclass(slots=True)
    class Own:
        """A class with its own repr."""

        x: int
        doubled: int = field(init=False, default=0)

        def __post_init__(self) -> None:
            self.doubled = 2 * self.x

        def __repr__(self) -> str:
            return "own"

    assert (6, "own") == (Own(3).doubled, repr(Own(3)))


def test_class_without_fields_has_equal_values() -> None:
    """All values of a class without fields are equal."""

    @dataclass(slots=True, frozen=True)
    class Empty:
        """A class without fields."""

    assert (Empty(), "Empty()") == (Empty(), repr(Empty()).rpartition(".")[2])
    assert hash(Empty()) == hash(Empty())


def test_order_is_by_the_fields_in_their_order() -> None:
    """With order=True, values are ordered by their fields, and only within their class."""

    @dataclass(slots=True, frozen=True, order=True)
    class Ranked:
        """An ordered class."""

        major: int
        minor: int

    low, high = Ranked(1, 9), Ranked(2, 0)
    assert [low, high] == sorted([high, low])
    assert (True, True, False, True) == (low < high, low <= high, low > high, high >= low)
    with pytest.raises(TypeError, match="not supported"):
        assert low < (1, 9)  # type: ignore[operator]
    with pytest.raises(TypeError, match="not supported"):
        assert OURS(1) < OURS(2)


def test_fields_can_have_any_names() -> None:
    """A field may have any name, even one like set_role."""

    @dataclass(slots=True, frozen=True)
    class Role:
        """Names with a common part."""

        set_role: str | None
        role: str
        default_role: str = "d"
        make_role: list[int] = field(default_factory=list)

    value = Role(None, "r")
    assert (None, "r", "d", []) == (value.set_role, value.role, value.default_role, value.make_role)


def test_unsupported_option_is_refused() -> None:
    """Unsupported options are refused when the class is defined."""
    with pytest.raises(TypeError, match="kw_only and hash are not supported"):

        @dataclass(slots=True)
        class _Named:
            x: int = field(kw_only=True)


def test_class_that_compares_by_itself_has_a_hash() -> None:
    """A class with its own __eq__ gets a hash of its fields, as in the standard library."""

    @dataclass(slots=True, frozen=True)
    class Loose:  # noqa: PLW1641 - its generated hash is tested
        """Equal if the integer parts are equal."""

        x: float

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Loose) and int(self.x) == int(other.x)

    assert (True, hash(Loose(1))) == (Loose(1.2) == Loose(1.7), hash(Loose(1)))
