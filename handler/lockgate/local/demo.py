"""`lockgate demo`: a deploy, its repetition, a failure, its rollback and a status, all on this machine.

It sends CloudFormation's events to the real handler, which it is given, against an embedded
PostgreSQL and a local Secrets Manager. It checks the database with PostgreSQL's own tools,
independently of the handler.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import uuid
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from unittest.mock import patch

from lockgate.fast_start.dataclass import dataclass
from lockgate.local.lambda_context import DemoContext
from lockgate.local.psql import create_database, run_psql
from lockgate.local.secrets_manager import LocalSecretsManager
from lockgate.local.server import EmbeddedServer
from lockgate.local.signed_url import SignedUrls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DATABASE = "shop"
_LOGICAL_ID = "Migration"
_STACK_ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/demo"
_MAX_ANSWER_BYTES = 4_096

# The first statement succeeds. The second refers to a column that does not exist.
_BROKEN = """\
-- migrate:up
CREATE TABLE lockgate_demo_invoices (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issued_on date NOT NULL
);

CREATE VIEW lockgate_demo_open_invoices AS
SELECT id, due_on FROM lockgate_demo_invoices;

-- migrate:down
DROP VIEW lockgate_demo_open_invoices;
DROP TABLE lockgate_demo_invoices;
"""
_BROKEN_SQLSTATE = "42703"

_FENCE = "SELECT token FROM lockgate.migration_lock"
_REPORT = "SELECT report FROM lockgate.migration_run WHERE run_id = :'run'"


class DemoOutput(Protocol):
    """Shows the steps of the demo; `terminal.demo_output.DemoScreen` is the real one."""

    def show_introduction(self, text: str) -> None:
        """Show what the demo is about."""
        ...

    def start_step(self, number: int, title: str) -> None:
        """Show the title of the next step."""
        ...

    def show_line(self, label: str, text: str) -> None:
        """Show one line of the step."""
        ...

    def show_report(self, report: Mapping[str, Any]) -> None:
        """Show a report, ``lockgate/report/v1``."""
        ...

    def show_check(self, text: str, *, is_right: bool) -> None:
        """Show whether a check passed."""
        ...


@dataclass(frozen=True, slots=True)
class ReceivedAnswer:
    """The answer that CloudFormation got, and the report of the run if there is one."""

    status: str
    reason: str
    data: Mapping[str, str]
    report: Mapping[str, Any] | None


def run_demo(
    handler: Callable[[dict[str, Any], DemoContext], Any],
    folder: Path,
    broken_version: str,
    output: DemoOutput,
) -> bool:
    """Run all steps and return whether every check passed.

    ``broken_version`` is a version above all those in ``folder``. All servers are stopped and all files
    removed afterwards, also after an exception.

    Raises:
        LockgateError: the servers could not be started.
    """
    with contextlib.ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="lockgate-demo-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        server = stack.enter_context(EmbeddedServer())
        create_database(server, DATABASE)
        # Without the user's own environment: no AWS_PROFILE, no proxy, no LOCKGATE_ setting.
        stack.enter_context(patch.dict("os.environ", clear=True))
        secrets = stack.enter_context(LocalSecretsManager())
        urls = stack.enter_context(SignedUrls())
        packages = _make_packages(folder, home, broken_version)
        demo = _Demo(handler, server, secrets, urls, output, home / "function.log")
        output.show_introduction(
            f"Lockgate with PostgreSQL {server.version} (TLS, SCRAM), a Secrets Manager and a simulated"
            " CloudFormation, all on this machine."
        )
        return _run_steps(demo, packages)


@dataclass(frozen=True, slots=True)
class _Packages:
    """Two packages of one function; the second has an additional migration."""

    good: Path
    broken: Path
    broken_file: str


@dataclass(slots=True)
class _Demo:
    """The handler, its environment on this machine, and the state of the simulated stack."""

    handler: Callable[[dict[str, Any], DemoContext], Any]
    server: EmbeddedServer
    secrets: LocalSecretsManager
    urls: SignedUrls
    output: DemoOutput
    log: Path
    physical_id: str | None = None
    is_right: bool = field(default=True)

    def send(
        self,
        kind: str,
        package: Path,
        properties: dict[str, str],
        old: dict[str, str] | None = None,
    ) -> ReceivedAnswer:
        """Send an event as CloudFormation does, and return the answer at the signed URL."""
        url = self.urls.sign()
        event: dict[str, Any] = {
            "RequestType": kind,
            "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:lockgate",
            "ResponseURL": url,
            "StackId": _STACK_ID,
            "RequestId": str(uuid.uuid4()),
            "LogicalResourceId": _LOGICAL_ID,
            "ResourceType": "Custom::Lockgate",
            "ResourceProperties": properties,
        }
        if old is not None:
            event |= {"OldResourceProperties": old, "PhysicalResourceId": self.physical_id}
        self.output.show_line("event", f"{kind} {_LOGICAL_ID} {json.dumps(properties)}")
        returned = self.invoke(event, package)
        return self._read_answer(url, returned)

    def invoke(self, event: dict[str, Any], package: Path) -> Any:
        """Run the handler like Lambda: in its own environment, with its output in a log."""
        with (
            self.log.open("a", encoding="utf-8") as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
            patch.dict("os.environ", self._environment(package)),
        ):
            return self.handler(event, DemoContext())

    def check(self, text: str, *, is_right: bool) -> None:
        """Show whether a check passed, and remember a failure."""
        self.is_right = self.is_right and is_right
        self.output.show_check(text, is_right=is_right)

    def dump(self) -> str:
        """Return the schema as pg_dump writes it, without Lockgate's own."""
        return self.server.dump_schema(DATABASE, exclude_schemas=["lockgate"])

    def _environment(self, package: Path) -> dict[str, str]:
        return {
            **self.secrets.environment,
            "LOCKGATE_SECRET_ARN": self.secrets.store(_make_secret(self.server)),
            "LOCKGATE_CA_FILE": str(self.server.ca_file),
            "LOCKGATE_MIGRATIONS": str(package),
            "LOCKGATE_CFN_LOOPBACK": "true",
            "LOCKGATE_FIRST_RUN": "allow",
        }

    def _read_answer(self, url: str, returned: Any) -> ReceivedAnswer:
        bodies = self.urls.answers_to(url)
        sizes_fit = all(len(body) <= _MAX_ANSWER_BYTES for body in bodies)
        if len(bodies) != 1 or not sizes_fit:
            self.check(
                f"Expected one answer of at most 4,096 bytes; got {len(bodies)}.", is_right=False
            )
        value = json.loads(bodies[-1]) if bodies else {}
        self.physical_id = value.get("PhysicalResourceId", self.physical_id)
        run_id = returned.get("run_id", "") if isinstance(returned, dict) else ""
        answer = ReceivedAnswer(
            status=value.get("Status", "none"),
            reason=value.get("Reason", ""),
            data=value.get("Data", {}),
            report=_read_report(self.server, run_id) if run_id else None,
        )
        self.output.show_line("answer", _describe_answer(answer, len(bodies[-1]) if bodies else 0))
        if answer.report is not None:
            self.output.show_report(answer.report)
        return answer


