"""The deployed package: its bytes, its contents, and that Lambda's Python can use it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from infra.build import BuildFailed, Recipe
from tests.support.artifact import HOST, MIGRATIONS
from tests.support.folders import write_folder
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
    foreign = ("boto3", "botocore", "lockgate/local", "lockgate/check")
    assert not [name for name in names if name.startswith(foreign)]
    assert not [name for name in names if "/tests/" in name or name.endswith((".pyi", ".pxd"))]


def test_package_is_below_its_aim(package: Path) -> None:
    """A package that has grown is noticed before start-up times are affected."""
    assert package.stat().st_size < build.ZIPPED_AIM_BYTES


def test_package_can_be_imported_and_writes_nothing(unpacked: Path, compiler: Path) -> None:
    """Every module imports with the contents of the package, and no byte code is written."""
    before = _list_tree(unpacked)

    assert _run(compiler, USE, unpacked) == "imported\n"
    assert _list_tree(unpacked) == before


def test_byte_code_is_used_without_reading_the_source(unpacked: Path, compiler: Path) -> None:
    """Byte code is used without checking the source, which saves time at start-up."""
    for package_name in ("lockgate", "sqlalchemy", "pg8000"):
        (unpacked / package_name / "__init__.py").write_text("raise SystemError\n")

    assert _run(compiler, USE, unpacked) == "imported\n"


def test_migration_can_import_modules_without_byte_code(unpacked: Path, compiler: Path) -> None:
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


def test_failure_is_written_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed command prints its hint to standard error."""
    missing = tmp_path / "nowhere"

    assert build.main(["--no-compile", "--migrations", str(missing)]) == 1
    assert capsys.readouterr().err == (
        f"There is no folder {missing}. Give the folder of your migrations with --migrations.\n"
    )


# The check of the migrations.


SQL = "CREATE TABLE account (id int);\n"


