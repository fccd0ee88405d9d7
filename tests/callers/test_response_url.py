"""The answer reaches CloudFormation's own bucket exactly once, whatever the network does."""

from __future__ import annotations

import ssl
import threading
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.callers.put_server import Play, PutServer
from tests.support.waiting import Background

from lockgate.awslambda.callers import response_url
from lockgate.awslambda.callers.delivery import Answer, SingleAnswer, Timing
from lockgate.awslambda.callers.response_url import check_response_url, put_answer
from lockgate.errors import RequestInvalid, UnexpectedFailure
from lockgate.local.certificates import make_certificates

if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable
    from pathlib import Path
    from urllib.parse import SplitResult

BODY = '{"Status":"SUCCESS","Reason":"größer"}'.encode()
BUCKET = "cloudformation-custom-resource-response-euwest1"
PLENTY_MS = 60_000


@dataclass
class Clock:
    """A clock that advances only when sleep is called."""

    left_ms: int = PLENTY_MS
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.slept.append(seconds)
        self.left_ms -= round(seconds * 1_000)

    @property
    def timing(self) -> Timing:
        """The clock as callers use it, with the longest pauses."""
        return Timing(lambda: self.left_ms, self.sleep, jitter=lambda: 1.0)


@pytest.fixture
def clock() -> Clock:
    """Return a clock with plenty of time left."""
    return Clock()


@pytest.mark.parametrize(
    "host",
    [
        f"{BUCKET}.s3-eu-west-1.amazonaws.com",
        f"{BUCKET}.s3.eu-west-1.amazonaws.com",
        f"{BUCKET}.s3.eu-west-1.amazonaws.com:443",
        f"{BUCKET}.s3.dualstack.eu-west-1.amazonaws.com",
        f"{BUCKET.upper()}.S3.EU-WEST-1.amazonaws.com",
        "cloudformation-custom-resource-response-useast1.s3.amazonaws.com",
        "cloudformation-custom-resource-response-apsoutheast2.s3-ap-southeast-2.amazonaws.com",
        "cloudformation-custom-resource-response-usgovwest1.s3-us-gov-west-1.amazonaws.com",
        "cloudformation-custom-resource-response-cnnorth1.s3.cn-north-1.amazonaws.com.cn",
        "cloudformation-custom-resource-response-euscdeeast1.s3.eusc-de-east-1.amazonaws.eu",
        "cloudformation-custom-resource-response-usisoeast1.s3.us-iso-east-1.c2s.ic.gov",
        "cloudformation-custom-resource-response-usisobeast1.s3.us-isob-east-1.sc2s.sgov.gov",
    ],
)
def test_url_of_cloudformation_is_accepted(host: str) -> None:
    """Every host name that CloudFormation signs is accepted, over HTTPS."""
    url = f"https://{host}/arn%3Aaws?X-Amz-Signature=SENTINEL"
    assert url == check_response_url(url, loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "...",
        f"http://{BUCKET}.s3-eu-west-1.amazonaws.com/SENTINEL",
        f"ftp://{BUCKET}.s3-eu-west-1.amazonaws.com/SENTINEL",
        f"https://{BUCKET}.s3-eu-west-1.amazonaws.com.example/SENTINEL",
        f"https://{BUCKET}.s3-eu-west-1.amazonaws.com:8443/SENTINEL",
        f"https://{BUCKET}.s3-eu-west-1.amazonaws.com:SENTINEL/",
        f"https://example@{BUCKET}.s3-eu-west-1.amazonaws.com/SENTINEL",
        f"https://{BUCKET}.s3-eu-west-1.amazonaws.com@example.com/SENTINEL",
        f"https://example.com/{BUCKET}.s3-eu-west-1.amazonaws.com/SENTINEL",
        f"https://example.com#{BUCKET}.s3-eu-west-1.amazonaws.com/SENTINEL",
        f"https://{BUCKET}.s3-us-east-1.amazonaws.com/SENTINEL",
        "https://cloudformation-custom-resource-response-evil.s3.amazonaws.com/SENTINEL",
        "https://cloudformation-custom-resource-response-attacker1.s3.amazonaws.com/SENTINEL",
        f"https://{BUCKET}.s3.amazonaws.com/SENTINEL",
        f"https://{BUCKET}.s3.eu-west-1.amazonaws.com.cn/SENTINEL",
        f"https://{BUCKET}.s3.eu-west-1.amazonaws.eu/SENTINEL",
        "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com.cn/SENTINEL",
        "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.eu/SENTINEL",
        "https://cloudformation-custom-resource-response-cnnorth1.s3.cn-north-1.amazonaws.com/SENTINEL",
        "https://cloudformation-custom-resource-response-attacker1.s3.attack-er-1.amazonaws.com/SENTINEL",
        "https://my-bucket.s3-eu-west-1.amazonaws.com/SENTINEL",
        f"https://s3.eu-west-1.amazonaws.com/{BUCKET}/SENTINEL",
        f"https://{BUCKET}.s3-eu-west-1.amazonaws.com/SENTINEL\r\nHost: example.com",
        f"https://{BUCKET}.s3-eu-west-1.amazonaws.com/SENTINEL\u00df",
        f"https://[{BUCKET}/SENTINEL",
        "http://127.0.0.1:8080/SENTINEL",
        "http://localhost/SENTINEL",
        "https://169.254.169.254/SENTINEL",
        "https://example.com/SENTINEL",
    ],
)
def test_url_that_leads_elsewhere_is_refused(url: str | None) -> None:
    """Only CloudFormation's own bucket is accepted, and the error does not show the URL."""
    with pytest.raises(RequestInvalid) as caught:
        check_response_url(url, loopback=False)
    assert caught.value.__context__ is None
    assert "SENTINEL" not in f"{caught.value} {caught.value.hint} {caught.value.fields}"


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("http://127.0.0.1:8080/x", True),
        ("https://localhost:8443/x", True),
        ("http://[::1]:8080/x", True),
        ("http://127.0.0.1.example.com/x", False),
        ("http://10.0.0.1/x", False),
        ("http://user@127.0.0.1/x", False),
        ("file://localhost/x", False),
    ],
)
def test_loopback_is_accepted_where_the_setting_says_so(url: str, *, is_allowed: bool) -> None:
    """With the setting for tests, only loopback addresses may replace the bucket."""
    if is_allowed:
        assert url == check_response_url(url, loopback=True)
    else:
        with pytest.raises(RequestInvalid):
            check_response_url(url, loopback=True)


