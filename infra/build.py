#!/usr/bin/env python3
"""Build the deployed package: Lockgate, its dependencies, the migrations, and the byte code.

It imports nothing of Lockgate, so that it runs on any Python from 3.11 on. It runs `lockgate check` as
a process, and builds nothing if that refuses the migrations::

    python infra/build.py --migrations db/                 build/lockgate-arm64.zip
    python infra/build.py --arch x86_64 --migrations db/   for another architecture
    python infra/build.py --migrations db/ --directory DIR  fills a folder; `sam build` uses it
    python infra/build.py --layer                          build/lockgate-layer-arm64.zip
    python build.py --handler DIR --requirements FILE      for a Lockgate installed by pip

A layer has everything except migrations, for a function of your own. infra/Dockerfile builds an
image from a folder that this script fills.

The same input gives the same bytes: names are sorted, times and modes are fixed, and the byte code
contains paths in /var/task or /opt/python. So a deploy tool that compares hashes deploys only what
changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HANDLER = ROOT / "handler"
REQUIREMENTS = HANDLER / "requirements.txt"
PYTHON_VERSION = "3.13"
TASK_ROOT = "/var/task"
# Lambda unpacks layers into /opt, and Python imports from this folder in it.
LAYER_FOLDER = "python"
LAYER_ROOT = "/opt/python"

# Lambda's limits: a package sent directly, and the function's folder. Our own aim is far below. A larger
# package starts slower, so the build mentions it.
ZIPPED_AIM_BYTES = 8 * 1024**2
ZIPPED_LIMIT_BYTES = 50 * 1024**2
UNZIPPED_LIMIT_BYTES = 250 * 1024**2

# pip's name for each of Lambda's architectures. The runtime is Amazon Linux 2023 (glibc 2.34).
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
NATIVE = "native"
_PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")

# Files that the function never imports; each pattern with the reason.
_NEEDLESS = (
    r"bin/.*",  # commands of the dependencies
    r".*\.(pyi|pxd|pyx|c|h)",  # for type checkers and compilers
    r"sqlalchemy/testing/.*",  # a test suite; only its own provision.py imports it
    r"sqlalchemy/dialects/[^/]+/provision\.py",
    r"sqlalchemy/dialects/(mssql|mysql|oracle|sqlite)/.*",  # loaded by name from a database URL
    r"sqlalchemy/ext/(asyncio|mypy)/.*",  # need greenlet and mypy, which the package does not have
    # A third of the package; it speeds up reading rows, most of whose time the pure Python driver takes.
    r"sqlalchemy/.*\.so",
    r"dateutil/zoneinfo/.*\.tar\.gz",  # a second copy of the time zones; pg8000 parses offsets only
    # Lockgate uses Logger and Metrics, which import nothing of these (a test imports both).
    r"aws_lambda_powertools/event_handler/.*",
    r"aws_lambda_powertools/utilities/(?!__init__\.py$|typing/|jmespath_utils/).*",
    # The command line, whose dependencies are not in the package.
    r"lockgate/((check|local|terminal)/.*|aws/function\.py|__main__\.py)",
    # pg8000, scramp and SQLAlchemy read their METADATA; the licences must be distributed.
    r"[^/]+\.dist-info/(?!METADATA$|(licenses/)?(LICEN[CS]E|NOTICE|AUTHORS|COPYING)[^/]*$).*",
)
# Shipped without byte code, because Lockgate never imports them. A Python migration that does takes
# 0.3 s longer; every other function is a megabyte smaller.
_RARELY_IMPORTED = r"/sqlalchemy/(orm|ext)/"
_NEEDLESS_FILE = re.compile("|".join(_NEEDLESS))
_LEFTOVER = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
# Hidden files that a format reads: graphile-migrate's settings.
_READ = frozenset({".gmrc"})

NATIVE_FORMAT = "lockgate"
AUTO_FORMAT = "auto"
# A folder of another tool may have a problem in every file.
_MOST_SHOWN = 20
_CHECK = "import sys; sys.path.insert(0, '.'); from lockgate.__main__ import main; main()"

# The oldest time that a zip file can hold.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class BuildFailed(Exception):
    """The package cannot be built; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parts of a package. ``compiler`` is a Python 3.13; ``None`` ships no byte code.

    A layer ignores ``migrations``. ``handler`` is the folder that contains ``lockgate/``: the
    repository's own, or ``site-packages``.
    """

    machine: str
    migrations: Path
    compiler: Path | None
    handler: Path = HANDLER
    requirements: Path = REQUIREMENTS


@dataclass(frozen=True, slots=True)
class CheckedMigrations:
    """The migrations that `lockgate check` accepts. ``warnings`` are its warnings, each a sentence."""

    count: int
    latest: str | None
    tool: str
    warnings: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return how many there are and which is the latest, as a sentence."""
        what = "migration" if self.count == 1 else "migrations"
        of = "" if self.tool == NATIVE_FORMAT else f" of {self.tool}"
        latest = "" if self.latest is None else f"; the latest is {self.latest}"
        return f"Packed {self.count:,} {what}{of}{latest}."


