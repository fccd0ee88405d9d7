"""The pipeline examples: the migration runs between the package and the application."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
import yaml
from tests.support.cfn_template import read_template

from infra import build
from lockgate.awslambda.callers.direct import read_request
from lockgate.core.request import Action
from lockgate.settings import Settings
from lockgate.terminal.arguments import make_parser

FOLDER = build.ROOT / "infra/pipeline"
ROLE = FOLDER / "github-role.yaml"
WORKFLOW = FOLDER / "github-actions.yml"
MIGRATE, OPERATE = "lockgate-Migrate-1A2B3C4D5E6F", "lockgate-Operate-1A2B3C4D5E6F"


@pytest.fixture(scope="module")
def pipeline() -> dict[str, Any]:
    """Return the CodePipeline example."""
    return read_template(FOLDER / "codepipeline.yaml")


@pytest.fixture(scope="module")
def actions(pipeline: dict[str, Any]) -> list[dict[str, Any]]:
    """Return its actions in execution order, with the stage of each."""
    stages = pipeline["Resources"]["Pipeline"]["Properties"]["Stages"]
    return [{**action, "Stage": stage["Name"]} for stage in stages for action in stage["Actions"]]


@pytest.fixture(scope="module")
def lockgate() -> dict[str, Any]:
    """Return the template that both examples deploy."""
    return read_template(build.ROOT / "template.yaml")


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    """Return the GitHub example."""
    content: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text("utf-8"))
    return content


def list_scripts(workflow: dict[str, Any]) -> dict[str, str]:
    """Return the scripts of the workflow's steps by name, with continued lines joined."""
    steps = workflow["jobs"]["deploy"]["steps"]
    return {step["name"]: step["run"].replace("\\\n", " ") for step in steps if "run" in step}


@pytest.mark.parametrize("path", [*FOLDER.glob("*.yaml"), build.ROOT / "infra/example/template.yaml"],
                         ids=lambda path: path.name)  # fmt: skip
def test_template_has_no_findings(path: Any) -> None:
    """Cfn-lint with all rules has no findings."""
    cfnlint = pytest.importorskip("cfnlint.api", reason="cfn-lint is in the extra `lint`")

    assert [str(match) for match in cfnlint.lint_file(path)] == []


# CodePipeline.


def test_pipeline_migrates_between_package_and_application(actions: list[dict[str, Any]]) -> None:
    """The pipeline deploys the package, migrates the schema, and then deploys the application."""
    assert [
        ("Source", "CodeStarSourceConnection"),
        ("Build", "CodeBuild"),
        ("Lockgate", "CloudFormation"),
        ("Lockgate", "CloudFormation"),
        ("Migrate", "Lambda"),
        ("Application", "CloudFormation"),
        ("Application", "CloudFormation"),
    ] == [(action["Stage"], action["ActionTypeId"]["Provider"]) for action in actions]


def test_pipeline_uses_only_what_an_earlier_action_made(
    actions: list[dict[str, Any]], lockgate: dict[str, Any]
) -> None:
    """Every artifact and variable comes from an earlier action or from Lockgate's outputs."""
    known = {"Source": {"CommitId"}, "Lockgate": set(lockgate["Outputs"])}
    artifacts: set[str] = set()
    spaces: set[str] = set()
    for action in actions:
        assert {one["Name"] for one in action.get("InputArtifacts", [])} <= artifacts
        for space, name in re.findall(r"#\{(\w+)\.(\w+)\}", str(action["Configuration"])):
            assert space in spaces
            assert name in known[space]
        artifacts |= {one["Name"] for one in action.get("OutputArtifacts", [])}
        spaces |= {action["Namespace"]} if "Namespace" in action else set()
    assert {"Source", "Lockgate", "Migration"} == spaces


def test_pipeline_sends_a_command(actions: list[dict[str, Any]]) -> None:
    """The command is valid for the function, and its reason is the commit."""
    (migrate,) = (action for action in actions if action["Stage"] == "Migrate")
    request = read_request(json.loads(migrate["Configuration"]["UserParameters"]), Settings())

    assert (Action.UP, "codepipeline") == (request.action, request.requested_by)
    assert "#{Source.CommitId}" == request.reason


def test_pipeline_deploys_lockgate_without_its_resource_and_lets_it_answer(
    actions: list[dict[str, Any]], lockgate: dict[str, Any]
) -> None:
    """The stack only deploys the package, the action migrates, and every parameter exists."""
    (prepare,) = (
        action for action in actions if action["Stage"] == "Lockgate" and action["RunOrder"] == 1
    )
    given = json.loads(prepare["Configuration"]["ParameterOverrides"]["Fn::Sub"][0])

    assert ("false", "true") == (given["WithMigration"], given["WithCodePipeline"])
    assert set(given) <= set(lockgate["Parameters"])


def test_package_of_the_deploy_before_does_not_expire(pipeline: dict[str, Any]) -> None:
    """Old packages do not expire, so that a rollback can use them at any time."""
    project = pipeline["Resources"]["Build"]["Properties"]
    (bucket,) = (
        variable["Value"]["Ref"]
        for variable in project["Environment"]["EnvironmentVariables"]
        if variable["Name"] == "BUCKET"
    )
    rules = pipeline["Resources"][bucket]["Properties"]["LifecycleConfiguration"]["Rules"]

    assert [] == [rule for rule in rules if "Expiration" in str(rule)]


