"""Clients of AWS services. Imports botocore when the first client is made, or the first call is.

A run that needs no secret, no IAM token and no description from RDS does not import botocore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import ModuleType

    from lockgate.aws.call import Call
    from lockgate.errors import LockgateError

_ATTEMPTS = 3

# The clients that `cache_client` created, by service and region.
_cached: dict[tuple[str, str | None], Any] = {}


def make_client(service: str, region: str | None, *, attempts: int = _ATTEMPTS) -> Any:
    """Return a client that fails within seconds; see `sdk.create_client`.

    Raises:
        CredentialsRejected: no region is known.
    """
    if attempts == _ATTEMPTS and (service, region) in _cached:
        return _cached[service, region]
    return _import_sdk().create_client(service, region, attempts)


def cache_client(service: str, region: str | None) -> None:
    """Create a client that `make_client` returns from then on, as long as this process lives.

    For Lambda's initialisation, where a process has one account, one role and one endpoint.

    Raises:
        CredentialsRejected: no region is known.
    """
    _cached[service, region] = make_client(service, region)


def translated(call: Call) -> AbstractContextManager[None]:
    """Return a block that translates botocore's exceptions; see `sdk.translated`."""
    block: AbstractContextManager[None] = _import_sdk().translated(call)
    return block


def may_pass(error: LockgateError) -> bool:
    """Return whether a retry of a failed call may help; see `sdk.may_pass`."""
    return bool(_import_sdk().may_pass(error))


def _import_sdk() -> ModuleType:
    from lockgate.aws import sdk  # the door to botocore

    return sdk
