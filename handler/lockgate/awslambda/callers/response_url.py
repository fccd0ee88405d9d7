"""Sends the answer to CloudFormation: one PUT to the signed URL.

The URL is a secret, so errors are created outside of ``except`` blocks: then neither their cause
nor their context quotes it. The environment's proxies are not used, as in AWS's own
``cfn-response``: the answer must not depend on a host that nothing else needs.
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

# CloudFormation's bucket in eu-west-1 is cloudformation-custom-resource-response-euwest1, on S3's
# host in that region. Anyone may own a bucket with such a name elsewhere, but not in that region of
# that partition, where the name is taken. So region, bucket and domain must match.
_BUCKET = "cloudformation-custom-resource-response-"
_REGION = r"(?P<region>[a-z]{2,4}(?:-[a-z]+)+-[0-9]+)"
_REGIONAL_HOST = re.compile(
    rf"{_BUCKET}(?P<bucket>[a-z]+[0-9]+)\.s3[.-](?:dualstack\.)?{_REGION}\.(?P<domain>[a-z0-9.-]+)"
)
# Only us-east-1 has no region in its host.
_GLOBAL_HOST = f"{_BUCKET}useast1.s3.amazonaws.com"
# The domain of each partition, by the beginning of its regions; the first match counts.
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
    """Return the URL if it points to CloudFormation's own bucket over HTTPS.

    ``loopback`` also accepts one on this machine, even over plain HTTP.

    Raises:
        RequestInvalid: it points elsewhere. The message does not quote it.
    """
    parts = _split(url)
    if url is None or parts is None or not _is_allowed(parts, loopback=loopback):
        raise RequestInvalid(
            "The event's ResponseURL does not point to CloudFormation's own bucket over HTTPS, so the"
            " event was not answered.",
            hint="Let CloudFormation invoke the function. With a framework that answers CloudFormation"
            " itself (CDK Provider), set LOCKGATE_CFN_RESPONSE=return.",
        )
    return url


def put_answer(url: str, body: bytes, timing: Timing, *, loopback: bool = False) -> None:
    """Send the answer, with up to 5 tries within the remaining time; see `delivery.retry`.

    Retried: no connection, a broken one, a timeout, and status 408, 429 and 5xx. Not retried: any other
    status, such as 403 for an expired signature, and a certificate that cannot be verified.

    Raises:
        RequestInvalid: the URL points elsewhere; nothing was sent.
        UnexpectedFailure: no try succeeded.
    """
    parts = urlsplit(check_response_url(url, loopback=loopback))
    tries, last = retry(partial(_try_once, parts, body, timing), timing)
    if last.is_done:
        return
    raise UnexpectedFailure(
        f"The outcome could not be sent to CloudFormation: try {tries} of {MAX_TRIES} ended with"
        f" {last.ended}. What the run did to the database stays; the stack waits until its"
        " ServiceTimeout.",
        hint="In a VPC without NAT, an S3 endpoint must allow s3:PutObject on"
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
        # The signature covers an empty content type; with any other, S3 answers 403.
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
