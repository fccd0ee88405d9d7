"""The one PUT that CloudFormation waits for. Knows the signed URL and HTTP; knows no report.

The URL is a secret, so errors are made outside of ``except`` blocks: neither their cause nor their
context leads to one that quotes it. Proxies of the environment are not used, as in AWS's own
``cfn-response``: the answer must not depend on a host that the database does not need either.
"""

from __future__ import annotations

import http.client
import random
import re
import ssl
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from lockgate.errors import RequestInvalid, UnexpectedFailure

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TRIES = 5

_ATTEMPT_MS = 10_000
# Less than this is too little for a connection and an answer.
_LEAST_MS = 1_000
_FIRST_PAUSE_MS = 200
_LONGEST_PAUSE_MS = 5_000

# Buckets of CloudFormation's own: cloudformation-custom-resource-response-euwest1, whose host is
# that of S3 in eu-west-1. A bucket that only looks so lies in a region that does not exist.
_BUCKET = r"cloudformation-custom-resource-response-(?P<bucket>[a-z]+[0-9]+)"
_REGION = r"(?P<region>[a-z]+(?:-[a-z]+)+-[0-9]+)"
_DOMAIN = r"amazonaws\.(?:com|com\.cn|eu)"
_REGIONAL_HOST = re.compile(rf"{_BUCKET}\.s3[.-](?:dualstack\.)?{_REGION}\.{_DOMAIN}")
# us-east-1 goes without a region in its host.
_GLOBAL_HOST = re.compile(rf"{_BUCKET}\.s3\.{_DOMAIN}")
_PLAIN_URL = re.compile(r"[!-~]+")

_RETRIED = frozenset({408, 429})
_SUCCESSES = range(200, 300)
_SERVER_ERRORS = range(500, 600)


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock of an invocation: what is left of it, how to pause, and how pauses are spread."""

    remaining_ms: Callable[[], int]
    sleep: Callable[[float], object]
    jitter: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class _Attempt:
    is_done: bool
    may_retry: bool
    ended: str


class Answerer:
    """Answers one event exactly once, whichever thread comes first.

    ::

        run        ──── work ──────────────────────── answer ✗  (waits, then finds it answered)
        watchdog   ─────────── time is over ── answer ─── PUT ── 200 ✓

    The second comer waits for the first: a handler that returned while the other thread still sends
    would freeze it. If the first could not deliver, the second tries.
    """

    def __init__(self, url: str | None, timing: Timing, *, loopback: bool = False) -> None:
        """Refuse a URL that is not CloudFormation's, before any work.

        Raises:
            RequestInvalid: see `check_response_url`.
        """
        self._url = check_response_url(url, loopback=loopback)
        self._timing = timing
        self._loopback = loopback
        self._lock = threading.Lock()
        self._is_answered = False

    @property
    def is_answered(self) -> bool:
        """Whether the answer was delivered, or left to somebody else."""
        return self._is_answered

    def leave(self, leave_to: Callable[[], object]) -> bool:
        """Leave the answer to somebody else, unless it was given; say whether it was left.

        Nobody answers while ``leave_to`` makes sure of the other; if it raises, the answer is due here.
        """
        with self._lock:
            if self._is_answered:
                return False
            leave_to()
            self._is_answered = True
            return True

    def answer(self, body: bytes) -> bool:
        """Deliver the answer, and say whether it was this one that was delivered.

        Raises:
            UnexpectedFailure: it could not be delivered; see `put_answer`.
        """
        with self._lock:
            if self._is_answered:
                return False
            put_answer(self._url, body, self._timing, loopback=self._loopback)
            self._is_answered = True
            return True


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
            " nothing would be told to it. Nothing was run.",
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
    for tries in range(1, MAX_TRIES + 1):
        attempt = _try_once(parts, body, _attempt_seconds(timing))
        if attempt.is_done:
            return
        pause_ms = _pause_ms(tries, timing)
        is_last = tries == MAX_TRIES or timing.remaining_ms() - pause_ms < _LEAST_MS
        if is_last or not attempt.may_retry:
            break
        timing.sleep(pause_ms / 1_000)
    raise UnexpectedFailure(
        f"CloudFormation could not be told the outcome: try {tries} of {MAX_TRIES} ended with"
        f" {attempt.ended}. What the run did to the database stays; the stack waits until its"
        " ServiceTimeout.",
        hint="In a VPC without NAT, an S3 endpoint must admit s3:PutObject on"
        " cloudformation-custom-resource-response-<region without dashes>/*.",
        tries=tries,
        ended=attempt.ended,
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
    if loopback and _is_loopback(host):
        return parts.scheme in {"http", "https"}
    return parts.scheme == "https" and parts.port in {None, 443} and _is_cloudformation(host)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_cloudformation(host: str) -> bool:
    regional = _REGIONAL_HOST.fullmatch(host)
    if regional is not None:
        return regional["region"].replace("-", "") == regional["bucket"]
    return _GLOBAL_HOST.fullmatch(host) is not None


def _attempt_seconds(timing: Timing) -> float:
    return max(_LEAST_MS, min(_ATTEMPT_MS, timing.remaining_ms() - _LEAST_MS)) / 1_000


def _pause_ms(tries: int, timing: Timing) -> float:
    longest: int = min(_LONGEST_PAUSE_MS, _FIRST_PAUSE_MS * 2 ** (tries - 1))
    return longest * (0.5 + timing.jitter() / 2)


def _try_once(parts: SplitResult, body: bytes, seconds: float) -> _Attempt:
    try:
        status = _send(parts, body, seconds)
    except ssl.SSLCertVerificationError:
        return _Attempt(is_done=False, may_retry=False, ended="a certificate that does not verify")
    except (OSError, http.client.HTTPException) as error:
        return _Attempt(is_done=False, may_retry=True, ended=type(error).__name__)
    return _Attempt(
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
