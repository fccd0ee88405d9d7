"""The access to a database that settings give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.aws.access import AccessSource
from lockgate.aws.clients import make_client
from lockgate.aws.parts import SecretStage

if TYPE_CHECKING:
    from lockgate.aws.call import ClientFactory
    from lockgate.core.endpoint import Access
    from lockgate.settings import Settings


def make_access(settings: Settings, clients: ClientFactory = make_client) -> Access:
    """Return the access that the settings give now, with a secret at its current stage."""
    return AccessSource(settings, clients).access(SecretStage.CURRENT)
