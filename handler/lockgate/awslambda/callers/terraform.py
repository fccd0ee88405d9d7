"""Terraform as a caller: ``aws_lambda_invocation`` with ``lifecycle_scope = "CRUD"``.

The provider adds ``tf`` to the input: ``action`` is ``create``, ``update`` or ``delete``, and
``prev_input`` is the previous input. The result is the report. Terraform prints an error unchanged, so
an error is a sentence. With the scope ``CREATE_ONLY`` there is no ``tf``: the event is a direct command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.awslambda.callers.detect import CallerKind
from lockgate.awslambda.callers.direct import read_request as read_command
from lockgate.awslambda.callers.direct_answer import class_of
from lockgate.awslambda.callers.reason import fit_bytes, make_reason
from lockgate.core.request import Caller
from lockgate.errors import RequestInvalid
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.core.request import Request
    from lockgate.errors import LockgateError
    from lockgate.settings import Settings

_KEY = "tf"
_CHANGES = frozenset({"create", "update"})
_MAX_MESSAGE_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class TerraformCaller:
    """One change of an ``aws_lambda_invocation`` resource."""

    event: Mapping[str, Any]

    @property
    def must_end_at(self) -> None:
        """Terraform waits as long as the function may run."""
        return

    @property
    def needs_run(self) -> bool:
        """False when the resource is destroyed, which leaves the database unchanged."""
        return bool(self.event[_KEY].get("action") != "delete")

    def read_request(self, settings: Settings) -> Request:
        """Return the request of the command in the other keys; see `read_request`."""
        return read_request(self.event, settings)

    def make_result(self, report: Report | None, run_id: str) -> dict[str, Any]:
        """Return the report; see `answer`. Destroying the resource always succeeds."""
        return report_deletion(run_id).to_json() if report is None else answer(report)


def report_deletion(run_id: str) -> Report:
    """Return the report for a destroyed resource, a success: a failure would prevent that."""
    return Report(
        status=Status.UP_TO_DATE,
        action=None,
        run_id=run_id,
        caller=CallerKind.TERRAFORM,
        warnings=("The resource was destroyed. The database was left as it is.",),
    )


def read_request(event: Mapping[str, Any], settings: Settings) -> Request:
    """Return the request of the command, which is the event without ``tf``.

    Raises:
        RequestInvalid: ``tf`` has an unknown action, or the rest is not a valid command.
    """
    change = event[_KEY].get("action")
    if not isinstance(change, str) or change not in _CHANGES:
        raise RequestInvalid(
            "The event's tf.action is not create, update or delete.",
            hint='Set lifecycle_scope = "CRUD" in aws_lambda_invocation, and leave tf to the provider.',
        )
    command = {key: value for key, value in event.items() if key != _KEY}
    return read_command(command, settings, Caller(CallerKind.TERRAFORM, {"tf_action": change}))


def answer(report: Report) -> dict[str, Any]:
    """Return the function's result for a successful run.

    Raises:
        LockgateError: the run did not succeed. The class is the same as for a direct command. The
            message is one line: what failed, the database's state, what to do. The log has the report.
    """
    if not report.is_success:
        raise _to_exception(report)
    return report.to_json()


def _to_exception(report: Report) -> LockgateError:
    hint = report.error.hint if report.error is not None else None
    reason = fit_bytes(make_reason(report), _MAX_MESSAGE_BYTES)
    return class_of(report)(reason, hint=hint, run_id=report.run_id)
