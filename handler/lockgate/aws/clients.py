"""Clients of AWS services, and their failures as ours. The only importer of botocore in this package.

botocore is imported when the first client is made: a run that needs no secret, no IAM token and no
discovery never pays for it. boto3, which adds nothing to a client, is not imported at all.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from typing import Any

from lockgate.errors import CredentialsRejected, LockgateError
from lockgate.fast_start.dataclass import dataclass
from lockgate.settings import read_environment

# Called with a service's name and a region, or None for the environment's region.
ClientFactory = Callable[[str, str | None], Any]

_CONNECT_SECONDS = 3
_READ_SECONDS = 5
_ATTEMPTS = 3

_ARN = re.compile(r"arn:[^:]+:[^:]+:([^:]+):")

_SIGNING_CODES = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException"})
_THROTTLED_CODES = frozenset(
    {
        "LimitExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
_TOO_MANY = 429
_SERVER_ERRORS = range(500, 600)


@dataclass(frozen=True, slots=True)
class Call:
    """One call for messages: what it reads, with which permission, through which VPC endpoint."""

    subject: str
    permission: str
    service: str
    # What each of the service's own error codes means: what happened, and what to do.
    meanings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    error_class: type[LockgateError] = CredentialsRejected
    verb: str = "read"


# What `keep_client` made, by service and region.
_kept: dict[tuple[str, str | None], Any] = {}


def make_client(service: str, region: str | None, *, attempts: int = _ATTEMPTS) -> Any:
    """Return a client that fails within seconds: 3 to connect, 5 to read, 3 attempts.

    Silences botocore's debug log, which prints answers whole, also where the root logger is at
    DEBUG (``AWS_LAMBDA_LOG_LEVEL``).

    Raises:
        CredentialsRejected: no region is known.
    """
    if attempts == _ATTEMPTS and (service, region) in _kept:
        return _kept[service, region]
    from botocore.config import Config  # noqa: PLC0415 -- 130 ms that a run without AWS does not pay
    from botocore.session import Session  # noqa: PLC0415 -- as above

    logging.getLogger("botocore").setLevel(logging.INFO)
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    with translated(Call(f"AWS {service}", "", service)):
        session = Session()
        # It would look into the folder of each of AWS's 400 services for whether this is one.
        session.get_component("data_loader").list_available_services = lambda _kind: [service]
        return session.create_client(service, region_name=region or find_region(), config=config)


def keep_client(service: str, region: str | None) -> None:
    """Make a client that `make_client` hands out from then on, as long as this process lives.

    For Lambda's initialisation, where a process has one account, one role and one endpoint.

    Raises:
        CredentialsRejected: no region is known.
    """
    _kept[service, region] = make_client(service, region)


@contextmanager
def translated(call: Call) -> Iterator[None]:
    """Turn what botocore raises inside into one of our errors, with the cause kept."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 -- as above

    try:
        yield
    except ClientError as error:
        raise _from_answer(error.response.get("Error", {}), call) from error
    except BotoCoreError as error:
        raise _from_client(type(error).__name__, error, call) from error


def find_region() -> str | None:
    """Return the region that the environment names; botocore alone reads ``AWS_DEFAULT_REGION`` only."""
    return read_environment().get("AWS_REGION") or None


def may_pass(error: LockgateError) -> bool:
    """Return whether asking again may help: what AWS failed with is its own, or the network's."""
    from botocore import exceptions  # noqa: PLC0415 -- as above

    cause = error.__cause__
    if isinstance(cause, exceptions.ClientError):
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        is_throttled = status == _TOO_MANY or error.fields.get("aws_code") in _THROTTLED_CODES
        return is_throttled or status in _SERVER_ERRORS
    broken = (
        exceptions.HTTPClientError,
        exceptions.ConnectionError,
        exceptions.IncompleteReadError,
    )
    return isinstance(cause, broken)


def region_of(arn: str | None) -> str | None:
    """Return the region that an ARN names, ``None`` for a plain name."""
    named = _ARN.match(arn or "")
    return named[1] if named is not None else None


def _from_answer(answer: Any, call: Call) -> LockgateError:
    code = str(answer.get("Code", "an unnamed error"))
    if code in call.meanings:
        problem, hint = call.meanings[code]
    elif code in _DENIED_CODES:
        problem = f"this role may not {'read it' if call.verb == 'read' else 'do that'} ({code})"
        hint = (
            f"Allow {call.permission} in the role's policy, and see that neither the resource's own"
            " policy nor that of a VPC endpoint forbids it. AWS says: "
            f"{str(answer.get('Message', ''))[:500]}"
        )
    elif code in _SIGNING_CODES:
        problem = f"AWS does not accept the credentials of this process ({code})"
        hint = "Sign in to AWS again; check the clock, and AWS_PROFILE if this is a terminal."
    else:
        problem = f"AWS answered {code}"
        hint = "Invoke again; if it stays, look up the code in the service's API reference."
    return _make_error(call, problem, hint, code)


def _from_client(name: str, error: Exception, call: Call) -> LockgateError:
    from botocore import exceptions  # noqa: PLC0415 -- as above

    if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
        problem = f"the endpoint of {call.service} cannot be reached ({name})"
        hint = (
            f"A function in a VPC without NAT needs an interface endpoint for {call.service}, with"
            " private DNS, whose security group admits port 443 from the function."
        )
    elif isinstance(
        error,
        (
            exceptions.NoCredentialsError,
            exceptions.PartialCredentialsError,
            exceptions.CredentialRetrievalError,
            exceptions.SSOError,
            exceptions.TokenRetrievalError,
        ),
    ):
        problem = f"this process has no AWS credentials ({name})"
        hint = "Give the function a role; in a terminal, sign in to AWS or set AWS_PROFILE."
    elif isinstance(error, exceptions.ProfileNotFound):
        problem = f"the AWS configuration has no such profile ({name})"
        hint = "Correct AWS_PROFILE or --profile; aws configure list-profiles has the names."
    elif isinstance(error, exceptions.NoRegionError):
        problem = f"no region is known ({name})"
        hint = "Set AWS_REGION, or give a whole ARN where a name was given."
    else:
        problem = f"the AWS client failed ({name})"
        hint = "Check the names in the function's settings, and the AWS configuration."
    return _make_error(call, problem, hint, name)


def _make_error(call: Call, problem: str, hint: str, code: str) -> LockgateError:
    return call.error_class(
        f"{call.subject} cannot be {call.verb}: {problem}.",
        hint=hint,
        aws_code=code,
    )
