"""Builds the deployed package as an asset of the CDK, without a container.

infra/build.py fills its folder. An installed wheel contains a copy of that script.
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
    from collections.abc import Iterable, Iterator, Mapping

_HANDLER = Path(lockgate.__file__).resolve().parents[1]
_BROUGHT = Path(__file__).resolve().parent / "recipe"
_REPOSITORY = Path(__file__).resolve().parents[3]

_DIGEST_CHARACTERS = 32
# Hidden files that infra/build.py packs all the same.
_READ = frozenset({".gmrc"})
_OPTIONS_HINT = "Pass options such as --python with build_options=[…]."
_FORMAT_HINT = (
    'If these are another tool\'s migrations, set environment={"LOCKGATE_FORMAT": "…"}; the build reads'
    " them in that format too."
)


class PackageNotBuilt(Exception):
    """The package cannot be built; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Order:
    """The package to build. ``options`` are further options of infra/build.py."""

    migrations: Path
    machine: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """The path of the build script, and of the requirements that it installs."""

    script: Path
    requirements: Path


def find_recipe() -> Recipe:
    """Return the recipe in the installed wheel, or else the repository's."""
    if _BROUGHT.is_dir():
        return Recipe(_BROUGHT / "build.py", _BROUGHT / "requirements.txt")
    return Recipe(_REPOSITORY / "infra/build.py", _REPOSITORY / "handler/requirements.txt")


def compute_digest(order: Order) -> str:
    """Return a hash of all parts of a package: migrations, Lockgate, dependencies, options.

    It does not depend on times, modes, this machine's folders or an editor's temporary files.

    Raises:
        PackageNotBuilt: there is no such folder of migrations.
    """
    if not order.migrations.is_dir():
        raise PackageNotBuilt(
            f"There is no folder {order.migrations}. Nothing was built. Set migrations= to the folder of"
            " your migrations, relative to where the app runs."
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
    """Return the function's code, which is built when the app is synthesised, unless it exists."""
    return lambda_.Code.from_asset(
        str(order.migrations),
        asset_hash=digest,
        bundling=cdk.BundlingOptions(
            # The CDK requires an image. It is never used, because the local build never declines.
            image=cdk.DockerImage.from_registry("scratch"),
            local=_LocalBuild(order),
        ),
    )


def build(order: Order, folder: Path) -> None:
    """Fill ``folder`` with the function's code.

    Raises:
        PackageNotBuilt: infra/build.py failed; the message quotes it.
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
        is_refused = "lockgate check refuses" in done.stderr
        raise PackageNotBuilt(
            f"Lockgate's package was not built. {done.stderr.strip()}\n"
            f"{_FORMAT_HINT if is_refused else _OPTIONS_HINT}"
        )
    # Its warnings, and how many migrations it has packed; the CDK shows both.
    sys.stderr.write(f"{done.stderr}{done.stdout.splitlines()[-1]}\n")


def list_options(environment: Mapping[str, str], options: Iterable[str]) -> tuple[str, ...]:
    """Return the options of the build, with the format of the function's environment."""
    name = environment.get("LOCKGATE_FORMAT", "")
    is_known = name and not cdk.Token.is_unresolved(name)
    return (*(("--format", name) if is_known else ()), *options)


@jsii.implements(cdk.ILocalBundling)
class _LocalBuild:
    """Builds the asset without a container, through an interface of the CDK."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def try_bundle(self, output_dir: str, *_options: Any, **_more: Any) -> bool:
        build(self._order, Path(output_dir))
        return True


def _add(digest: Any, name: str, content: bytes) -> None:
    """Add a named part with its length, so that the border to the next part counts too."""
    digest.update(f"{name}\0{len(content)}\0".encode())
    digest.update(content)


def _is_left_over(name: str) -> bool:
    return (name.startswith(".") and name not in _READ) or name == "__pycache__"


def _list_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that infra/build.py copies, sorted by name."""
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        names = path.relative_to(folder).parts
        left_over = any(_is_left_over(name) for name in names)
        if path.is_file() and not left_over and path.suffix != ".pyc":
            yield path