def test_answer_is_sent_byte_by_byte_as_the_signature_wants(
    serve: Callable[..., PutServer], clock: Clock
) -> None:
    """The PUT has path and query unchanged, an empty content-type, and the body as given."""
    server = serve(200)
    put_answer(server.url, BODY, clock.timing, loopback=True)
    head = (
        "PUT /arn%3Aaws%7Cx?X-Amz-Signature=SENTINEL HTTP/1.1\r\n"
        f"Host: {server.address}\r\n"
        "Accept-Encoding: identity\r\n"
        f"Content-Length: {len(BODY)}\r\n"
        "content-type: \r\n"
        "\r\n"
    )
    assert [head.encode() + BODY] == server.received


@pytest.mark.parametrize("failure", [500, 503, 429, 408, Play.RESET, b"", b"nonsense\r\n"])
def test_failure_that_may_pass_is_tried_again(
    serve: Callable[..., PutServer], clock: Clock, failure: int | bytes | Play
) -> None:
    """After two failures the third attempt succeeds; pauses grow and every attempt is identical."""
    server = serve(failure, failure, 200)
    put_answer(server.url, BODY, clock.timing, loopback=True)
    assert clock.slept == [0.2, 0.4]
    assert len(server.received) == 3
    assert {server.received[0]} == set(server.received)


@pytest.mark.parametrize("status", [400, 403, 404, 301, 307])
def test_failure_that_will_stay_is_not_tried_again(
    serve: Callable[..., PutServer], clock: Clock, status: int
) -> None:
    """Client errors and redirects are not retried."""
    server = serve(status)
    with pytest.raises(UnexpectedFailure, match=f"try 1 of 5 ended with HTTP {status}"):
        put_answer(server.url, BODY, clock.timing, loopback=True)
    assert len(server.received) == 1


def test_fifth_failure_is_the_last(serve: Callable[..., PutServer], clock: Clock) -> None:
    """After five attempts and four pauses, the error says what remains and what to check."""
    server = serve(503)
    with pytest.raises(UnexpectedFailure) as caught:
        put_answer(server.url, BODY, clock.timing, loopback=True)
    assert str(caught.value) == (
        "The outcome could not be sent to CloudFormation: try 5 of 5 ended with HTTP 503. What the"
        " run did to the database stays; the stack waits until its ServiceTimeout."
    )
    assert clock.slept == [0.2, 0.4, 0.8, 1.6]
    assert caught.value.fields == {"tries": 5, "ended": "HTTP 503"}


def test_pauses_end_where_the_invocation_does(
    serve: Callable[..., PutServer], clock: Clock
) -> None:
    """A pause is skipped if no time would be left for another attempt."""
    clock.left_ms = 1_700
    server = serve(503)
    with pytest.raises(UnexpectedFailure, match="try 3 of 5 ended with HTTP 503"):
        put_answer(server.url, BODY, clock.timing, loopback=True)
    assert clock.slept == [0.2, 0.4]