@dataclass(frozen=True, slots=True)
class Package:
    """A finished package."""

    path: Path
    zipped_bytes: int
    unzipped_bytes: int
    sha256: str


def fill_folder(recipe: Recipe, folder: Path) -> None:
    """Fill ``folder``, which must be empty, with the function's code.

    Raises:
        BuildFailed: the folder is not empty, the migrations do not exist, pip cannot install, or a file
            does not compile.
    """
    _require_folder(recipe.migrations)
    _refuse_leftovers(folder)
    _fill_code(recipe, folder, TASK_ROOT)
    # After the compilation: migrations are data and must not contain a __pycache__.
    shutil.copytree(recipe.migrations, folder / "migrations", ignore=_list_left_out)
    _check_unzipped_size(folder)


def check_migrations(
    migrations: Path, handler: Path = HANDLER, tool: str | None = None
) -> CheckedMigrations:
    """Run `lockgate check` on the files that would be packed.

    Without ``tool``, it reads them in the native format; if that refuses them and they are recognised as
    another tool's, it reads them as that tool does.

    Raises:
        BuildFailed: a run would refuse the files, or the check did not run.
    """
    _require_folder(migrations)
    with tempfile.TemporaryDirectory(prefix="lockgate-check-") as scratch:
        here = Path(scratch).resolve()
        try:
            # A copy of Lockgate alone, so that the result does not depend on what else is installed.
            shutil.copytree(handler / "lockgate", here / "lockgate", ignore=_LEFTOVER)
            shutil.copytree(migrations, here / "migrations", ignore=_list_left_out)
        except OSError as error:
            raise BuildFailed(
                f"{migrations} cannot be copied: {error}. Nothing was built."
            ) from None
        found = _run_check(here, tool or NATIVE_FORMAT)
        if tool is None and found["problems"]:
            recognised = _run_check(here, AUTO_FORMAT)
            if recognised["tool"] not in {None, NATIVE_FORMAT}:
                found = recognised
    if found["problems"]:
        raise BuildFailed(_describe_problems(migrations, found["problems"]))
    warnings = [_join(one["message"], one["hint"]) for one in found["warnings"]]
    return CheckedMigrations(
        len(found["migrations"]), _name_latest(found), found["tool"], tuple(warnings)
    )