@pytest.mark.parametrize(
    ("template", "role"), [("codepipeline.yaml", "PipelineRole"), ("github-role.yaml", "Role")]
)
def test_role_can_invoke_only_the_function_for_deploys(template: str, role: str) -> None:
    """A pipeline's role cannot invoke the function for operators."""
    properties = read_template(FOLDER / template)["Resources"][role]["Properties"]
    (policy,) = properties["Policies"]
    (invoking,) = (
        statement["Resource"]["Fn::Sub"].rpartition(":")[2].replace("${LockgateStack}", "lockgate")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "lambda:InvokeFunction"
    )

    assert (True, False) == (
        fnmatch.fnmatchcase(MIGRATE, invoking),
        fnmatch.fnmatchcase(OPERATE, invoking),
    )


@pytest.mark.parametrize(
    ("template", "role"), [("codepipeline.yaml", "PipelineRole"), ("github-role.yaml", "Role")]
)
def test_role_can_read_why_a_stack_failed(template: str, role: str) -> None:
    """The role can read stack events, which contain the reason of a failed deploy."""
    assert "cloudformation:DescribeStackEvents" in str(
        read_template(FOLDER / template)["Resources"]
    )
    assert role in read_template(FOLDER / template)["Resources"]


# GitHub Actions.


def test_workflow_keeps_to_githubs_schema() -> None:
    """The workflow conforms to GitHub's schema."""
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is in the extra `lint`")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.github-workflows", str(WORKFLOW)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_workflow_migrates_between_package_and_application(workflow: dict[str, Any]) -> None:
    """A failed migration ends the job before the application is deployed."""
    assert ["Install", "Deploy Lockgate", "Migrate", "Deploy the application"] == list(
        list_scripts(workflow)
    )
    assert [] == [
        step for step in workflow["jobs"]["deploy"]["steps"] if "continue-on-error" in step
    ]


def test_scripts_of_the_workflow_are_read_by_the_shell(workflow: dict[str, Any]) -> None:
    """Every script of the workflow is valid bash."""
    for name, script in list_scripts(workflow).items():
        done = subprocess.run(
            ["bash", "-n"], input=script, capture_output=True, text=True, check=False
        )
        assert (0, "") == (done.returncode, done.stderr), name


def test_workflow_deploys_lockgate_without_its_resource(
    workflow: dict[str, Any], lockgate: dict[str, Any]
) -> None:
    """The stack only deploys the package, and every parameter exists."""
    (words,) = (
        shlex.split(line)
        for line in list_scripts(workflow)["Deploy Lockgate"].splitlines()
        if line.startswith("sam deploy")
    )
    given = dict(word.split("=", 1) for word in words[words.index("--parameter-overrides") + 1 :])

    assert "false" == given["WithMigration"]
    assert set(given) <= set(lockgate["Parameters"])


def test_workflow_asks_for_the_function_by_an_output_that_exists(
    workflow: dict[str, Any], lockgate: dict[str, Any]
) -> None:
    """`lockgate invoke` gets the function from a stack output, and passes requester and reason."""
    script = list_scripts(workflow)["Migrate"]
    (output,) = re.findall(r"OutputKey==`(\w+)`", script)
    (command,) = (line for line in script.splitlines() if line.startswith("lockgate "))

    options = make_parser().parse_args(shlex.split(command)[1:])

    assert output in lockgate["Outputs"]
    assert ("invoke", "up", "$function", "$GITHUB_SHA", "$GITHUB_ACTOR") == (
        options.run,
        options.action,
        options.function,
        options.reason,
        options.requested_by,
    )


def test_workflow_names_the_variables_that_it_needs(workflow: dict[str, Any]) -> None:
    """The comment at the top lists all variables, and no secret is used."""
    text = WORKFLOW.read_text("utf-8")
    said = re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text.partition("\nname:")[0])

    assert set(re.findall(r"vars\.(\w+)", text)) == set(said)
    assert "secrets." not in text
    assert {"contents": "read", "id-token": "write"} == workflow["permissions"]


def test_role_believes_the_workflows_environment_alone(workflow: dict[str, Any]) -> None:
    """Only jobs in the repository's environment may assume the role."""
    template = read_template(ROLE)
    properties = template["Resources"]["Role"]["Properties"]
    (trust,) = properties["AssumeRolePolicyDocument"]["Statement"]
    issuer = "token.actions.githubusercontent.com"
    job = workflow["jobs"]["deploy"]

    assert {
        f"{issuer}:aud": "sts.amazonaws.com",
        f"{issuer}:sub": {"Fn::Sub": "repo:${Repository}:environment:${Environment}"},
    } == trust["Condition"]["StringEquals"]
    assert template["Parameters"]["Environment"]["Default"] == job["environment"]
    assert job["timeout-minutes"] * 60 <= properties["MaxSessionDuration"]
