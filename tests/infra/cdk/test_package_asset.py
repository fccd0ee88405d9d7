"""The package as an asset: its digest and its build."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("aws_cdk", reason="the CDK is not installed here; `make infra` installs it")

import aws_cdk as cdk
from tests.support.artifact import OFFLINE
from tests.support.cdk_stack import NAME, make_cluster, make_vpc, migrate

from lockgate_cdk import DatabaseMigrations, package
from lockgate_cdk.package import Order, PackageNotBuilt, compute_digest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
MIGRATION = "1_create_accounts.sql"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a migration."""
    made = tmp_path / "migrations"
    made.mkdir()
    (made / MIGRATION).write_text("create table accounts (id bigint);\n")
    return made


# The digest.


def test_digest_is_the_same_in_another_folder_at_another_time(folder: Path, tmp_path: Path) -> None:
    """Location, timestamps, modes and leftover files do not change the digest."""
    before = compute_digest(Order(folder, "arm64"))
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    (moved / ".swap").write_text("an editor's")
    (moved / "__pycache__").mkdir()
    (moved / "__pycache__" / "left.pyc").write_text("")
    (moved / MIGRATION).chmod(0o600)
    os.utime(moved / MIGRATION, (0, 0))

    assert before == compute_digest(Order(moved, "arm64"))


