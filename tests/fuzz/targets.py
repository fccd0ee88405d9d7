"""Check inputs of the event parser, the SQL lexer, and the readers of files and settings.

Each ``check_…`` function takes one input and fails if a guarantee is violated. Hypothesis
(`test_fuzz.py`) and the coverage-guided fuzzer (`fuzz_target.py`) supply the inputs.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lockgate.awslambda.callers import cloudformation, direct, terraform
from lockgate.awslambda.callers.awaiting import Invocation
from lockgate.awslambda.callers.cloudformation import RequestType
from lockgate.awslambda.callers.cloudformation_answer import (
    MAX_ANSWER_BYTES,
    encode_answer,
    make_answer,
)
from lockgate.awslambda.callers.delivery import Timing
from lockgate.awslambda.callers.detect import CallerKind, detect_caller
from lockgate.awslambda.callers.direct_answer import to_exception
from lockgate.awslambda.callers.registry import open_awaiting
from lockgate.awslambda.callers.response_url import check_response_url
from lockgate.core.analysis import analyse_script
from lockgate.core.command import KEYS
from lockgate.core.migration import Language
from lockgate.core.request import Action
from lockgate.core.sql.script import (
    SqlTextInvalid,
    Statement,
    classify,
    normalize_tokens,
    redact_literals,
    sendable,
    split_statements,
    tokenize,
)
from lockgate.core.state_after import NOT_BEGUN
from lockgate.errors import LockgateError, RequestInvalid, SettingInvalid
from lockgate.formats.native.reader import read_folder
from lockgate.formats.registry import read_migrations
from lockgate.report.refusal import refuse_report
from lockgate.settings import SETTINGS, Settings, read_answer_settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lockgate.awslambda.callers.awaiting import AwaitingCaller
    from lockgate.core.request import Request

NOW = 1_790_000_000.0
_ALL = Settings(allowed_actions=tuple(Action))
# An invocation without AWS clients, so nothing is sent.
_INVOCATION = Invocation(
    "arn:aws:lambda:eu-west-1:123456789012:function:x",
    Timing(lambda: 60_000, lambda _: None),
    lambda: NOW,
    lambda _service, _region: None,
    lambda _event: None,
)
_CLOUDFORMATION = ".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"


# Events.


def check_event(event: Any) -> bool:
    """Read an event, or refuse it readably; fail on any other exception.

    Return whether it was read, as the other checks do.
    """
    kind = detect_caller(event)
    try:
        if kind is CallerKind.DIRECT:
            _check_request(direct.read_request(event, _ALL))
        elif kind is CallerKind.TERRAFORM:
            _check_terraform_event(event)
        elif kind is CallerKind.CLOUDFORMATION:
            _check_stack_event(event)
        else:
            _check_caller(open_awaiting(kind, event, _INVOCATION, _ALL))
    except RequestInvalid as refusal:
        _check_refusal(refusal)
        return False
    return True


def _check_terraform_event(event: Any) -> None:
    caller = terraform.TerraformCaller(event)
    if caller.needs_run:
        _check_request(caller.read_request(_ALL))
    else:
        assert caller.make_result(None, "run")["status"] == "up_to_date"


def _check_stack_event(event: Any) -> None:
    envelope = cloudformation.read_envelope(event)
    answer = encode_answer(make_answer(envelope, LockgateError("It broke. " * 1_000)))
    assert len(answer) <= MAX_ANSWER_BYTES
    assert {"Status", "StackId", "RequestId"} < set(json.loads(answer))
    continuation = cloudformation.read_continuation(event, NOW)
    assert continuation.must_end_at <= NOW + 3_600
    assert continuation.hop >= 0
    check_url(envelope.response_url)
    if envelope.request_type is not RequestType.DELETE:
        _check_request(cloudformation.read_request(envelope, _ALL, hop=continuation.hop))


def _check_caller(caller: AwaitingCaller) -> None:
    assert caller.continuation.must_end_at <= NOW + 24 * 3_600
    assert caller.continuation.hop >= 0
    assert caller.make_answer(LockgateError("It broke. " * 1_000)).status == "Failed"
    _check_request(caller.read_request(_ALL))


def _check_request(request: Request) -> None:
    _check_storable(request.reason, request.requested_by, *request.caller.reference.values())


def check_url(url: str | None) -> bool:
    """Accept only URLs that lead to Amazon, and return whether this one does."""
    with suppress(RequestInvalid):
        host = urlsplit(check_response_url(url, loopback=False)).hostname or ""
        assert str(url).lower().startswith("https://cloudformation-custom-resource-response-")
        assert host.endswith(_CLOUDFORMATION), url
        return True
    return False


def _check_refusal(refusal: RequestInvalid) -> None:
    assert refusal.message
    assert refusal.hint
    message = str(to_exception(refuse_report("run", refusal, NOT_BEGUN)))
    assert json.loads(message)["status"] == "refused"


def _check_storable(*texts: str | None) -> None:
    for text in texts:
        assert text is None or "\0" not in text
        (text or "").encode("utf-8")


# SQL.


def check_sql(sql: str) -> bool:
    """Split any text or refuse it with its place; keep token positions, and redact literals."""
    for strings in (True, False):
        end = 0
        for token in tokenize(sql, standard_conforming_strings=strings):
            assert end <= token.start < token.end <= len(sql)
            end = token.end
    assert len(redact_literals(sql)) <= len(sql) + 2
    statements = _split(sql)
    end = 0
    for statement in statements:
        assert end <= statement.start < statement.end <= len(sql)
        classify(sql, statement)
        end = statement.copy_data[1] if statement.copy_data else statement.end
    if statements:
        assert len(sendable(sql)) == len(sql)
        assert statements == split_statements(sendable(sql))
        assert normalize_tokens(sql)
    return bool(statements)


def _split(sql: str) -> tuple[Statement, ...]:
    try:
        return split_statements(sql)
    except SqlTextInvalid as refusal:
        offset = refusal.offset
    assert 0 <= offset <= len(sql)
    return ()


# Files and settings.


@cache
def _folder() -> Path:
    """Return a folder of this process, in memory if the system supports it."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of a random name is made in it
    made = tempfile.mkdtemp(dir=memory if memory.is_dir() else None, prefix="lockgate-fuzz-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def check_file(name: str, content: bytes) -> bool:
    """Read any file as a migration or refuse it with a hint, without executing it."""
    path = _folder() / name
    path.write_bytes(content)
    try:
        # Compiling a file may cause a Python warning, for example about an invalid escape.
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            catalog = read_folder(_folder(), {"a": "1", "b": "x'y"})
            _check_catalog(catalog.migrations, content)
    except LockgateError as error:
        refusal = error
    else:
        return True
    finally:
        path.unlink()
    assert refusal.hint
    assert refusal.message.encode()
    return False


def check_folder(tool: str, files: dict[str, bytes]) -> bool:
    """Read any folder in another tool's format or refuse it with a message."""
    folder = _folder() / "foreign"
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            catalog = read_migrations(tool, folder, {"a": "1"})
            assert catalog.migrations
    except LockgateError as error:
        refusal = error
    else:
        return True
    finally:
        shutil.rmtree(folder)
    assert refusal.message.encode()
    assert refusal.message
    return False


def _check_catalog(migrations: Sequence[Any], content: bytes) -> None:
    (migration,) = migrations
    for script in filter(None, (migration.up, migration.down)):
        assert script.checksum.startswith("sha256:")
        assert script.text in content.decode()
        if script.language is Language.SQL:
            analyse_script(script)


def check_settings(environment: dict[str, str]) -> bool:
    """Read any environment or refuse it; the settings for answers are always read."""
    read_answer_settings(environment)
    with suppress(SettingInvalid):
        settings = read_settings(environment)
        assert set(settings.allowed_actions) <= set(Action)
        assert all(name not in {"PASSWORD", "LOCKGATE_X"} for name in settings.variables)
        return True
    return False


# Inputs from bytes.

_STACK = "arn:aws:cloudformation:eu-west-1:1:stack/a/b"
_BUCKET = "https://cloudformation-custom-resource-response"
_URL = f"{_BUCKET}-euwest1.s3.eu-west-1.amazonaws.com/a?X-Amz-Date=20260922T093000Z"
_WORDS = (
    *Action,
    "",
    "1",
    "20261122093000",
    "Create",
    "Update",
    "Delete",
    "off",
    "dbmate",
    _STACK,
    _URL,
    f"{_BUCKET}-useast1.s3.amazonaws.com/",
    "\ud800",
    "\0",
    "é" * 600,
)
_KEYS = (
    "action", "RequestType", "StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId",
    "ResponseURL", "ResourceProperties", "ServiceTimeout", "Target", "Reason", "target", "hop",
    "began_at", "LockgateContinuation", "tf", "CodePipeline.job",
    *(key.name for key in KEYS),
)  # fmt: skip
_STACK_EVENT = {
    "RequestType": "Create",
    "StackId": _STACK,
    "RequestId": "request",
    "LogicalResourceId": "Migration",
    "ResponseURL": _URL,
}
_MOST_DEEP = 4


class Source:
    """A sequence of choices from bytes; after the last byte, each choice is the first option."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int) -> int:
        """Return a number from the next byte."""
        self._at += 1
        return self._data[self._at - 1] % below if self._at <= len(self._data) else 0

    def text(self) -> str:
        """Return the next few bytes as text."""
        length = self.number(24)
        taken = self._data[self._at : self._at + length]
        self._at += length
        return taken.decode("utf-8", "surrogatepass" if self.number(2) else "replace")

    def rest(self) -> bytes:
        """Return the remaining bytes."""
        return self._data[self._at :]

    def value(self, depth: int = 0) -> Any:
        """Return a JSON value."""
        makers: tuple[Callable[[], Any], ...] = (
            lambda: None,
            lambda: _WORDS[self.number(len(_WORDS))],
            lambda: _WORDS[self.number(len(_WORDS))] + self.text(),
            self.text,
            lambda: self.number(256) * 10 ** self.number(20) - 128,
            lambda: bool(self.number(2)),
            lambda: (0.5, -1e300, float("nan"), float("inf"))[self.number(4)],
            lambda: [self.value(depth + 1) for _ in range(self.number(4))],
            lambda: self.object(depth + 1),
        )
        return makers[self.number(len(makers) if depth < _MOST_DEEP else len(makers) - 2)]()

    def event(self) -> Any:
        """Return an event: a command, a stack's event, or any value, with more keys."""
        match self.number(4):
            case 0:
                return self.value()
            case 1:
                return self.object()
            case 2:
                return {"action": tuple(Action)[self.number(len(Action))]} | self.object()
            case _:
                return _STACK_EVENT | self.object()

    def object(self, depth: int = 0) -> dict[str, Any]:
        """Return an object whose keys are mostly known."""
        found: dict[str, Any] = {}
        for _ in range(self.number(12)):
            choice = self.number(len(_KEYS) + 1)
            key = _KEYS[choice] if choice < len(_KEYS) else self.text()
            found[key] = self.value(depth + 1)
        return found


def fuzz_events(data: bytes) -> bool:
    """Check one event and one URL; return whether the event was read."""
    source = Source(data)
    with suppress(UnicodeDecodeError):
        is_read = check_event(source.event())
        check_url(source.text())
        return is_read
    return False


def fuzz_sql(data: bytes) -> bool:
    """Check one SQL text."""
    return check_sql(data.decode("utf-8", "replace"))


_NAMES = ("1_a.sql", "20261122093000_b.sql", "1_a.py", "R__a.sql", "1.sql", "a.sql", "1_a.SQL")


def fuzz_files(data: bytes) -> bool:
    """Check one file and one environment."""
    source = Source(data)
    name = _NAMES[source.number(len(_NAMES))]
    setting = SETTINGS[source.number(len(SETTINGS))].name
    with suppress(UnicodeDecodeError):
        check_settings({setting: source.text().replace("\0", ""), "PASSWORT": "x"})
    return check_file(name, source.rest())


FOREIGN_NAMES: dict[str, tuple[str, ...]] = {
    "dbmate": ("1_a.sql",),
    "goose": ("00001_a.sql",),
    "golang-migrate": ("1_a.up.sql", "1_a.down.sql"),
    "sqlx": ("1_a.sql", "1_a.up.sql"),
    "diesel": ("2026-01-01-000000_a/up.sql", "2026-01-01-000000_a/metadata.toml"),
    "rails": ("20260101000000_a.rb", "structure.sql"),
    "flyway": ("V1__a.sql", "V1__a.sql.conf", "R__a.sql", "U1__a.sql", "flyway.toml"),
    "liquibase": ("changelog.sql", "changelog.xml", "changelog.yaml", "changelog.json"),
    "prisma": ("20260101000000_a/migration.sql", "migration_lock.toml"),
    "knex": ("20260101000000_a.js", "20260101000000_a.ts"),
    "node-pg-migrate": ("1700000000000_a.sql", "1700000000000_a.js"),
    "graphile-migrate": ("committed/000001.sql", "current.sql", ".gmrc"),
    "sqitch": ("sqitch.plan", "sqitch.conf", "deploy/a.sql"),
    "yoyo": ("0001_a.sql", "0001_a.py", "yoyo.ini"),
    "alembic": ("versions/1_a.py", "alembic.ini", "env.py"),
}


def fuzz_formats(data: bytes) -> bool:
    """Check a folder of another tool with one file, or two if a line of dashes separates them."""
    source = Source(data)
    tool = tuple(FOREIGN_NAMES)[source.number(len(FOREIGN_NAMES))]
    names = FOREIGN_NAMES[tool]
    first = source.number(len(names))
    parts = source.rest().split(b"\n----\n", 1)
    files = {names[(first + place) % len(names)]: part for place, part in enumerate(parts)}
    return check_folder(tool, files)


TARGETS: dict[str, Callable[[bytes], bool]] = {
    "events": fuzz_events,
    "sql": fuzz_sql,
    "files": fuzz_files,
    "formats": fuzz_formats,
}
