"""Creates what every run needs before the first event arrives.

Lambda initialises a function with a whole processor and then runs it with the share that its memory
setting buys, a fourteenth at 128 MB. So whatever every run needs is created during initialisation.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from lockgate.aws.call import region_of
from lockgate.aws.clients import cache_client
from lockgate.core.policy import Tls
from lockgate.errors import LockgateError
from lockgate.formats.names import AUTO_FORMAT
from lockgate.formats.registry import find_tool
from lockgate.postgres.server.tls import make_verifying_context
from lockgate.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


def warm_up(environment: Mapping[str, str]) -> None:
    """Create clients, certificates and imports that every run with these settings uses.

    An error here is ignored: it occurs again in the run, which reports it.
    """
    with suppress(LockgateError):
        settings = read_settings(environment)
        if settings.format != AUTO_FORMAT:
            find_tool(settings.format)
        if settings.tls is not Tls.OFF:
            # SCRAM channel binding reads the server's certificate.
            import_module("asn1crypto.x509")
        if settings.tls is Tls.VERIFY_FULL:
            make_verifying_context(settings.ca_file)
        if settings.secret_arn is not None:
            import_module("lockgate.aws.secrets")
            cache_client("secretsmanager", region_of(settings.secret_arn))
