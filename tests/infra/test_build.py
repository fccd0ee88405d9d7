"""The deployed package: its bytes, its contents, and that Lambda's Python can use it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from infra.build import BuildFailed, Recipe
from tests.support.artifact import HOST, MIGRATIONS
from tests.support.packages import MIGRATION, fill

from infra import build

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "x86_64" if HOST == "arm64" else "arm64"

USE = """
import importlib, pathlib, pkgutil, sys
root = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(root))
import sqlalchemy, sqlalchemy.dialects.postgresql.pg8000
import pg8000.legacy
from aws_lambda_powertools import Logger, Metrics
sqlalchemy.create_engine("postgresql+pg8000://", creator=lambda: None)
import lockgate
for module in pkgutil.walk_packages([str(root / "lockgate")], "lockgate."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        # Lambda's runtime brings these.
        if error.name.partition(".")[0] not in {"boto3", "botocore"}:
            raise
print("imported")
"""

DESCRIBE_BYTE_CODE = """
import marshal, pathlib, sys
root = pathlib.Path(sys.argv[1])
for path in root.rglob("*.pyc"):
    content = path.read_bytes()
    code = marshal.loads(content[16:])
    source = path.parent.parent.joinpath(path.name.partition(".")[0] + ".py")
    expected = "/var/task/" + source.relative_to(root).as_posix()
    assert int.from_bytes(content[4:8], "little") == 1, (path, "is not an unchecked hash")
    assert code.co_filename == expected, (code.co_filename, expected)
    assert str(root).encode() not in content, path
print("described")
"""


@pytest.fixture
def unpacked(package: Path, tmp_path: Path) -> Path:
    """Return the function's folder, in a writable copy."""
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path / "task")
    return tmp_path / "task"


def test_package_is_the_same_byte_for_byte_when_built_again(
    package: Path, compiler: Path, tmp_path: Path
) -> None:
    """A second build is identical, so an unchanged deploy uploads nothing."""
    fill(Recipe(HOST, MIGRATIONS, compiler), tmp_path / "task")
    again = build.write_package(tmp_path / "task", tmp_path / "lockgate.zip")

    assert package.read_bytes() == again.path.read_bytes()


def test_package_holds_code_dependencies_migrations_and_byte_code(package: Path) -> None:
    """The package contains everything that runs and nothing else."""
    with zipfile.ZipFile(package) as archive:
        names = set(archive.namelist())

    assert names >= {
        "lockgate/__init__.py",
        "lockgate/__pycache__/__init__.cpython-313.pyc",
        "lockgate/postgres/server/rds-roots/01cecb18.0",
        "sqlalchemy/__init__.py",
        "pg8000/__init__.py",
        "aws_lambda_powertools/logging/logger.py",
    }
    assert _list_names(MIGRATIONS) == {name[11:] for name in names if name[:11] == "migrations/"}
    assert not [name for name in names if name.startswith(("boto3", "botocore", "lockgate/local"))]
    assert not [name for name in names if "/tests/" in name or name.endswith((".pyi", ".pxd"))]


def test_package_is_below_its_aim(package: Path) -> None:
    """A package that has grown is noticed before start-up times are affected."""
    assert package.stat().st_size < build.ZIPPED_AIM_BYTES


def test_package_can_be_imported_and_writes_nothing(unpacked: Path, compiler: Path) -> None:
    """Every module imports with the contents of the package, and no byte code is written."""
    before = _list_tree(unpacked)

    assert _run(compiler, USE, unpacked) == "imported\n"
    assert _list_tree(unpacked) == before


def test_byte_code_is_used_without_a_look_at_the_source(unpacked: Path, compiler: Path) -> None:
    """Byte code is used without checking the source, which saves time at start-up."""
    for package_name in ("lockgate", "sqlalchemy", "pg8000"):
        (unpacked / package_name / "__init__.py").write_text("raise SystemError\n")

    assert _run(compiler, USE, unpacked) == "imported\n"


