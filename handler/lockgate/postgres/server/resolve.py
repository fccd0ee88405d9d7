"""Looking up the addresses of a host within a time: the system's resolver has no limit of its own."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


class ResolveTimeout(TimeoutError):
    """The resolver did not answer in time."""


def resolve(host: str, port: int | None, seconds: float, flags: int = 0) -> list[tuple[Any, ...]]:
    """Return what `socket.getaddrinfo` returns for a stream socket.

    A name that is looked up for longer keeps its thread until the resolver gives up.

    Raises:
        ResolveTimeout: there was no answer within ``seconds``.
        OSError: the name does not resolve; ``socket.gaierror``, also if no name server can have it.
    """
    found: list[tuple[Any, ...]] = []
    errors: list[Exception] = []

    def look_up() -> None:
        try:
            found.extend(_look_up(host, port, flags))
        except Exception as error:  # noqa: BLE001 - the thread that waits raises it
            errors.append(error)

    if _is_numeric(host):
        return _look_up(host, port, flags)
    thread = threading.Thread(target=look_up, name="lockgate-resolve", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not found:
        raise ResolveTimeout("the host name was not resolved in time")
    return found


def _is_numeric(host: str) -> bool:
    """Return whether a host is an address, which no resolver is asked about."""
    try:
        _look_up(host, None, socket.AI_NUMERICHOST)
    except OSError:
        return False
    return True


def _look_up(host: str, port: int | None, flags: int) -> list[tuple[Any, ...]]:
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))
    except UnicodeError as error:
        # Python cannot encode the host name, so no name server can have it.
        raise socket.gaierror(socket.EAI_NONAME, "the host name is not valid") from error
