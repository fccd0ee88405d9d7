"""Terraform with the module in its own folder; skipped if Terraform is not installed.

Tests with the AWS provider take a minute or two, so they run on demand: `make infra`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol

import pytest
from tests.support.terraform import (
    PLUGINS_VARIABLE,
    Terraform,
    find_plugins,
    find_program,
    write_cli_config,
)

ON_DEMAND = "LOCKGATE_TEST_TERRAFORM"
ROOT = Path(__file__).parents[3]
MODULE = ROOT / "infra/terraform"


class MakeTerraform(Protocol):
    """A function that returns Terraform for a folder."""

    def __call__(self, folder: Path, **environment: str) -> Terraform:
        """Return Terraform for a folder, with a provider but not initialised."""
        ...


@pytest.fixture(scope="session")
def terraform_program() -> Path:
    """Return the path of Terraform, or skip."""
    program = find_program()
    if program is None:
        pytest.skip("terraform is not on the PATH")
    return program


@pytest.fixture(scope="session")
def make_terraform(
    terraform_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> MakeTerraform:
    """Return a function that returns Terraform with a provider, or skip."""
    if not os.environ.get(ON_DEMAND):
        pytest.skip("takes a minute; run it with `make infra`")
    plugins = find_plugins()
    if plugins is None:
        pytest.skip(
            f"no copy of Terraform's AWS provider was found; name one in {PLUGINS_VARIABLE}"
        )
    config = write_cli_config(plugins, tmp_path_factory.mktemp("terraform"))

    def make(folder: Path, **environment: str) -> Terraform:
        return Terraform(terraform_program, config, folder, environment)

    return make


@pytest.fixture(scope="session")
def module_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the module that Terraform may write to."""
    folder = tmp_path_factory.mktemp("module") / "lockgate/infra/terraform"
    left = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    return Path(shutil.copytree(MODULE, folder, ignore=left))
