"""The package as Lambda gets it, and a Python with the packages that Lambda provides.

Both use the function's Python version, whichever version runs the tests. They are cached (`cache`).
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.build import BuildFailed, Recipe
from tests.support.cache import ROOT, list_contents, make_once

from infra import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MIGRATIONS = ROOT / "migrations"
HOST = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
_RUNTIME = Path(__file__).with_name("lambda_runtime.txt")
# pip's messages if the package index cannot be reached.
OFFLINE = ("NewConnectionError", "ConnectTimeout", "ProxyError", "NameResolutionError")


class Unobtainable(Exception):
    """This machine lacks something needed to build the artifact; the message names it."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A built package, its folder as Lambda unpacks it, and the Python that runs it there."""

    archive: Path
    folder: Path
    python: Path


def make_artifact() -> Artifact:
    """Return the artifact for this machine, with the repository's migrations.

    Raises:
        Unobtainable: this machine has no such Python, or no package index can be reached.
        BuildFailed: the package cannot be built.
    """
    compiler = find_python()
    made = make_package(Recipe(HOST, MIGRATIONS, compiler))
    return Artifact(made / "lockgate.zip", made / "task", _make_runtime(compiler))


def find_python() -> Path:
    """Return a Python of the function's version.

    Raises:
        Unobtainable: there is none.
    """
    try:
        return build.find_compiler()
    except BuildFailed as failure:
        raise Unobtainable(str(failure)) from failure


def make_package(recipe: Recipe) -> Path:
    """Return a folder with ``lockgate.zip`` and its unpacked contents in ``task``.

    Raises:
        Unobtainable: no package index can be reached.
        BuildFailed: the package cannot be built.
    """

    def make(folder: Path) -> None:
        fill_folder(recipe, folder / "built")
        package = build.write_package(folder / "built", folder / "lockgate.zip")
        shutil.rmtree(folder / "built")
        unpack(package.path, folder / "task")

    sources = list_contents(
        Path(__file__),
        ROOT / "infra" / "build.py",
        recipe.handler / "requirements.txt",
        recipe.handler / "lockgate",
        recipe.migrations,
    )
    return make_once("package", [recipe.machine.encode(), _name(recipe.compiler), *sources], make)


def fill_folder(
    recipe: Recipe, folder: Path, lay_out: Callable[[Recipe, Path], None] = build.fill_folder
) -> None:
    """Fill the folder of a function or a layer, as `infra.build` does.

    Raises:
        Unobtainable: no package index can be reached.
        BuildFailed: the package cannot be built.
    """
    try:
        lay_out(recipe, folder)
    except BuildFailed as failure:
        if any(word in str(failure) for word in OFFLINE):
            raise Unobtainable("No package index can be reached.") from failure
        raise


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a package as Lambda does: with the modes in the archive, and read-only."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
        for member in opened.infolist():
            (folder / member.filename).chmod(member.external_attr >> 16 & 0o555)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o555)


def copy_folder(source: Path, folder: Path, *, leave_out: Iterable[str] = ()) -> None:
    """Copy a function's folder so that it can be changed; hard-link its files where possible."""
    shutil.copytree(source, folder, copy_function=_link, ignore=shutil.ignore_patterns(*leave_out))
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _make_runtime(compiler: Path) -> Path:
    """Return a Python with the packages of Lambda's own, and no others."""

    def make(folder: Path) -> None:
        _run([str(compiler), "-m", "venv", "--without-pip", str(folder)])
        pip = [sys.executable, "-m", "pip", f"--python={folder / 'bin' / 'python'}"]
        options = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
        _run([*pip, "install", *options, "--requirement", str(_RUNTIME)])

    made = make_once("lambda-python", [_name(compiler), _RUNTIME.read_bytes()], make)
    return made / "bin" / "python"


def _name(python: Path | None) -> bytes:
    """Identify a Python by its path and version: a patch release may compile differently."""
    return b"" if python is None else f"{python} {_run([str(python), '--version'])}".encode()


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stdout + done.stderr
        if any(word in said for word in OFFLINE):
            raise Unobtainable("No package index can be reached.")
        raise BuildFailed(said)
    return done.stdout
