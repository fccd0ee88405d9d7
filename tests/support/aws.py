"""What boto3 and moto spend most of a test's time on, and no test asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.loaders import Loader, create_loader

if TYPE_CHECKING:
    import pytest

# What the loaders of every session have read, by call and arguments.
_models: dict[tuple[str, ...], Any] = {}


def save_time(patch: pytest.MonkeyPatch) -> None:
    """Read a service's model once for all clients; load no images into EC2, which RDS brings along."""
    patch.setattr(botocore.session, "create_loader", _create_loader)
    patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")


def _create_loader(search_path: str | None = None) -> Loader:
    """Return a session's own loader, which a session may change, with everybody's models."""
    loader: Loader = create_loader(search_path)
    loader._cache = _models  # type: ignore[attr-defined]  # the stubs leave it out
    return loader
