"""The layer for custom functions: it is imported from /opt/python and contains no migrations."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from infra.build import Recipe
from tests.support.artifact import HOST
from tests.support.packages import fill

from infra import build

if TYPE_CHECKING:
    from pathlib import Path

# A custom function: its imports from the layer, and one event.
OWN_FUNCTION = """
import importlib, json, marshal, pathlib, sys
sys.dont_write_bytecode = True
layer = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(layer))
from lockgate.awslambda.app import lambda_handler
from lockgate.entry import lambda_handler as entry

class Context:
    function_name = "own"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:111122223333:function:own"
    def get_remaining_time_in_millis(self):
        return 60_000

said = []
for handler in (lambda_handler, entry):
    try:
        handler({"action": "status"}, Context())
    except Exception as error:
        said.append([type(error).__name__, json.loads(str(error))["error"]["message"]])
places = {
    marshal.loads(path.read_bytes()[16:]).co_filename.partition("/lockgate/")[0]
    for path in layer.glob("lockgate/**/*.pyc")
}
sys.stderr.write(json.dumps([said, sorted(places)]))
"""
UNSET = (
    "No database is given: LOCKGATE_SECRET_ARN, LOCKGATE_DATABASE_URL and LOCKGATE_IAM_AUTH are not"
    " set. Nothing was changed."
)


@pytest.fixture(scope="module")
def layer(compiler: Path, migrations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the layer's folder for this machine, as unpacked into /opt."""
    folder = tmp_path_factory.mktemp("layer") / "opt"
    fill(Recipe(HOST, migrations, compiler), folder, build.fill_layer)
    return folder


def test_layer_holds_the_package_without_migrations(layer: Path, package: Path) -> None:
    """The layer equals the package except for migrations and the path in the byte code."""
    with zipfile.ZipFile(package) as archive:
        deployed = {
            name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()
        }
    shipped = {
        path.relative_to(layer / "python").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in layer.rglob("*")
        if path.is_file()
    }
    alike = {name for name in shipped if not name.endswith(".pyc")}

    assert {name for name in deployed if not name.startswith("migrations/")} == set(shipped)
    assert {name: deployed[name] for name in alike} == {name: shipped[name] for name in alike}
    assert ["python"] == [path.name for path in layer.iterdir()]


def test_own_function_has_lockgates_handler(
    layer: Path, compiler: Path, migrations: Path, tmp_path: Path
) -> None:
    """A custom function imports the handler from the layer and uses its own migrations."""
    shutil.copytree(migrations, tmp_path / "migrations")
    done = subprocess.run(
        [str(compiler), "-I", "-S", "-c", OWN_FUNCTION, str(layer / "python")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert [[["RequestRefused", UNSET]] * 2, ["/opt/python"]] == json.loads(
        done.stderr.splitlines()[-1]
    )


def test_command_writes_a_layer(layer: Path, tmp_path: Path) -> None:
    """`--layer` builds the zip to publish, and accepts no migrations."""
    output = tmp_path / "layer.zip"
    command = [sys.executable, "infra/build.py", "--layer", "--arch", "native"]
    done = subprocess.run(
        [*command, "--output", str(output)],
        cwd=build.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    again = build.write_package(layer, tmp_path / "again.zip")

    assert done.returncode == 0, done.stderr
    assert again.path.read_bytes() == output.read_bytes()
    assert again.zipped_bytes < build.ZIPPED_AIM_BYTES
    refused = subprocess.run(
        [*command, "--migrations", "."],
        cwd=build.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "not allowed with argument --layer" in refused.stderr