def test_migration_may_import_what_has_no_byte_code(unpacked: Path, compiler: Path) -> None:
    """A Python migration can import the ORM, which has no byte code."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import sqlalchemy.orm; print('imported')"

    assert _run(compiler, code, unpacked) == "imported\n"


def test_byte_code_names_the_folder_of_the_function(unpacked: Path, compiler: Path) -> None:
    """Tracebacks show /var/task, and no byte code contains the build folder."""
    assert _run(compiler, DESCRIBE_BYTE_CODE, unpacked) == "described\n"


def test_package_is_the_same_for_both_architectures(
    package: Path, compiler: Path, tmp_path: Path
) -> None:
    """The package is pure Python, so a function can change its architecture."""
    fill(Recipe(OTHER, MIGRATIONS, compiler), tmp_path / "task")
    other = build.write_package(tmp_path / "task", tmp_path / "lockgate.zip")

    assert package.read_bytes() == other.path.read_bytes()


@pytest.mark.usefixtures("package")
def test_makefile_lays_out_the_folder_for_sam(migrations: Path, tmp_path: Path) -> None:
    """The Makefile rule for `sam build` fills the given folder."""
    rule = ["make", "-f", "handler/Makefile", "build-Migrate"]
    settings = {"ARTIFACTS_DIR": tmp_path, "MIGRATIONS": migrations, "PYTHON": sys.executable}
    assignments = [f"{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [*rule, *assignments], cwd=build.ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    laid_out = [path.name for path in (tmp_path / "migrations").iterdir()]
    assert laid_out == [MIGRATION], "and nothing that an editor left"
    assert (tmp_path / "lockgate" / "__pycache__" / "__init__.cpython-313.pyc").is_file()


@pytest.mark.parametrize(
    "command",
    [
        ["make", "-f", "handler/Makefile", "build-Migrate", "PYTHON=python3"],
        ["make", "-f", "handler/Makefile", "build-Operate", "PYTHON=python3", "MIGRATIONS="],
        [sys.executable, "infra/build.py", "--directory", "{folder}"],
        [sys.executable, "infra/build.py", "--output", "{folder}/lockgate.zip"],
        [sys.executable, "infra/build.py", "--migrations", "", "--directory", "{folder}"],
    ],
)
def test_build_without_a_folder_of_migrations_is_refused(
    command: list[str], tmp_path: Path
) -> None:
    """A build without a migrations folder fails instead of packaging the repository's example."""
    environment = {key: value for key, value in os.environ.items() if key != "MIGRATIONS"}
    done = subprocess.run(
        [part.replace("{folder}", str(tmp_path)) for part in command],
        cwd=build.ROOT,
        env={**environment, "ARTIFACTS_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "No folder of migrations was given. Nothing was built." in done.stderr
    assert 'MIGRATIONS="$PWD/db/migrations" sam build' in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_make_build_without_a_folder_of_migrations_is_refused() -> None:
    """`make build` sets no default folder, so the recipe refuses to build."""
    done = subprocess.run(
        ["make", "--dry-run", "build"], cwd=build.ROOT, capture_output=True, text=True, check=False
    )
    assert "--migrations" not in done.stdout
    assert "infra/build.py" in done.stdout


def test_documented_size_is_that_of_the_package(package: Path) -> None:
    """The sizes in the documentation match the package."""
    with zipfile.ZipFile(package) as archive:
        unzipped = sum(member.file_size for member in archive.infolist())
    measured = (package.stat().st_size / 1024**2, unzipped / 1024**2)
    for page in ("README.md", "docs/cold-start.md", "docs/adopt/README.md"):
        text = (build.ROOT / page).read_text()
        found = re.search(r"(\d\.\d)(?: MB zipped)?(?:,| and) (\d\d) MB", text)
        assert found is not None, page
        assert measured == pytest.approx(tuple(map(float, found.groups())), rel=0.04), page


def test_zip_does_not_depend_on_times_or_modes(tmp_path: Path) -> None:
    """File times and modes do not change the package."""
    packages = []
    for number, mode in enumerate((0o600, 0o755)):
        folder = tmp_path / str(number)
        for name in ("b/one.py", "a.py", "c.so"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            path.chmod(mode)
            os.utime(path, (number, number))
        packages.append(build.write_package(folder, tmp_path / f"{number}.zip"))

    assert packages[0].sha256 == packages[1].sha256
    with zipfile.ZipFile(packages[0].path) as archive:
        members = [(m.filename, oct(m.external_attr >> 16)) for m in archive.infolist()]
    assert members == [("a.py", "0o644"), ("b/one.py", "0o644"), ("c.so", "0o755")]


def test_package_over_the_limit_is_refused_and_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package over Lambda's limit is not written, and the old one stays."""
    monkeypatch.setattr(build, "ZIPPED_LIMIT_BYTES", 100)
    folder, output = tmp_path / "task", tmp_path / "lockgate.zip"
    folder.mkdir()
    (folder / "large.sql").write_bytes(os.urandom(200))
    output.write_text("the old one")

    with pytest.raises(BuildFailed, match=r"The package has 0\.0 MB; Lambda's limit is"):
        build.write_package(folder, output)

    assert output.read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lockgate.zip", "task"]


def test_folder_of_migrations_must_exist(tmp_path: Path) -> None:
    """A missing migrations folder is refused, since its package would do nothing."""
    with pytest.raises(BuildFailed, match="Give the folder of your migrations with --migrations"):
        build.fill_folder(Recipe(HOST, tmp_path / "nowhere", None), tmp_path / "task")


def test_folder_to_fill_must_be_empty(tmp_path: Path) -> None:
    """A non-empty target folder is refused, since its files would be deployed."""
    (tmp_path / "left").write_text("")

    with pytest.raises(BuildFailed, match="is not empty"):
        build.fill_folder(Recipe(HOST, tmp_path, None), tmp_path)


def test_compiler_that_does_not_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shim on the PATH that does not run is not used as a compiler."""
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\necho 'python3.13: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shim))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))

    with pytest.raises(BuildFailed) as raised:
        build.find_compiler()

    assert str(raised.value) == (
        "The byte code needs Python 3.13, and none of these is one that runs: "
        f"{shim}, {shim}. Name one with --python, or build with --no-compile: the function then "
        "starts about three times slower."
    )


def test_compiler_of_another_version_is_refused(tmp_path: Path) -> None:
    """Another Python version is refused, since Lambda would silently ignore its byte code."""
    other = tmp_path / "python"
    other.write_text(f"#!/bin/sh\nprintf '%s\\n' '{other}' cpython3.12\n")
    other.chmod(0o755)

    with pytest.raises(BuildFailed, match="none of these is one that runs"):
        build.find_compiler(str(other))


def test_failure_is_told_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed command prints its hint to standard error."""
    missing = tmp_path / "nowhere"

    assert build.main(["--no-compile", "--migrations", str(missing)]) == 1
    assert capsys.readouterr().err == (
        f"There is no folder {missing}. Give the folder of your migrations with --migrations.\n"
    )


def _list_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != "__pycache__"}


def _run(python: Path, code: str, folder: Path) -> str:
    done = subprocess.run(
        # -S: no site-packages, so that only the contents of the package are found.
        [str(python), "-I", "-S", "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _list_tree(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}
