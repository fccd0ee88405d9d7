"""botocore: creates clients, and translates its exceptions into Lockgate's errors.

The only module of the function that imports botocore, in 130 ms; `clients` imports it with the first
client. boto3 adds nothing to a client and is not imported.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from lockgate.aws.call import Call, find_region

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.errors import LockgateError

_CONNECT_SECONDS = 3
_READ_SECONDS = 5

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


def create_client(service: str, region: str | None, attempts: int) -> Any:
    """Return a new client with short timeouts: 3 s to connect, 5 s to read.

    Silences botocore's debug log, even if ``AWS_LAMBDA_LOG_LEVEL`` is DEBUG, because it prints whole
    answers.

    Raises:
        CredentialsRejected: no region is known.
    """
    logging.getLogger("botocore").setLevel(logging.INFO)
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    with translated(Call(f"AWS {service}", "", service)):
        session = Session()
        # Otherwise botocore lists the folders of all 400 services to check that this one exists.
        session.get_component("data_loader").list_available_services = lambda _kind: [service]
        return session.create_client(service, region_name=region or find_region(), config=config)


@contextmanager
def translated(call: Call) -> Iterator[None]:
    """Translate an exception of botocore into an error of Lockgate, with the cause kept."""
    try:
        yield
    except ClientError as error:
        raise _from_answer(error.response.get("Error", {}), call) from error
    except BotoCoreError as error:
        raise _from_client(type(error).__name__, error, call) from error


def may_pass(error: LockgateError) -> bool:
    """Return whether a retry may help: the failure was inside AWS or in the network."""
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


def _from_answer(answer: Any, call: Call) -> LockgateError:
    code = str(answer.get("Code", "an unnamed error"))
    if code in call.meanings:
        problem, hint = call.meanings[code]
    elif code in _DENIED_CODES:
        problem = f"this role may not {'read it' if call.verb == 'read' else 'do that'} ({code})"
        hint = (
            f"Allow {call.permission} in the role's policy, and check that neither the resource's own"
            " policy nor a VPC endpoint's denies it. AWS says: "
            f"{str(answer.get('Message', ''))[:500]}"
        )
    elif code in _SIGNING_CODES:
        problem = f"AWS does not accept the credentials of this process ({code})"
        hint = "Sign in to AWS again; check the clock and, in a terminal, AWS_PROFILE."
    else:
        problem = f"AWS answered {code}"
        hint = "Invoke again; if it fails again, look up the code in the service's API reference."
    return _make_error(call, problem, hint, code)


def _from_client(name: str, error: Exception, call: Call) -> LockgateError:

    if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
        problem = f"the endpoint of {call.service} cannot be reached ({name})"
        hint = (
            f"A function in a VPC without NAT needs an interface endpoint for {call.service}, with"
            " private DNS and a security group that admits port 443 from the function."
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
        hint = "Correct AWS_PROFILE or --profile; aws configure list-profiles shows the names."
    elif isinstance(error, exceptions.NoRegionError):
        problem = f"no region is set ({name})"
        hint = "Set AWS_REGION, or use a whole ARN instead of a name."
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
