"""Skip slow work in boto3 and moto that no test needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.loaders import Loader, create_loader

if TYPE_CHECKING:
    import pytest

# Service models loaded by any session, by call and arguments.
_models: dict[tuple[str, ...], Any] = {}


def save_time(patch: pytest.MonkeyPatch) -> None:
    """Load each service model once for all clients, and no EC2 images, which moto's RDS would load."""
    patch.setattr(botocore.session, "create_loader", _create_loader)
    patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")


def _create_loader(search_path: str | None = None) -> Loader:
    """Return a session's own loader, with the shared models."""
    loader: Loader = create_loader(search_path)
    loader._cache = _models  # type: ignore[attr-defined]  # missing in the stubs
    return loader
