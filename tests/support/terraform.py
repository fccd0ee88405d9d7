"""Terraform offline: finding a copy of the AWS provider, and running commands with it.

The copy is searched in the folder of LOCKGATE_TEST_TERRAFORM_PLUGINS, in Terraform's own cache and
mirrors, and in the folders of /opt; its layout is that of a filesystem mirror.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PLUGINS_VARIABLE = "LOCKGATE_TEST_TERRAFORM_PLUGINS"
# Below the host name of any registry.
_PROVIDER = "*/hashicorp/aws"
_MIRROR = re.compile(r'filesystem_mirror\s*\{[^}]*?path\s*=\s*"([^"]+)"')
_CACHE = re.compile(r'^\s*plugin_cache_dir\s*=\s*"([^"]+)"', re.MULTILINE)
# The provider spends its time on its schema; collecting garbage less often saves a third of it.
_LAZY_GARBAGE = {"GOGC": "400"}
_TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a command: its exit status and its output."""

    status: int
    said: str

    @property
    def words(self) -> str:
        """The output without the frames and line breaks that Terraform adds."""
        return " ".join(self.said.replace("│", " ").split())


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in one folder. ``environment`` is added for every command."""

    program: Path
    cli_config: Path
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **variables: str) -> Done:
        """Run a command to its end and return its result; ``variables`` are input variables."""
        done = subprocess.run(
            [self.program, f"-chdir={self.folder}", *arguments],
            env={
                **os.environ,
                **_LAZY_GARBAGE,
                "TF_CLI_CONFIG_FILE": str(self.cli_config),
                "TF_IN_AUTOMATION": "true",
                "TF_INPUT": "false",
                "CHECKPOINT_DISABLE": "true",
                **{f"TF_VAR_{name}": value for name, value in variables.items()},
                **self.environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        return Done(done.returncode, done.stdout)

    def succeed(self, *arguments: str, **variables: str) -> str:
        """Run a command, assert that it succeeds, and return its output."""
        done = self.run(*arguments, **variables)
        assert done.status == 0, done.said
        return done.said


def find_program() -> Path | None:
    """Return the path of Terraform, if it is installed."""
    found = shutil.which("terraform")
    return None if found is None else Path(found)


def find_plugins() -> Path | None:
    """Return the first folder that has a copy of the AWS provider."""
    return next((folder for folder in _list_places() if any(folder.glob(_PROVIDER))), None)


def write_cli_config(plugins: Path, folder: Path) -> Path:
    """Write and return a CLI configuration that takes providers only from this folder."""
    path = folder / "terraform.rc"
    path.write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{plugins}"\n  }}\n}}\n',
        "utf-8",
    )
    return path


def _list_places() -> Iterator[Path]:
    for name in (PLUGINS_VARIABLE, "TF_PLUGIN_CACHE_DIR"):
        if os.environ.get(name):
            yield Path(os.environ[name])
    config = Path(os.environ.get("TF_CLI_CONFIG_FILE", Path.home() / ".terraformrc"))
    if config.is_file():
        text = config.read_text("utf-8")
        yield from (Path(path) for path in (*_MIRROR.findall(text), *_CACHE.findall(text)))
    yield Path.home() / ".terraform.d/plugins"
    for folder in os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share").split(":"):
        yield Path(folder) / "terraform/plugins"
    yield from sorted(Path("/opt").glob("*"))