def test_build_prints_how_many_migrations_it_packs_and_the_latest(tmp_path: Path) -> None:
    """The sentence has the number of migrations and version and name of the latest one."""
    folder = write_folder(tmp_path / "db", {"9_a.sql": SQL, "10_b_c.sql": SQL, "R__v.sql": SQL})

    packed = build.check_migrations(folder)

    assert packed.describe() == "Packed 3 migrations; the latest is 10 b_c."
    assert packed.warnings == ()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"1_a.sql": SQL}, "Packed 1 migration; the latest is 1 a."),
        ({"R__v.sql": SQL}, "Packed 1 migration."),
        ({"V1__a.sql": SQL, "V2__b.sql": SQL}, "Packed 2 migrations of flyway; the latest is 2 b."),
        ({"1_a.sql": f"-- +goose Up\n{SQL}"}, "Packed 1 migration of goose; the latest is 1 a."),
        ({"1_a/up.sql": SQL, "1_a/down.sql": SQL}, "Packed 1 migration of diesel; the latest is 1 a."),
    ],
)  # fmt: skip
def test_build_recognises_the_tool_of_the_migrations(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    """A folder that is not native is read as that of the tool that it is recognised as."""
    assert build.check_migrations(write_folder(tmp_path / "db", files)).describe() == said


def test_build_asks_for_the_format_where_it_may_be_that_of_two_tools(tmp_path: Path) -> None:
    """If several tools have such files, the refusal names the setting that decides."""
    folder = write_folder(tmp_path / "db", {"1_a.up.sql": SQL, "1_a.down.sql": SQL})
    with pytest.raises(BuildFailed, match="set LOCKGATE_FORMAT=golang-migrate"):
        build.check_migrations(folder)
    packed = build.check_migrations(folder, tool="golang-migrate")
    assert packed.describe() == "Packed 1 migration of golang-migrate; the latest is 1 a."


def test_build_reads_the_format_that_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The format can be an option or the setting; it is then not recognised from the files."""
    folder = write_folder(tmp_path / "db", {"V1__a.sql": SQL})
    assert build.check_migrations(folder, tool="flyway").tool == "flyway"
    with pytest.raises(BuildFailed, match="is not a valid migration file name"):
        build.check_migrations(folder, tool="lockgate")
    monkeypatch.setenv("LOCKGATE_FORMAT", "flyway")
    assert build._read_arguments(["--migrations", str(folder)]).format == "flyway"
    monkeypatch.setenv("LOCKGATE_FORMAT", "")
    assert build._read_arguments(["--migrations", str(folder)]).format is None


def test_build_names_every_problem_of_the_migrations(tmp_path: Path) -> None:
    """Migrations that a run would refuse are refused with message and hint of each."""
    folder = write_folder(
        tmp_path / "db", {"1_a.sql": "-- migrate:up x:1\n", "2_b.sql": "-- migrate:dwon\n"}
    )

    with pytest.raises(BuildFailed) as raised:
        build.check_migrations(folder)

    assert str(raised.value) == (
        f"lockgate check refuses {folder}. Nothing was built.\n"
        "  1_a.sql:1: unknown option x:1.\n"
        "    Hint: Write options as key:value. Valid options: transaction, lock_timeout,"
        " statement_timeout.\n"
        "  2_b.sql:1: unknown marker -- migrate:dwon; did you mean down?\n"
        "    Hint: Valid markers: -- migrate:up, -- migrate:down, -- migrate:env on|off,"
        " -- migrate:verify QUERY."
    )


def test_problem_of_a_recognised_tool_is_the_one_in_its_format(tmp_path: Path) -> None:
    """If the folder is another tool's, the build names that tool's problem with it."""
    folder = write_folder(tmp_path / "db", {"V1__a.sql": SQL, "V2__b.sql": "SELECT '"})
    with pytest.raises(BuildFailed, match=r"V2__b\.sql:1:8: unterminated quoted string"):
        build.check_migrations(folder)


def test_many_problems_are_counted(tmp_path: Path) -> None:
    """The build lists twenty problems and counts the rest."""
    files = {f"{number}_a.sql": "-- migrate:nonsense\n" for number in range(1, 31)}
    with pytest.raises(BuildFailed) as raised:
        build.check_migrations(write_folder(tmp_path / "db", files))
    assert str(raised.value).count("unknown marker") == 20
    assert str(raised.value).endswith("\n  … and 10 more")


@pytest.mark.parametrize(
    "files", [{}, {"readme.md": "x"}, {"1_a.rb": "x"}], ids=["empty", "no migrations", "Ruby"]
)
def test_folder_without_migrations_that_can_run_is_not_built(
    tmp_path: Path, files: dict[str, str]
) -> None:
    """A folder whose deploy would be refused is refused by the build."""
    with pytest.raises(BuildFailed, match="Nothing was built"):
        build.check_migrations(write_folder(tmp_path / "db", files))


def test_refused_migrations_leave_the_target_folder_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check comes first, so that the build can be repeated with the same folder."""
    folder = write_folder(tmp_path / "db", {"1_a.sql": "SELECT '"})
    target = tmp_path / "task"

    status = build.main(["--no-compile", "--migrations", str(folder), "--directory", str(target)])

    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert err.startswith(f"lockgate check refuses {folder}. Nothing was built.\n  1_a.sql:1:8: ")
    assert not target.exists()


def test_warnings_do_not_stop_a_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build prints the warnings to standard error, and the packed migrations after the package."""
    folder = write_folder(tmp_path / "db", {"1_a.sql": "-- migrate:up\n"})
    monkeypatch.setattr(build, "fill_folder", lambda _recipe, folder: folder.mkdir())
    output = tmp_path / "lockgate.zip"

    status = build.main(["--no-compile", "--migrations", str(folder), "--output", str(output)])

    out, err = capsys.readouterr()
    assert status == 0
    assert err.startswith("Warning: 1_a.sql: the migration has no statement.")
    assert out.splitlines()[0] == str(output)
    assert out.splitlines()[-1] == "Packed 1 migration; the latest is 1 a."


def test_layer_has_no_migrations_to_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer contains no migrations, so nothing is checked."""
    monkeypatch.setattr(build, "fill_layer", lambda _recipe, folder: folder.mkdir())

    assert build.main(["--layer", "--no-compile", "--output", str(tmp_path / "layer.zip")]) == 0
    assert "Packed" not in capsys.readouterr().out


def test_settings_of_the_shell_do_not_change_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of the machine that builds are not those of the function, and do not matter."""
    folder = write_folder(tmp_path / "db", {"1_a.sql": SQL})
    for name in ("DATABASE_URL", "ATOMICITY", "NO_SUCH_SETTING", "MIGRATIONS"):
        monkeypatch.setenv(f"LOCKGATE_{name}", "nonsense")
    assert build.check_migrations(folder).count == 1


def test_files_that_are_not_packed_are_not_checked(tmp_path: Path) -> None:
    """The check sees what the package will contain, without hidden files and caches."""
    files = {"1_a.sql": SQL, ".2_b.sql": "SELECT '", ".git/x.sql": "SELECT '"}
    assert build.check_migrations(write_folder(tmp_path / "db", files)).count == 1


def test_settings_of_graphile_migrate_are_packed(tmp_path: Path) -> None:
    """The hidden file with graphile-migrate's placeholders is packed, other hidden files are not."""
    names = [".gmrc", ".env", "1_a.sql", "__pycache__"]
    assert build._list_left_out(str(tmp_path), names) == {".env", "__pycache__"}
    header = "--! Previous: -\n--! Hash: sha1:"
    text = "ALTER ROLE x SET search_path = ':APP_SCHEMA';\n"
    digest = hashlib.sha1(f"\n{text.strip()}\n".strip().encode() + b"\n", usedforsecurity=False)
    files = {"committed/000001.sql": f"{header}{digest.hexdigest()}\n\n{text}"}
    folder = write_folder(tmp_path / "db", files)
    with pytest.raises(BuildFailed, match="which may be a placeholder, and there is no"):
        build.check_migrations(folder, tool="graphile-migrate")
    write_folder(folder, {".gmrc": '{"placeholders": {":APP_SCHEMA": "app"}}'})
    assert build.check_migrations(folder, tool="graphile-migrate").count == 1


def test_migrations_that_cannot_be_copied_are_refused(tmp_path: Path) -> None:
    """A broken link among the migrations is named."""
    folder = write_folder(tmp_path / "db", {"1_a.sql": SQL})
    (folder / "2_b.sql").symlink_to("nowhere")
    with pytest.raises(BuildFailed, match=r"cannot be copied: .*nowhere|cannot be copied: .*2_b"):
        build.check_migrations(folder)


def test_check_that_does_not_run_fails_the_build(tmp_path: Path) -> None:
    """If Lockgate's code is incomplete, the build fails and shows why."""
    handler = tmp_path / "handler"
    (handler / "lockgate").mkdir(parents=True)
    with pytest.raises(
        BuildFailed, match=r"(?s)lockgate check did not run\. Nothing was built\..*Error"
    ):
        build.check_migrations(write_folder(tmp_path / "db", {"1_a.sql": SQL}), handler)


def test_build_script_checks_in_a_python_without_any_library(tmp_path: Path) -> None:
    """The script alone, in a Python without site-packages, checks before it needs pip."""
    folder = write_folder(tmp_path / "db", {"1_a.sql": "SELECT '"})
    done = subprocess.run(
        [sys.executable, "-I", "-S", "infra/build.py", "--no-compile", "--migrations", str(folder)],
        cwd=build.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "1_a.sql:1:8: unterminated quoted string" in done.stderr


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
