"""What boto3 and moto spend most of a test's time on, and no test asks for."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import botocore.session
from botocore.loaders import create_loader

if TYPE_CHECKING:
    import pytest

_share_models = functools.cache(create_loader)


def save_time(patch: pytest.MonkeyPatch) -> None:
    """Read a service's model once for all clients; load no images into EC2, which RDS brings along."""
    patch.setattr(botocore.session, "create_loader", _share_models)
    patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
