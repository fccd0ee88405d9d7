"""The package that is deployed, as an asset of the CDK.

Knows which files go into it, and infra/build.py, which fills its folder; needs no container. Knows
no stack. The same recipe serves the repository and an installed wheel, which brings it along.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_lambda as lambda_

import lockgate

if TYPE_CHECKING:
    from collections.abc import Iterator

_HANDLER = Path(lockgate.__file__).resolve().parents[1]
_BROUGHT = Path(__file__).resolve().parent / "recipe"
_REPOSITORY = Path(__file__).resolve().parents[3]

_DIGEST_CHARACTERS = 32


class PackageNotBuilt(Exception):
    """The package cannot be built; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Order:
    """Which package is wanted. ``options`` are further ones of infra/build.py."""

    migrations: Path
    machine: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """Where the script that builds is, and what it installs."""

    script: Path
    requirements: Path


def find_recipe() -> Recipe:
    """Return the recipe of the wheel if this is an installed one, else the repository's."""
    if _BROUGHT.is_dir():
        return Recipe(_BROUGHT / "build.py", _BROUGHT / "requirements.txt")
    return Recipe(_REPOSITORY / "infra/build.py", _REPOSITORY / "handler/requirements.txt")


def compute_digest(order: Order) -> str:
    """Return a hash of all that a package is made of: migrations, Lockgate, dependencies, options.

    It does not change with times, modes, folders of this machine or what an editor leaves behind.

    Raises:
        PackageNotBuilt: there is no such folder of migrations.
    """
    if not order.migrations.is_dir():
        raise PackageNotBuilt(
            f"There is no folder {order.migrations}. Nothing was built. Name the folder of your"
            " migrations with migrations=, from where the app is run."
        )
    recipe = find_recipe()
    digest = hashlib.sha256()
    for part in (order.machine, *order.options):
        _add(digest, "option", part.encode())
    for path in (recipe.script, recipe.requirements):
        _add(digest, path.name, path.read_bytes())
    for folder in (_HANDLER / "lockgate", order.migrations):
        for path in _list_files(folder):
            _add(digest, path.relative_to(folder).as_posix(), path.read_bytes())
        _add(digest, "end", b"")
    return digest.hexdigest()[:_DIGEST_CHARACTERS]


def make_code(order: Order, digest: str) -> lambda_.Code:
    """Return the function's code: built when the app is synthesised, unless that was done before."""
    return lambda_.Code.from_asset(
        str(order.migrations),
        asset_hash=digest,
        bundling=cdk.BundlingOptions(
            # Asked for by the CDK; never run, since the local way never declines.
            image=cdk.DockerImage.from_registry("scratch"),
            local=_LocalBuild(order),
        ),
    )


def build(order: Order, folder: Path) -> None:
    """Lay the function's folder out in ``folder``.

    Raises:
        PackageNotBuilt: infra/build.py could not; its words are the message.
    """
    recipe = find_recipe()
    done = subprocess.run(
        [
            *(sys.executable, str(recipe.script), "--directory", str(folder)),
            *("--arch", order.machine, "--migrations", str(order.migrations)),
            *("--handler", str(_HANDLER), "--requirements", str(recipe.requirements)),
            *order.options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PackageNotBuilt(
            f"Lockgate's package was not built. {done.stderr.strip()}\n"
            "What --python and the like say here is given with build_options=[…]."
        )


@jsii.implements(cdk.ILocalBundling)
class _LocalBuild:
    """The CDK's way to have an asset built without a container."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def try_bundle(self, output_dir: str, *_options: Any, **_more: Any) -> bool:
        build(self._order, Path(output_dir))
        return True


def _add(digest: Any, name: str, content: bytes) -> None:
    """Add a named part; its length keeps what follows apart from it."""
    digest.update(f"{name}\0{len(content)}\0".encode())
    digest.update(content)


def _list_files(folder: Path) -> Iterator[Path]:
    """Yield what infra/build.py copies of a folder, in an order of its own."""
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        names = path.relative_to(folder).parts
        left_over = any(name.startswith(".") or name == "__pycache__" for name in names)
        if path.is_file() and not left_over and path.suffix != ".pyc":
            yield path