def _run_check(folder: Path, tool: str) -> dict[str, Any]:
    """Return the JSON of a check of ``folder/migrations`` by ``folder/lockgate``."""
    options = ["--json", "--dir", "migrations", "--format", tool]
    # The settings of this shell are not the function's. Variables of migrations are passed on.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCKGATE_")}
    done = subprocess.run(
        # The check needs no library, so none of this Python's is visible to it.
        [sys.executable, "-I", "-S", "-B", "-c", _CHECK, "check", *options],
        cwd=folder,
        env=kept,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise BuildFailed(
            f"lockgate check did not run. Nothing was built.\n{done.stdout}{done.stderr}".rstrip()
        ) from None
    return found


def _describe_problems(migrations: Path, problems: list[dict[str, Any]]) -> str:
    lines = [f"lockgate check refuses {migrations}. Nothing was built."]
    for problem in problems[:_MOST_SHOWN]:
        lines.append(f"  {problem['message']}")
        lines += [f"    Hint: {problem['hint']}"] if problem["hint"] else []
    if len(problems) > _MOST_SHOWN:
        lines.append(f"  … and {len(problems) - _MOST_SHOWN:,} more")
    return "\n".join(lines)


def _name_latest(found: dict[str, Any]) -> str | None:
    """Return version and name of the latest migration."""
    latest = found["latest"]
    names = [one["name"] for one in found["migrations"] if one["version"] == latest]
    return None if latest is None else _join(latest, *names[:1])


def _join(*parts: str | None) -> str:
    return " ".join(part for part in parts if part)


def _list_left_out(folder: str, names: list[str]) -> set[str]:
    """Return the files of a folder of migrations that are not packed."""
    return _LEFTOVER(folder, names) - _READ


def _require_folder(migrations: Path) -> None:
    if not migrations.is_dir():
        raise BuildFailed(
            f"There is no folder {migrations}. Give the folder of your migrations with --migrations."
        )


def fill_layer(recipe: Recipe, folder: Path) -> None:
    """Fill ``folder``, which must be empty, with a layer: code and dependencies, no migrations.

    Raises:
        BuildFailed: the same errors as `fill_folder`.
    """
    _refuse_leftovers(folder)
    _fill_code(recipe, folder / LAYER_FOLDER, LAYER_ROOT)
    _check_unzipped_size(folder)


def write_package(folder: Path, output: Path) -> Package:
    """Zip ``folder`` into ``output``, byte for byte the same for the same files.

    Raises:
        BuildFailed: the package is larger than Lambda's limit; ``output`` is unchanged.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in _list_files(folder):
                archive.writestr(_describe_member(path, folder), path.read_bytes())
        package = _measure(partial, folder, output)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return package


def find_compiler(wanted: str | None = None) -> Path:
    """Return a Python of the function's version, because byte code is for one version only.

    Checks only ``wanted`` if it is given, else the running Python, the PATH and pyenv's folder. Each
    candidate is run, because pyenv's `python3.13` may exist and not work.

    Raises:
        BuildFailed: there is none.
    """
    candidates = [wanted] if wanted is not None else list(_list_pythons())
    for candidate in candidates:
        executable = _ask_executable(candidate)
        if executable is not None:
            return executable
    looked_at = ", ".join(candidates)
    raise BuildFailed(
        f"The byte code needs Python {PYTHON_VERSION}, and none of these is one that runs: "
        f"{looked_at}. Name one with --python, or build with --no-compile: the function then "
        "starts about three times slower."
    )


def _refuse_leftovers(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise BuildFailed(f"{folder} is not empty. Empty it, or give another folder.")


def _fill_code(recipe: Recipe, folder: Path, root: str) -> None:
    """Put code, dependencies and their byte code into a folder that Lambda mounts at ``root``."""
    folder.mkdir(parents=True, exist_ok=True)
    _install_requirements(recipe, folder)
    shutil.copytree(recipe.handler / "lockgate", folder / "lockgate", ignore=_LEFTOVER)
    _prune(folder)
    if recipe.compiler is not None:
        _import_all(recipe.compiler, folder)
        _compile(recipe.compiler, folder, root)


def _install_requirements(recipe: Recipe, folder: Path) -> None:
    machine = MACHINES[recipe.machine]
    platforms = [f"--platform={name}_{machine}" for name in _PLATFORMS]
    _run(
        [
            *(_find_pip(recipe.compiler), "-m", "pip", "install", "--quiet", "--no-input"),
            *("--disable-pip-version-check", "--root-user-action=ignore", "--no-compile"),
            *("--require-hashes", "--only-binary=:all:", "--implementation=cp"),
            *(f"--python-version={PYTHON_VERSION}", *platforms),
            *("--target", str(folder), "--requirement", str(recipe.requirements)),
        ],
        failure=f"pip could not install {recipe.requirements}",
    )


def _find_pip(compiler: Path | None) -> str:
    for python in (sys.executable, *([] if compiler is None else [str(compiler)])):
        if _run_quietly([python, "-m", "pip", "--version"]) is not None:
            return python
    raise BuildFailed(f"{sys.executable} has no pip. Run `python -m ensurepip`, or use another.")


def _prune(folder: Path) -> None:
    for path in _list_files(folder):
        if _NEEDLESS_FILE.fullmatch(path.relative_to(folder).as_posix()):
            path.unlink()
    for parent, _, _ in os.walk(folder, topdown=False):
        if not any(Path(parent).iterdir()):
            Path(parent).rmdir()


# boto3 and botocore come with the runtime; the build does not need them.
_IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import lockgate
for module in pkgutil.walk_packages(lockgate.__path__, "lockgate."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "botocore":
            raise
"""


def _import_all(python: Path, folder: Path) -> None:
    """Import every module, so that a missing library fails the build."""
    _run(
        [str(python), "-I", "-B", "-c", _IMPORT_ALL, str(folder)],
        failure="A module of Lockgate cannot be imported",
    )


def _compile(python: Path, folder: Path, root: str) -> None:
    # Unchecked, because the function's folder is read-only, and comparing times takes start-up time. The
    # fixed hash seed keeps the order of constants, and so the bytes, the same in every build.
    _run(
        [
            *(str(python), "-I", "-m", "compileall", "-q", "-f"),
            *("--invalidation-mode", "unchecked-hash", "-x", _RARELY_IMPORTED),
            *("-s", str(folder), "-p", root, str(folder)),
        ],
        failure="A file does not compile",
        environment={**os.environ, "PYTHONHASHSEED": "0"},
    )


def _check_unzipped_size(folder: Path) -> None:
    size = sum(path.stat().st_size for path in _list_files(folder))
    if size > UNZIPPED_LIMIT_BYTES:
        raise BuildFailed(
            f"The package has {_megabytes(size)}; Lambda's limit is "
            f"{_megabytes(UNZIPPED_LIMIT_BYTES)}. Look for large files among the migrations."
        )


def _list_files(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _describe_member(path: Path, folder: Path) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), date_time=_ZIP_TIME)
    member.create_system = 3  # Unix, even if the build runs on another system
    member.external_attr = (0o755 if path.suffix == ".so" else 0o644) << 16
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


