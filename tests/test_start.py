"""What makes a start cheap: compiled methods are taken, and nothing is otherwise."""

from __future__ import annotations

import dataclasses
import gc
import marshal
from typing import TYPE_CHECKING, Any

import pytest

from lockgate import start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import CodeType


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave dataclasses and the collector of this process as they were."""
    monkeypatch.setattr(dataclasses, "exec", exec, raising=False)
    yield
    gc.unfreeze()
    gc.enable()


def make_point() -> type:
    """Make a class anew, as an import does."""

    @dataclasses.dataclass(frozen=True, slots=True)
    class Point:
        """A place."""

        x: int
        y: int = 0

    return Point


def record(monkeypatch: pytest.MonkeyPatch) -> dict[str, CodeType]:
    """Return what dataclasses compiles for the class, by its text."""
    methods: dict[str, CodeType] = {}

    def keep(text: str, names: dict[str, Any], found: dict[str, Any]) -> None:
        methods[text] = compile(text, "<kept>", "exec")
        exec(methods[text], names, found)  # noqa: S102

    with monkeypatch.context() as patched:
        patched.setattr(dataclasses, "exec", keep)
        make_point()
    return methods


def test_class_takes_methods_that_were_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its methods are those of the file, and do what a dataclass's do."""
    file = tmp_path / "methods"
    file.write_bytes(marshal.dumps(record(monkeypatch)))
    monkeypatch.setattr(start, "METHODS", file)

    start.begin()
    point = make_point()

    assert "<kept>" == point.__init__.__code__.co_filename  # type: ignore[misc]
    assert (point(1), "Point(x=1, y=0)") == (point(1, 0), repr(point(1)).rpartition(".")[2])
    with pytest.raises(dataclasses.FrozenInstanceError):
        point(1).x = 2


def test_class_that_is_not_in_the_file_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class that the build has not seen is made as ever."""
    file = tmp_path / "methods"
    file.write_bytes(marshal.dumps({}))
    monkeypatch.setattr(start, "METHODS", file)

    start.begin()

    assert make_point()(1, 2).y == 2


def test_start_without_the_file_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that was not built, or was built for another Python, starts all the same."""
    monkeypatch.setattr(start, "METHODS", tmp_path / "none")

    start.begin()

    assert exec is dataclasses.exec  # type: ignore[attr-defined]


def test_garbage_is_collected_again_after_the_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector rests while modules are imported, and no longer."""
    monkeypatch.setattr(start, "METHODS", start.METHODS.with_name("none"))

    start.begin()
    during = gc.isenabled()
    start.finish()

    assert (False, True) == (during, gc.isenabled())
    assert gc.get_freeze_count() > 0
