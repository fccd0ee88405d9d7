"""Terraform's aws_lambda_invocation in both scopes: what the provider sends and receives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lockgate import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.conftest import Function

# Messages to callers do not depend on the server.
pytestmark = pytest.mark.one_major

EVENTS = Path(__file__).parents[1] / "events"


@pytest.fixture
def terraform(function: Function) -> Terraform:
    """Return a resource that does not exist yet, with one migration."""
    function.project.write({"1_account.sql": "CREATE TABLE account (id int PRIMARY KEY);\n"})
    return Terraform(function.handle)


@dataclass(slots=True)
class Terraform:
    """The resource ``aws_lambda_invocation`` as the provider stores it: input, scope and result."""

    handler: Callable[[Any], Any]
    scope: str = "CRUD"
    input: dict[str, Any] | None = None
    result: str | None = None

    def apply(self, command: dict[str, Any]) -> dict[str, Any]:
        """Create the resource, or update it if its input has changed.

        After a failed create Terraform stores nothing; after a failed update it stores the new
        input.
        """
        if command != self.input:
            before = self.input
            if before is not None:
                self.input = command
            action = "create" if before is None else "update"
            self.result = json.dumps(self._invoke(command, action, before))
            self.input = command
        result: dict[str, Any] = json.loads(self.result or "null")
        return result

    def destroy(self) -> None:
        """Destroy the resource; only the scope CRUD invokes the function for that."""
        assert self.input is not None
        if self.scope == "CRUD":
            self._invoke(self.input, "delete", self.input)
        self.input = self.result = None

    def _invoke(self, command: dict[str, Any], action: str, before: dict[str, Any] | None) -> Any:
        more = {"tf": {"action": action, "prev_input": before}} if self.scope == "CRUD" else {}
        return self.handler(json.loads(json.dumps({**command, **more})))


def test_resource_lives_with_scope_crud(function: Function, terraform: Terraform) -> None:
    """Create and update migrate and return the report; destroy changes nothing."""
    created = terraform.apply({"action": "up", "reason": "release 1"})
    function.project.write({"2_orders.sql": "CREATE TABLE orders ();\n"})
    updated = terraform.apply({"action": "up", "reason": "release 2", "execution": "run-7"})
    before = function.project.database.dump(without=())
    terraform.destroy()
    assert before == function.project.database.dump(without=())
    assert [("applied", "1"), ("applied", "2")] == [
        (report["status"], report["to_version"]) for report in (created, updated)
    ]
    assert [
        ["terraform", {"tf_action": "create"}, None, "release 1"],
        ["terraform", {"tf_action": "update", "execution": "run-7"}, None, "release 2"],
    ] == function.recorded()


def test_resource_lives_with_scope_create_only(function: Function, terraform: Terraform) -> None:
    """Without a tf object the input is a plain command."""
    terraform.scope = "CREATE_ONLY"
    report = terraform.apply({"action": "up", "requested_by": "terraform"})
    terraform.destroy()
    assert ("applied", "direct") == (report["status"], report["caller"])
    assert [("1", "applied")] == function.project.history()


def test_empty_input_migrates(terraform: Terraform) -> None:
    """An input of {} is an up in both scopes."""
    assert "applied" == terraform.apply({})["status"]
    terraform.scope = "CREATE_ONLY"
    terraform.input = None
    assert "up_to_date" == terraform.apply({})["status"]


def test_call_that_the_provider_repeats_does_nothing_twice(
    function: Function, terraform: Terraform
) -> None:
    """A call that is repeated after a lost answer finds nothing pending."""
    terraform.apply({"action": "up"})
    terraform.input = None
    assert "up_to_date" == terraform.apply({"action": "up"})["status"]
    assert ["applied"] == function.project.runs()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"LOCKGATE_TLS": "perhaps"},
        {"LOCKGATE_MIGRATIONS": "nowhere"},
        {"LOCKGATE_ALLOWED_ACTIONS": "status"},
        {"LOCKGATE_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"},
    ],
)
def test_delete_always_succeeds(function: Function, variables: dict[str, str]) -> None:
    """Destroying changes nothing and succeeds, whatever the settings are."""
    function.set(**variables)
    report = function.handle(json.loads((EVENTS / "terraform_delete.json").read_text()))
    assert ("up_to_date", None, "terraform") == (
        report["status"],
        report["action"],
        report["caller"],
    )
    assert ["The resource was destroyed. The database was left as it is."] == report["warnings"]


def test_stored_update_migrates(function: Function, terraform: Terraform) -> None:
    """A stored update event migrates, and its previous input is neither read nor stored."""
    del terraform
    report = function.handle(json.loads((EVENTS / "terraform_crud.json").read_text()))
    assert ("applied", "up", "terraform") == (report["status"], report["action"], report["caller"])
    stored = function.project.database.run("SELECT r::text FROM lockgate.migration_run AS r")
    assert "SENTINEL" not in f"{stored} {report} {function.read_output()}"


@pytest.mark.parametrize(
    "tf", [{}, {"action": None}, {"action": "replace"}, {"action": ["create"]}]
)
def test_change_that_terraform_does_not_know_is_refused(
    function: Function, terraform: Terraform, tf: dict[str, Any]
) -> None:
    """An operation other than create, update or delete is refused without running anything."""
    del terraform
    with pytest.raises(errors.RequestRefused, match=r"tf.action is not create, update or delete"):
        function.handle({"action": "up", "tf": tf})
    assert function.project.database.run("SELECT to_regclass('account')") == [[None]]


@pytest.mark.parametrize("tf", [None, "create", ["create"]])
def test_tf_that_is_not_an_object_is_refused(
    function: Function, terraform: Terraform, tf: object
) -> None:
    """A tf value that is not an object is refused with a clear message."""
    del terraform
    with pytest.raises(
        errors.RequestRefused, match="a Terraform invocation whose tf is not an object"
    ):
        function.handle({"action": "up", "tf": tf})


def test_failure_is_a_sentence_and_a_replacement_tries_again(
    function: Function, terraform: Terraform
) -> None:
    """After a failed apply, Terraform considers an update done, but a replacement runs again."""
    terraform.apply({"reason": "release 1"})
    function.project.write({"2_broken.sql": "SELECT nonsense;\n"})
    with pytest.raises(errors.MigrationFailed) as caught:
        terraform.apply({"reason": "release 2"})
    said, _, _run = str(caught.value).rpartition(" Run ")
    assert (
        "Migration 2 broken failed (42703). No migration of this run stays; the database is at"
        ' version 1. Statement 1 of migration 2 broken failed: column "nonsense" does not exist (42703).'
        " 2_broken.sql:1:8. It was rolled back; the schema is as it was. Fix the file and invoke again."
    ) == said
    function.project.write({"2_broken.sql": "SELECT 1;\n"})
    assert "1" == terraform.apply({"reason": "release 2"})["to_version"]
    terraform.destroy()
    assert "2" == terraform.apply({"reason": "release 2"})["to_version"]


def test_action_that_is_not_allowed_is_refused(function: Function, terraform: Terraform) -> None:
    """LOCKGATE_ALLOWED_ACTIONS applies to Terraform, too."""
    command = {"action": "down", "steps": 1, "reason": "why", "requested_by": "ada"}
    with pytest.raises(errors.RequestRefused, match="is not allowed on this function"):
        terraform.apply(command)
    assert function.project.database.run("SELECT to_regclass('lockgate.migration_run')") == [[None]]