def _measure(archive: Path, folder: Path, output: Path) -> Package:
    content = archive.read_bytes()
    if len(content) > ZIPPED_LIMIT_BYTES:
        raise BuildFailed(
            f"The package has {_megabytes(len(content))}; Lambda's limit is "
            f"{_megabytes(ZIPPED_LIMIT_BYTES)} when it is sent directly. Look for large files "
            "among the migrations."
        )
    return Package(
        path=output,
        zipped_bytes=len(content),
        unzipped_bytes=sum(path.stat().st_size for path in _list_files(folder)),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _list_pythons() -> Iterator[str]:
    yield sys.executable
    for folder in os.get_exec_path():
        for name in (f"python{PYTHON_VERSION}", "python3"):
            if (Path(folder) / name).is_file():
                yield str(Path(folder) / name)
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in sorted(versions.glob(f"{PYTHON_VERSION}.*")):
        yield str(version / "bin" / "python3")


def _ask_executable(python: str) -> Path | None:
    question = (
        "import sys; v = sys.version_info; "
        "print(sys.executable, f'{sys.implementation.name}{v[0]}.{v[1]}', sep='\\n')"
    )
    answer = _run_quietly([python, "-I", "-c", question])
    if answer is None or not answer.rstrip().endswith(f"\ncpython{PYTHON_VERSION}"):
        return None
    return Path(answer.splitlines()[0])


def _run(command: list[str], *, failure: str, environment: dict[str, str] | None = None) -> None:
    # The program is a Python whose version was checked; the arguments are our own.
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise BuildFailed(f"{failure}:\n{done.stdout}{done.stderr}".rstrip())


def _run_quietly(command: list[str]) -> str | None:
    """Return what the command prints; ``None`` if it does not run, fails, or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _megabytes(size: int) -> str:
    return f"{size / 1024**2:.1f} MB"


def _read_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Build the Lambda package: code, dependencies, migrations, byte code."
    )
    parser.add_argument(
        "--arch",
        choices=[*sorted(MACHINES), NATIVE],
        default="arm64",
        help="default: arm64; native is this machine's",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--migrations",
        metavar="DIR",
        help="the migrations to ship; no default, so that no package contains an example by mistake",
    )
    what.add_argument(
        "--layer",
        action="store_true",
        help="build a layer for your own function, without migrations",
    )
    parser.add_argument(
        "--format",
        metavar="TOOL",
        default=os.environ.get("LOCKGATE_FORMAT") or None,
        help="the tool whose migrations these are, or auto; default: LOCKGATE_FORMAT, or recognised",
    )
    parser.add_argument(
        "--handler",
        type=Path,
        default=HANDLER,
        metavar="DIR",
        help="the folder that contains lockgate/; default: handler/ of this repository",
    )
    parser.add_argument(
        "--requirements",
        type=Path,
        default=REQUIREMENTS,
        metavar="FILE",
        help="the dependencies to ship; default: handler/requirements.txt of this repository",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--output",
        type=Path,
        metavar="ZIP",
        help="default: build/lockgate-<arch>.zip, or -layer-<arch>",
    )
    where.add_argument(
        "--directory", type=Path, metavar="DIR", help="fill this empty folder instead of a zip"
    )
    parser.add_argument(
        "--python", metavar="PATH", help=f"the Python {PYTHON_VERSION} that compiles"
    )
    parser.add_argument(
        "--no-compile", action="store_true", help="ship no byte code: a slower start"
    )
    return parser.parse_args(arguments)


def _find_machine(arch: str) -> str:
    if arch != NATIVE:
        return arch
    return "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


def _build(options: argparse.Namespace) -> str:
    machine = _find_machine(options.arch)
    recipe = Recipe(
        machine=machine,
        migrations=_find_migrations(options),
        compiler=None if options.no_compile else find_compiler(options.python),
        handler=options.handler.resolve(),
        requirements=options.requirements.resolve(),
    )
    packed = None if options.layer else _check(recipe, options.format)
    fill, name = (fill_layer, "lockgate-layer") if options.layer else (fill_folder, "lockgate")
    if options.directory is not None:
        fill(recipe, options.directory.resolve())
        return f"{options.directory} is laid out for {machine}.\n{packed or ''}"
    output = options.output or ROOT / "build" / f"{name}-{machine}.zip"
    with tempfile.TemporaryDirectory(prefix="lockgate-build-") as scratch:
        folder = Path(scratch).resolve() / "task"
        fill(recipe, folder)
        return f"{_describe(write_package(folder, output))}{packed or ''}"


def _check(recipe: Recipe, tool: str | None) -> str:
    """Check the migrations, show the warnings, and return what will have been packed."""
    checked = check_migrations(recipe.migrations, recipe.handler, tool)
    for warning in checked.warnings[:_MOST_SHOWN]:
        sys.stderr.write(f"Warning: {warning}\n")
    if len(checked.warnings) > _MOST_SHOWN:
        sys.stderr.write(f"… and {len(checked.warnings) - _MOST_SHOWN:,} more warnings\n")
    return f"{checked.describe()}\n"


def _find_migrations(options: argparse.Namespace) -> Path:
    """Return the folder of migrations; for a layer, which has none, any folder.

    Raises:
        BuildFailed: it was not given.
    """
    if options.layer:
        return ROOT
    # The Makefiles pass an empty text if MIGRATIONS is not set.
    if not options.migrations:
        raise BuildFailed(
            "No folder of migrations was given. Nothing was built. Give yours; sam build needs an"
            ' absolute path: MIGRATIONS="$PWD/db/migrations" sam build, or make build'
            " MIGRATIONS=db/migrations, or --migrations db/migrations."
        )
    return Path(options.migrations).resolve()


def _describe(package: Package) -> str:
    lines = [
        str(package.path),
        f"  zipped    {_megabytes(package.zipped_bytes)}",
        f"  unzipped  {_megabytes(package.unzipped_bytes)}",
        f"  sha256    {package.sha256}",
    ]
    if package.zipped_bytes > ZIPPED_AIM_BYTES:
        lines.append(
            f"  This is more than {_megabytes(ZIPPED_AIM_BYTES)} and starts slower. Check what has "
            "grown."
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Build the package that the command line describes; return the exit status."""
    try:
        sys.stdout.write(_build(_read_arguments(arguments)))
    except BuildFailed as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
