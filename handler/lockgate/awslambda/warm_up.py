"""What every run needs, made before the first event. Knows settings, clients and certificates.

Lambda initialises a function with a whole processor, and then runs it with the share that its memory
buys, a fourteenth at 128 MB. So what surely is needed is made in the initialisation.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from lockgate.aws.clients import keep_client, region_of
from lockgate.core.policy import Tls
from lockgate.errors import LockgateError
from lockgate.formats.registry import find_format
from lockgate.postgres.server.tls import make_verifying_context
from lockgate.settings import AUTO_FORMAT, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


def prepare(environment: Mapping[str, str]) -> None:
    """Make what every run with these settings uses, whatever it is asked.

    What fails here fails again in the run, where somebody is told.
    """
    with suppress(LockgateError):
        settings = read_settings(environment)
        if settings.format != AUTO_FORMAT:
            find_format(settings.format)
        if settings.tls is not Tls.OFF:
            # Reads the server's certificate, to which SCRAM binds what it says.
            import_module("asn1crypto.x509")
        if settings.tls is Tls.VERIFY_FULL:
            make_verifying_context(settings.ca_file)
        if settings.secret_arn is not None:
            import_module("lockgate.aws.secrets")
            keep_client("secretsmanager", region_of(settings.secret_arn))
