"""The image's build file, tested without Docker: its steps run in a folder."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from infra import build

DOCKERFILE = build.ROOT / "infra/Dockerfile"
BASE = f"public.ecr.aws/lambda/python:{build.PYTHON_VERSION}"
# Libraries of the base image that this machine's Python may lack.
BROUGHT = ("boto3", "botocore", "s3transfer", "urllib3")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction of a Dockerfile."""

    word: str
    text: str


def read_steps() -> list[Step]:
    """Return the build file's instructions in order."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [Step(*line.split(maxsplit=1)) for line in lines]


def read_stages() -> list[list[Step]]:
    """Return the instructions of each stage, including its FROM."""
    stages: list[list[Step]] = []
    for step in read_steps():
        if step.word == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(step)
    return stages


def test_image_is_made_of_two_stages_on_lambdas_own_base() -> None:
    """Base image and handler match the shipped byte code and the template."""
    steps = read_steps()
    template = (build.ROOT / "template.yaml").read_text("utf-8")
    (command,) = (json.loads(step.text) for step in steps if step.word == "CMD")

    assert Step("ARG", f"BASE={BASE}") == steps[0]
    assert ["${BASE} AS build", "${BASE}"] == [step.text for step in steps if step.word == "FROM"]
    assert f"    Handler: {command[0]}\n" in template
    assert 1 == len(command)


@pytest.mark.usefixtures("package")
def test_steps_of_the_build_lay_out_what_the_zip_has(
    compiler: Path, package: Path, tmp_path: Path
) -> None:
    """The image's folder equals the zip byte for byte, and passes its own check."""
    first, last = read_stages()
    context, work, task = (tmp_path / name for name in ("context", "build", "task"))
    context.mkdir()
    work.mkdir()
    for name in ("handler", "infra", "migrations"):
        (context / name).symlink_to(build.ROOT / name)
    for step in first:
        match step.word:
            case "COPY":
                copy(step, context, work, MIGRATIONS="migrations")
            case "RUN":
                run(step, work, compiler, MIGRATIONS="migrations")
    (copied,) = (step.text for step in last if step.word == "COPY")
    assert f"--from=build /build/task/ {build.TASK_ROOT}/" == copied
    shutil.copytree(work / "task", task)
    (check,) = (step for step in last if step.word == "RUN")
    run(check, task, compiler, PYTHONPATH=str(bring_boto3(tmp_path / "brought")))

    with zipfile.ZipFile(package) as archive:
        zipped = {name: digest(archive.read(name)) for name in archive.namelist()}
    assert zipped == {
        path.relative_to(task).as_posix(): digest(path.read_bytes())
        for path in task.rglob("*")
        if path.is_file()
    }


def test_build_without_a_folder_of_migrations_is_refused(tmp_path: Path) -> None:
    """The build ends before anything is copied, with the argument to give."""
    steps = read_steps()
    refuse = steps[next(i for i, step in enumerate(steps) if step == Step("ARG", "MIGRATIONS")) + 1]
    done = subprocess.run(
        ["/bin/sh", "-c", refuse.text], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (1, True) == (done.returncode, "--build-arg MIGRATIONS=db/migrations" in done.stderr)


def test_what_the_image_copies_is_not_ignored() -> None:
    """The ignore file excludes leftovers of builds but no file that is copied."""
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text("utf-8").splitlines()
    patterns = [line for line in ignored if line and not line.startswith("#")]
    copied = ["infra/build.py", "handler/lockgate/entry.py", "migrations/R__order_balances.sql"]

    assert ".git" in patterns
    for name in copied:
        parts = [name, *(str(parent) for parent in Path(name).parents)]
        assert [] == [one for one in patterns for part in parts if fnmatch.fnmatch(part, one)]


def copy(step: Step, context: Path, work: Path, **values: str) -> None:
    """Imitate COPY: a folder's content into a folder, or a file under its name."""
    for name, value in values.items():
        step = Step(step.word, step.text.replace(f"${{{name}}}", value))
    source, target = step.text.split()
    if source.endswith("/"):
        shutil.copytree(context / source, work / target, dirs_exist_ok=True)
    else:
        (work / target).mkdir(parents=True, exist_ok=True)
        shutil.copy(context / source, work / target)


def run(step: Step, folder: Path, compiler: Path, **variables: str) -> None:
    """Imitate RUN, with the image's Python first on the PATH."""
    path = f"{compiler.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-c", step.text],
        cwd=folder,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{step.text}\n{done.stdout}{done.stderr}"


def bring_boto3(folder: Path) -> Path:
    """Return a folder with links to the AWS libraries of the base image."""
    site = Path(boto3.__file__).parents[1]
    folder.mkdir()
    for name in BROUGHT:
        (folder / name).symlink_to(site / name)
    return folder


def digest(content: bytes) -> str:
    """Return a digest of a file's content."""
    return hashlib.sha256(content).hexdigest()
