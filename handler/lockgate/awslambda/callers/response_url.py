"""The one PUT that CloudFormation waits for. Knows the signed URL and HTTP; knows no report.

The URL is a secret, so errors are made outside of ``except`` blocks: neither their cause nor their
context leads to one that quotes it. Proxies of the environment are not used, as in AWS's own
``cfn-response``: the answer must not depend on a host that the database does not need either.
"""

from __future__ import annotations

import http.client
import re
import ssl
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from lockgate.awslambda.callers.delivery import LEAST_MS, MAX_TRIES, Attempt, retry
from lockgate.core.endpoint import is_loopback
from lockgate.errors import RequestInvalid, UnexpectedFailure

if TYPE_CHECKING:
    from lockgate.awslambda.callers.delivery import Timing

_ATTEMPT_MS = 10_000

# CloudFormation's own bucket in eu-west-1 is cloudformation-custom-resource-response-euwest1, and
# its host is that of S3 there. Anybody may own a bucket with a name like it, but not in that region
# of that partition: there the name is taken. So region, bucket and domain must belong together.
_BUCKET = "cloudformation-custom-resource-response-"
_REGION = r"(?P<region>[a-z]{2,4}(?:-[a-z]+)+-[0-9]+)"
_REGIONAL_HOST = re.compile(
    rf"{_BUCKET}(?P<bucket>[a-z]+[0-9]+)\.s3[.-](?:dualstack\.)?{_REGION}\.(?P<domain>[a-z0-9.-]+)"
)
# Only us-east-1 goes without a region in its host.
_GLOBAL_HOST = f"{_BUCKET}useast1.s3.amazonaws.com"
# How the regions of each partition begin; the first that fits counts.
_DOMAINS = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "": "amazonaws.com",
}
_PLAIN_URL = re.compile(r"[!-~]+")

_RETRIED = frozenset({408, 429})
_SUCCESSES = range(200, 300)
_SERVER_ERRORS = range(500, 600)


def check_response_url(url: str | None, *, loopback: bool) -> str:
    """Return the URL if it leads to CloudFormation's own bucket over HTTPS.

    With ``loopback``, one on this machine will do, also over plain HTTP.

    Raises:
        RequestInvalid: it leads elsewhere. No message quotes it.
    """
    parts = _split(url)
    if url is None or parts is None or not _is_allowed(parts, loopback=loopback):
        raise RequestInvalid(
            "The event's ResponseURL does not lead to CloudFormation's own bucket over HTTPS, so"
            " nothing would be told to it.",
            hint="Let CloudFormation invoke the function. Behind a framework that answers itself"
            " (CDK Provider), set LOCKGATE_CFN_RESPONSE=return.",
        )
    return url


def put_answer(url: str, body: bytes, timing: Timing, *, loopback: bool = False) -> None:
    """Send the answer; up to 5 tries within the time that is left, the pauses growing and jittered.

    Tried again: no connection, a broken one, no answer in time, 408, 429 and 5xx. Not tried again:
    any other status, such as 403 for a signature that is over, and a certificate that does not
    verify.

    Raises:
        RequestInvalid: the URL leads elsewhere; nothing was sent.
        UnexpectedFailure: no try succeeded.
    """
    parts = urlsplit(check_response_url(url, loopback=loopback))
    tries, last = retry(partial(_try_once, parts, body, timing), timing)
    if last.is_done:
        return
    raise UnexpectedFailure(
        f"CloudFormation could not be told the outcome: try {tries} of {MAX_TRIES} ended with"
        f" {last.ended}. What the run did to the database stays; the stack waits until its"
        " ServiceTimeout.",
        hint="In a VPC without NAT, an S3 endpoint must admit s3:PutObject on"
        " cloudformation-custom-resource-response-<region without dashes>/*.",
        tries=tries,
        ended=last.ended,
    )


def _split(url: str | None) -> SplitResult | None:
    if url is None or _PLAIN_URL.fullmatch(url) is None:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # read here, since reading it is what fails
    except ValueError:
        return None
    return parts


def _is_allowed(parts: SplitResult, *, loopback: bool) -> bool:
    host = parts.hostname or ""
    if "@" in parts.netloc:
        return False
    if loopback and is_loopback(host):
        return parts.scheme in {"http", "https"}
    return parts.scheme == "https" and parts.port in {None, 443} and _is_cloudformation(host)


def _is_cloudformation(host: str) -> bool:
    regional = _REGIONAL_HOST.fullmatch(host)
    if regional is None:
        return host == _GLOBAL_HOST
    region = regional["region"]
    domain = next(domain for start, domain in _DOMAINS.items() if region.startswith(start))
    return region.replace("-", "") == regional["bucket"] and domain == regional["domain"]


def _attempt_seconds(timing: Timing) -> float:
    return max(LEAST_MS, min(_ATTEMPT_MS, timing.remaining_ms() - LEAST_MS)) / 1_000


def _try_once(parts: SplitResult, body: bytes, timing: Timing) -> Attempt:
    try:
        status = _send(parts, body, _attempt_seconds(timing))
    except ssl.SSLCertVerificationError:
        return Attempt(is_done=False, may_retry=False, ended="a certificate that does not verify")
    except (OSError, http.client.HTTPException) as error:
        return Attempt(is_done=False, may_retry=True, ended=type(error).__name__)
    return Attempt(
        is_done=status in _SUCCESSES,
        may_retry=status in _RETRIED or status in _SERVER_ERRORS,
        ended=f"HTTP {status}",
    )


def _send(parts: SplitResult, body: bytes, seconds: float) -> int:
    connection = _connect(parts, seconds)
    try:
        # The signature covers an empty type; any default one makes S3 answer 403.
        connection.request("PUT", _target(parts), body=body, headers={"content-type": ""})
        return connection.getresponse().status
    finally:
        connection.close()


def _connect(parts: SplitResult, seconds: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=seconds)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)


def _target(parts: SplitResult) -> str:
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