def test_silence_ends_with_the_time_that_is_left(
    serve: Callable[..., PutServer], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that never answers cannot outlast the invocation."""
    server = serve(Play.SILENCE)
    clock.left_ms = 1_900
    limits: list[float] = []
    connect = response_url._connect

    def connect_impatiently(parts: SplitResult, seconds: float) -> http.client.HTTPConnection:
        """Use up the whole time limit immediately."""
        limits.append(seconds)
        clock.left_ms -= round(seconds * 1_000)
        return connect(parts, 0.05)

    monkeypatch.setattr(response_url, "_connect", connect_impatiently)
    with pytest.raises(UnexpectedFailure, match="try 1 of 5 ended with TimeoutError"):
        put_answer(server.url, BODY, clock.timing, loopback=True)
    assert [1.0] == limits
    assert clock.left_ms > 0


def test_jitter_halves_a_pause_at_most(serve: Callable[..., PutServer], clock: Clock) -> None:
    """A pause is at least half its length, with jitter so that many stacks do not retry together."""
    server = serve(503, 503, 200)
    timing = Timing(lambda: clock.left_ms, clock.sleep, jitter=lambda: 0.0)
    put_answer(server.url, BODY, timing, loopback=True)
    assert clock.slept == [0.1, 0.2]


def test_url_is_checked_before_anything_is_sent(clock: Clock) -> None:
    """Nothing is sent if the URL is not allowed."""
    with pytest.raises(RequestInvalid):
        put_answer("http://127.0.0.1:9/SENTINEL", BODY, clock.timing)


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's TLS context and the certificate file of its authority."""
    made = make_certificates(now=datetime.now(UTC))
    for name in ("authority", "server", "server_key"):
        (tmp_path / name).write_bytes(getattr(made, name))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server", tmp_path / "server_key")
    return context, tmp_path / "authority"


def test_certificate_that_does_not_verify_gets_nothing(
    serve: Callable[..., PutServer], clock: Clock, tls: tuple[ssl.SSLContext, Path]
) -> None:
    """Nothing is sent to a server without a valid certificate, and there is no retry."""
    server = serve(200, context=tls[0])
    with pytest.raises(UnexpectedFailure, match="a certificate that does not verify"):
        put_answer(server.url, BODY, clock.timing, loopback=True)
    assert server.received == []
    assert clock.slept == []


def test_certificate_of_the_system_store_verifies(
    serve: Callable[..., PutServer],
    clock: Clock,
    tls: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system's certificate store is trusted, and proxy settings are ignored."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    server = serve(200, context=tls[0])
    put_answer(server.url, BODY, clock.timing, loopback=True)
    assert server.received[0].endswith(BODY)


@pytest.mark.parametrize("scene", [403, Play.RESET, b"SENTINEL\r\n"])
def test_failure_never_shows_the_url(
    serve: Callable[..., PutServer], clock: Clock, scene: int | bytes | Play
) -> None:
    """Neither the error, its causes nor the answer's repr contains the signature."""
    answer = make_answer(serve(scene), clock, BODY)
    with pytest.raises(UnexpectedFailure) as caught:
        SingleAnswer().give(answer)
    assert caught.value.__context__ is None
    told = "".join(traceback.format_exception(caught.value))
    assert "SENTINEL" not in f"{told} {answer!r} {caught.value.hint} {caught.value.fields}"


def make_answer(server: PutServer, clock: Clock, body: bytes) -> Answer:
    """Return an answer that is sent to a server."""
    deliver = partial(put_answer, server.url, body, clock.timing, loopback=True)
    return Answer(body.decode(), deliver)


def test_answerer_answers_once(serve: Callable[..., PutServer], clock: Clock) -> None:
    """Only the first answer is sent, and the second thread gets it as the result."""
    server = serve(200)
    first, second = (make_answer(server, clock, body) for body in (b"first", b"second"))
    answerer = SingleAnswer()
    before = answerer.is_answered
    assert first is answerer.give(first)
    assert (False, True) == (before, answerer.is_answered)
    assert first is answerer.give(second)
    assert len(server.received) == 1


def test_answerer_tries_again_after_an_answer_that_did_not_arrive(
    serve: Callable[..., PutServer], clock: Clock
) -> None:
    """After a failed delivery the next answer is sent."""
    server = serve(403, 200)
    first, second = (make_answer(server, clock, body) for body in (b"first", b"second"))
    answerer = SingleAnswer()
    with pytest.raises(UnexpectedFailure):
        answerer.give(first)
    assert not answerer.is_answered
    assert second is answerer.give(second)
    assert server.received[1].endswith(b"second")


def test_two_threads_answer_once_and_wait_for_each_other(
    serve: Callable[..., PutServer], clock: Clock
) -> None:
    """One of two threads sends its answer, and the other returns only after that."""
    server = serve(503, 503, 200)
    answerer = SingleAnswer()
    start = threading.Barrier(2)
    outcomes: list[tuple[bool, bool]] = []

    def race(body: bytes) -> None:
        answer = make_answer(server, clock, body)
        start.wait()
        given = answerer.give(answer)
        outcomes.append((given is answer, answerer.is_answered))

    racing = [Background.start(partial(race, body)) for body in (b"run", b"watchdog")]
    for one in racing:
        one.result()
    assert sorted(outcomes) == [(False, True), (True, True)]
    assert len(server.received) == 3
    assert len(set(server.received)) == 1