CHANGES: dict[str, Callable[[Path], object]] = {
    "an edit": lambda folder: (folder / MIGRATION).write_text("create table accounts (id int);\n"),
    "a new file": lambda folder: (folder / "2_more.sql").write_text("select 1;\n"),
    "settings": lambda folder: (folder / ".gmrc").write_text("{}"),
    "another name": lambda folder: (folder / MIGRATION).rename(folder / "2_create_accounts.sql"),
    "another place": lambda folder: shutil.move(folder / MIGRATION, _make(folder / "more")),
    "a file less": lambda folder: (folder / MIGRATION).unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_digest_changes_with_the_migrations(folder: Path, change: Callable[[Path], object]) -> None:
    """Every difference in the migrations changes the digest."""
    before = compute_digest(Order(folder, "arm64"))
    change(folder)

    assert before != compute_digest(Order(folder, "arm64"))


def test_content_that_moves_from_one_file_to_the_next_is_a_change(tmp_path: Path) -> None:
    """Moving content between file names changes the digest."""
    digests = set()
    for number, files in enumerate(
        ({"a": "bc", "d": ""}, {"a": "b", "cd": ""}, {"a": "", "d": "bc"})
    ):
        made = _make(tmp_path / str(number))
        for name, content in files.items():
            (made / name).write_text(content)
        digests.add(compute_digest(Order(made, "arm64")))

    assert 3 == len(digests)


def test_digest_changes_with_the_engine_its_dependencies_and_the_options(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of the engine, its dependencies or the build options changes the digest."""
    digests = {
        compute_digest(Order(folder, "arm64")),
        compute_digest(Order(folder, "x86_64")),
        compute_digest(Order(folder, "arm64", ("--no-compile",))),
    }
    handler = Path(shutil.copytree(ROOT / "handler", tmp_path / "handler"))
    monkeypatch.setattr(package, "_HANDLER", handler)
    assert compute_digest(Order(folder, "arm64")) in digests
    (handler / "lockgate" / "entry.py").write_text("")
    digests.add(compute_digest(Order(folder, "arm64")))
    recipe = _make(tmp_path / "recipe")
    for source in ("infra/build.py", "handler/requirements.txt"):
        shutil.copy(ROOT / source, recipe)
    monkeypatch.setattr(package, "_BROUGHT", recipe)
    assert compute_digest(Order(folder, "arm64")) in digests
    for name in ("build.py", "requirements.txt"):
        with (recipe / name).open("a") as file:
            file.write("# more\n")
        digests.add(compute_digest(Order(folder, "arm64")))

    assert 6 == len(digests)


def test_function_and_resource_change_together(folder: Path) -> None:
    """The function's code and the migration resource always change together."""
    first, again = _read_both(folder), _read_both(folder)
    (folder / "2_more.sql").write_text("select 1;\n")
    changed = _read_both(folder)

    assert first == again
    assert all(before != after for before, after in zip(first, changed, strict=True))


def test_missing_folder_is_refused_at_once(tmp_path: Path) -> None:
    """A missing folder is refused even if nothing is built, as for `cdk list`."""
    with pytest.raises(
        PackageNotBuilt, match=r"There is no folder .*nowhere\. Nothing was built\."
    ):
        migrate(tmp_path / "nowhere")


# The build.


@pytest.fixture
def assembly(folder: Path, tmp_path: Path) -> Path:
    """Return the folder of a synthesised app with its built package, or skip."""
    output = tmp_path / "cdk.out"
    try:
        _synthesise(folder, output)
    except RuntimeError as failure:
        if any(word in str(failure) for word in OFFLINE):
            pytest.skip("no package index can be reached")
        raise
    return output


def test_package_is_built_without_a_container_and_once(
    assembly: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asset contains everything that Lambda runs, and the next synthesis reuses it."""
    (asset,) = assembly.glob("asset.*")
    monkeypatch.setattr(package, "build", lambda *_: pytest.fail("it was built again"))
    _synthesise(folder, assembly)

    assert (asset / "lockgate" / "entry.py").is_file()
    assert (asset / "pg8000" / "__init__.py").is_file()
    assert [MIGRATION] == [path.name for path in (asset / "migrations").iterdir()]
    assert [asset] == list(assembly.glob("asset.*"))
    described = json.loads((assembly / "Shop.assets.json").read_text())["files"]
    assert asset.name in {one["source"]["path"] for one in described.values()}


def test_failed_build_reports_why_and_leaves_no_asset(folder: Path, tmp_path: Path) -> None:
    """The error quotes infra/build.py and names the argument for its options."""
    with pytest.raises(RuntimeError) as raised:
        _synthesise(folder, tmp_path / "cdk.out", build_options=["--python", "/no/such/python"])

    assert "Lockgate's package was not built. The byte code needs Python 3.13" in str(raised.value)
    assert "Pass options such as --python with build_options=[…]." in str(raised.value)
    assert [] == list((tmp_path / "cdk.out").glob("asset.*/lockgate"))


def test_migrations_that_a_run_would_refuse_are_not_built(folder: Path, tmp_path: Path) -> None:
    """The error has the problem with its place, and names the setting of the format."""
    (folder / "2_more.sql").write_text("select '")
    with pytest.raises(RuntimeError) as raised:
        _synthesise(folder, tmp_path / "cdk.out")

    assert f"lockgate check refuses {folder}. Nothing was built." in str(raised.value)
    assert "2_more.sql:1:8: unterminated quoted string." in str(raised.value)
    assert 'set environment={"LOCKGATE_FORMAT": "…"}' in str(raised.value)
    assert [] == list((tmp_path / "cdk.out").glob("asset.*/lockgate"))


def test_build_gets_the_format_of_the_function() -> None:
    """The format of the function's environment is an option of the build, before other options."""
    environment = {"LOCKGATE_FORMAT": "flyway", "LOCKGATE_ATOMICITY": "run"}
    options = package.list_options(environment, ["--no-compile"])
    assert ("--format", "flyway", "--no-compile") == options
    assert () == package.list_options({}, [])
    token = cdk.Token.as_string({"Ref": "Format"})
    assert () == package.list_options({"LOCKGATE_FORMAT": token}, [])


def test_build_says_what_it_has_packed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The build shows warnings and the number of migrations, where the CDK shows its own messages."""
    (folder / "2_more.sql").write_text("-- later")
    package.build(Order(folder, "arm64", ("--no-compile",)), tmp_path / "task")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Warning: 2_more.sql: the migration has no statement.")
    assert "Packed 2 migrations; the latest is 2 more." == lines[-1]


def test_wheel_brings_all_that_a_package_is_made_of(folder: Path, tmp_path: Path) -> None:
    """The construct builds the same package from an installed wheel as from the repository."""
    installed = tmp_path / "site"
    _run(sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", installed, ROOT)
    question = (
        "import pathlib, sys; from lockgate_cdk import package; import lockgate\n"
        "order = package.Order(pathlib.Path(sys.argv[1]), 'arm64')\n"
        "print(lockgate.__file__, package.find_recipe().script, package.compute_digest(order))"
    )
    said = _run(sys.executable, "-c", question, folder, PYTHONPATH=str(installed)).split()

    assert [
        str(installed / "lockgate/__init__.py"),
        str(installed / "lockgate_cdk/recipe/build.py"),
        compute_digest(Order(folder, "arm64")),
    ] == said


def _read_both(folder: Path) -> tuple[str, str]:
    """Return the names of the function's code and the digest property of the migration."""
    made = migrate(folder)
    return (
        made["Migrate"]["Properties"]["Code"]["S3Key"],
        made["Migration"]["Properties"]["PackageDigest"],
    )


def _synthesise(folder: Path, output: Path, **arguments: Any) -> None:
    app = cdk.App(outdir=str(output))
    stack = cdk.Stack(app, "Shop")
    vpc = make_vpc(stack)
    given = {"build_options": ["--no-compile"], **arguments}
    cluster = make_cluster(stack, vpc)
    DatabaseMigrations(stack, NAME, vpc=vpc, cluster=cluster, migrations=folder, **given)
    app.synth()


def _make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _run(*command: object, **variables: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