def _run_steps(demo: _Demo, packages: _Packages) -> bool:
    steps = (_create, _repeat, _fail, _roll_back, _look)
    for number, step in enumerate(steps, start=1):
        title = (step.__doc__ or "").splitlines()[0].rstrip(".")
        demo.output.start_step(number, title)
        step(demo, packages)
        if not demo.is_right:
            # The next steps rely on the state that this one should have left.
            demo.output.show_line("stopped", "A check of this step failed.")
            return False
    return True


_V1, _V2 = {"CodeVersion": "1"}, {"CodeVersion": "2"}


def _create(demo: _Demo, packages: _Packages) -> None:
    """CloudFormation creates the stack."""
    answer = demo.send("Create", packages.good, _V1)
    applied = int(answer.data.get("AppliedCount", "0"))
    is_right = answer.status == "SUCCESS" and applied > 0
    demo.check(f"The stack is created; {applied} migrations were applied.", is_right=is_right)


def _repeat(demo: _Demo, packages: _Packages) -> None:
    """The same package again: there is nothing to do."""
    token = run_psql(demo.server, DATABASE, _FENCE)
    answer = demo.send("Update", packages.good, _V1, _V1)
    is_right = answer.status == "SUCCESS" and answer.data.get("AppliedCount") == "0"
    # Taking the lock increases its token.
    is_free = token == run_psql(demo.server, DATABASE, _FENCE)
    demo.check("Nothing was applied, and no lock was taken.", is_right=is_right and is_free)


