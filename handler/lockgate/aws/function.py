"""Invokes a deployed function and waits for its result.

The usual client waits a minute for a response and then invokes again. Its connection is silent while the
function works, and networks drop silent connections. Here nothing is sent twice, the client waits longer
than an invocation can take, and the connection is kept alive::

    |-- connect, 10 s --|-- the function works, up to 900 s --------------|-- answer --|
                          probe   probe   probe  (after 60 s, every 30 s)
"""

from __future__ import annotations

import json
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.httpsession import URLLib3Session
from botocore.session import Session
from botocore.utils import get_environ_proxies

from lockgate.aws.call import Call, find_region, region_of
from lockgate.aws.clients import may_pass, translated
from lockgate.errors import (
    CredentialsRejected,
    FunctionBusy,
    FunctionFailed,
    LockgateError,
    RequestInvalid,
)
from lockgate.fast_start.dataclass import dataclass
from lockgate.settings import read_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONNECT_SECONDS = 10
# Lambda's longest timeout, and some time for its start and the network.
_READ_SECONDS = 900 + 60

# Some networks drop a connection after four silent minutes; the kernel's default first probe comes after
# two hours.
_SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4))
        if hasattr(socket, name)
    ),
]

_NO_NAME = (
    RequestInvalid,
    "that is not a valid function name",
    "Give its name or ARN; the stack's output FunctionArn contains it.",
)
_UNREACHED = (
    FunctionFailed,
    "Lambda cannot be reached",
    "Check the region and the network; if a proxy is needed, set HTTPS_PROXY.",
)
# AWS's and the client's error codes after which nothing ran: class, meaning, hint.
_MEANT: dict[str, tuple[type[LockgateError], str, str]] = {
    "ResourceNotFoundException": (
        RequestInvalid,
        "there is no such function",
        "Check name, alias, region and account; the stack's output FunctionArn contains the whole ARN.",
    ),
    "InvalidParameterValueException": _NO_NAME,
    "ValidationException": _NO_NAME,
    "ParamValidationError": _NO_NAME,
    "TooManyRequestsException": (
        FunctionBusy,
        "it has reached its limit of concurrent invocations",
        "Invoke again when another invocation has ended, or raise its reserved concurrency.",
    ),
    "ResourceConflictException": (
        FunctionBusy,
        "it is being deployed",
        "Invoke again when the deploy is over.",
    ),
    "EndpointConnectionError": _UNREACHED,
    "ConnectTimeoutError": _UNREACHED,
    "ProxyConnectionError": _UNREACHED,
    "SSLError": _UNREACHED,
}
# Lambda cannot start the function yet, and nothing ran. That passes within minutes: an idle
# function in a VPC becomes active, addresses become free, a changed key or role becomes known
# everywhere.
_NOT_STARTED = frozenset(
    {
        "ResourceNotReadyException", "ENINotReadyException", "SnapStartNotReadyException",
        "EC2ThrottledException", "EC2UnexpectedException", "EC2AccessDeniedException",
        "SubnetIPAddressLimitReachedException", "ENILimitReachedException",
        "InvalidSecurityGroupIDException", "InvalidSubnetIDException", "KMSAccessDeniedException",
        "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FunctionResponse:
    """The response of Lambda: the payload, and whether it is the function's result or its error."""

    payload: Any
    is_error: bool


class RemoteFunction:
    """A function by its name or ARN.

    ``region`` and ``profile`` default to the environment's, the region first to the ARN's.
    """

    def __init__(self, name: str, region: str | None = None, profile: str | None = None) -> None:
        self.name = name
        self._region = region or region_of(name) or find_region()
        self._profile = profile

    def invoke(self, command: Mapping[str, Any]) -> FunctionResponse:
        """Invoke the function once, and wait until it ends.

        Raises:
            RequestInvalid: there is no such function.
            CredentialsRejected: AWS rejects this process's credentials, or they may not invoke it.
            FunctionBusy: Lambda cannot start a further invocation now.
            FunctionFailed: Lambda cannot be reached, or the connection broke while the function worked.
        """
        call = Call(f"Function {self.name}", "lambda:InvokeFunction", "lambda", verb="invoked")
        try:
            with translated(call):
                answer = self._make_client().invoke(
                    FunctionName=self.name, Payload=json.dumps(command).encode()
                )
                content = answer["Payload"].read()
        except LockgateError as error:
            raise _explain(error, self.name) from error
        return FunctionResponse(_parse(content), is_error="FunctionError" in answer)

    def _make_client(self) -> Any:
        session = Session(profile=self._profile)
        config = Config(retries={"mode": "standard", "total_max_attempts": 1})
        client = session.create_client("lambda", region_name=self._region, config=config)
        # The client has no way to set the options of its own connections.
        send = partial(_send, session.get_config_variable("ca_bundle"))
        client.meta.events.register("before-send.lambda.Invoke", send)
        return client


def _send(ca_bundle: str | None, request: Any, **_: object) -> Any:
    """Send a signed request over a connection that is kept alive."""
    options: dict[str, Any] = {
        "verify": ca_bundle or read_environment().get("REQUESTS_CA_BUNDLE") or True,
        "proxies": get_environ_proxies(request.url),
        "timeout": (_CONNECT_SECONDS, _READ_SECONDS),
        "socket_options": _SOCKET_OPTIONS,
    }
    return URLLib3Session(**options).send(request)


def _explain(error: LockgateError, name: str) -> LockgateError:
    """Return the error with the class that determines the exit status."""
    code = str(error.fields.get("aws_code"))
    if code in _MEANT:
        cls, problem, hint = _MEANT[code]
        message = f"Function {name} cannot be invoked: {problem} ({code})."
        return cls(message, hint=hint, was_invoked=False)
    if code in _NOT_STARTED:
        return FunctionBusy(
            f"Function {name} cannot be invoked: Lambda has not started it ({code}).",
            hint="Invoke again in a few minutes. If that does not help, look at the function's State and"
            f" StateReason: aws lambda get-function-configuration --function-name {name}",
            may_start_soon=True,
            aws_code=code,
            was_invoked=False,
        )
    if not may_pass(error):
        return CredentialsRejected(error.message, hint=error.hint, was_invoked=False)
    # The request may have arrived, and the function may be running.
    return FunctionFailed(
        f"Function {name} was invoked, but its response did not arrive ({code}).",
        hint=f"lockgate invoke {name} --action status\nIf you invoke it again, the new run waits for the"
        " active one.",
    )


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
