"""What one run has compiled, the next one does not compile again."""

from __future__ import annotations

import dataclasses
import marshal
import sys
from typing import TYPE_CHECKING

import pytest

from lockgate.terminal.kept_methods import KeptMethods

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a file that is not there yet; leave dataclasses as it was."""
    monkeypatch.setattr(dataclasses, "exec", exec, raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path / "methods"


def make_point(module: str = "lockgate.point") -> type:
    """Make a class of a module anew, as an import does."""
    names: dict[str, type] = {"__name__": module}  # type: ignore[dict-item]
    source = (
        "import dataclasses\n"
        "@dataclasses.dataclass(frozen=True, slots=True)\n"
        "class Point:\n    x: int\n    y: int = 0\n"
    )
    sys.modules[module] = type(sys)(module)
    vars(sys.modules[module]).update(names)
    try:
        exec(source, vars(sys.modules[module]))  # noqa: S102
        made: type = vars(sys.modules[module])["Point"]
    finally:
        del sys.modules[module]
    return made


def run(file: Path, module: str = "lockgate.point") -> tuple[type, bool]:
    """Make the class as one run does; return it, and whether something of it was compiled."""
    methods = KeptMethods(file)
    methods.hand_out()
    point = make_point(module)
    is_new = bool(methods._new)
    methods.keep()
    return point, is_new


def test_second_run_takes_what_the_first_has_kept(file: Path) -> None:
    """The class is whole either way."""
    first, is_new = run(file)
    second, is_new_again = run(file)
    assert (True, False) == (is_new, is_new_again)
    assert ["Point(x=1, y=0)"] * 2 == [repr(point(1)) for point in (first, second)]
    assert all(point(1) == point(1, 0) and hash(point(1)) for point in (first, second))


def test_classes_of_others_are_not_kept(file: Path) -> None:
    """What a migration or a library defines is nobody's to keep."""
    run(file, "somebody.point")
    assert not file.exists()


@pytest.mark.parametrize("content", [b"", b"\0", b"not it", marshal.dumps(7), marshal.dumps([1])])
def test_broken_file_has_kept_nothing(file: Path, content: bytes) -> None:
    """It is written anew."""
    file.write_bytes(content)
    assert run(file)[1]
    assert not run(file)[1]


def test_nothing_is_written_where_byte_code_is_not(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYTHONDONTWRITEBYTECODE counts, and so does a folder that cannot be written."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    run(file)
    assert not file.exists()
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    run(file.parent / "no-such-folder" / "methods")
    assert not file.parent.joinpath("no-such-folder").exists()