def _fail(demo: _Demo, packages: _Packages) -> None:
    """The next package has a migration whose second statement fails."""
    before = demo.dump()
    demo.output.show_line("new file", packages.broken_file)
    answer = demo.send("Update", packages.broken, _V2, _V1)
    is_right = answer.status == "FAILED" and _BROKEN_SQLSTATE in answer.reason
    demo.check("CloudFormation learns which statement failed, and why.", is_right=is_right)
    is_same = before == demo.dump()
    demo.check("pg_dump before and after the failure is the same, byte by byte.", is_right=is_same)


def _roll_back(demo: _Demo, packages: _Packages) -> None:
    """CloudFormation rolls back, with the older package and the old properties."""
    answer = demo.send("Update", packages.good, _V1, _V2)
    is_right = answer.status == "SUCCESS" and answer.data.get("AppliedCount") == "0"
    demo.check("The rollback succeeds; the stack is where it was.", is_right=is_right)


def _look(demo: _Demo, packages: _Packages) -> None:
    """An operator asks for the status in the console."""
    event = {"action": "status"}
    demo.output.show_line("event", json.dumps(event))
    report = demo.invoke(event, packages.good)
    demo.output.show_report(report)
    is_right = report["status"] == "up_to_date" and not report["pending"]
    demo.check("Nothing is pending.", is_right=is_right)
    sample = _read_sample(demo.log)
    if sample is not None:
        demo.output.show_line("log", sample)


def _make_packages(folder: Path, home: Path, broken_version: str) -> _Packages:
    good, broken = home / "package-1", home / "package-2"
    shutil.copytree(folder, good)
    shutil.copytree(folder, broken)
    broken_file = f"{broken_version}_create_invoices.sql"
    (broken / broken_file).write_text(_BROKEN, encoding="utf-8")
    return _Packages(good, broken, broken_file)


def _make_secret(server: EmbeddedServer) -> dict[str, str | int]:
    """Return the secret in RDS's own shape."""
    return {
        "engine": "postgres",
        "host": server.host,
        "port": server.port,
        "username": server.user,
        "password": server.password,
        "dbname": DATABASE,
    }


def _read_report(server: EmbeddedServer, run_id: str) -> dict[str, Any] | None:
    """Return the report that a run stored in the database; a run with nothing to do stores none."""
    text = run_psql(server, DATABASE, _REPORT, run=run_id)
    report: dict[str, Any] | None = json.loads(text) if text else None
    return report


def _describe_answer(answer: ReceivedAnswer, size: int) -> str:
    said = answer.reason or ", ".join(f"{k}={v}" for k, v in answer.data.items() if v)
    return f"{answer.status} ({size:,} bytes) {said}"


def _read_sample(log: Path) -> str | None:
    """Return one line of the function's log."""
    lines: Iterator[str] = iter(log.read_text(encoding="utf-8").splitlines())
    return next((line for line in lines if '"migration_applied"' in line), None)
