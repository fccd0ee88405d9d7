"""The module's own tests, its agreement with template.yaml, and the validity of every example."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import pytest
from tests.docs.markdown import find_blocks
from tests.support.flat_template import list_statements, make_by_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.infra.terraform.conftest import MakeTerraform
    from tests.support.terraform import Done

PAGES = ("docs/adopt/terraform.md", "infra/terraform/README.md")
EXISTING_DATABASE = """\
module "existing" {
  source = "../lockgate/infra/terraform/examples/existing-database"

  region                     = "eu-west-1"
  secret_arn                 = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop-AbCdEf"
  vpc_id                     = "vpc-00000001"
  subnet_ids                 = ["subnet-00000001"]
  database_security_group_id = "sg-00000001"
}
"""
SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/database-AbCdEf"
KEY = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000001"
QUEUE = "arn:aws:sqs:eu-west-1:111122223333:failed"
IAM_USER = "arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/lockgate"

# Each choice: the template's parameters, and the equivalent variables of the module.
CHOICES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "secret": ({"SecretArn": SECRET}, {}),
    "key": ({"SecretArn": SECRET, "SecretKmsKeyArn": KEY}, {"secret_kms_key_arn": KEY}),
    "host": ({"SecretArn": SECRET, "Host": "db"}, {"host": "db"}),
    "iam": (
        {"IamDatabaseUserArn": IAM_USER, "Host": "db", "Username": "me"},
        {"secret_arn": None, "iam_database_user_arn": IAM_USER, "host": "db", "username": "me"},
    ),
    "snapshots": ({"SecretArn": SECRET, "Backup": "snapshot"}, {"backup": "snapshot"}),
    "record": ({"SecretArn": SECRET, "Backup": "record"}, {"backup": "record"}),
    "off": ({"SecretArn": SECRET, "Backup": "off"}, {"backup": "off"}),
    "pipelines": (
        {"SecretArn": SECRET, "WithCodePipeline": "true", "WithCodeDeploy": "true"},
        {"answer_codepipeline": True, "answer_codedeploy": True},
    ),
    "failures": (
        {"SecretArn": SECRET, "FailureDestination": QUEUE, "KmsKeyArn": KEY},
        {"failure_destination": {"arn": QUEUE}, "kms_key_arn": KEY},
    ),
    "dashboard": ({"SecretArn": SECRET, "WithDashboard": "true"}, {"create_dashboard": True}),
}
ALARMS = ("RunFailed", "LockBusy", "Errors", "Duration", "EventDropped")
ALARM = "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:lockgate"
# The template's names in a module without AWS, whose values come from its tests.
KNOWN_AS = {
    "<Migrate.Arn>": "arn:aws:lambda:eu-west-1:111122223333:function:lockgate",
    "<MigrateLogs.Arn>": "arn:aws:logs:eu-west-1:111122223333:log-group:lockgate:*",
    "<OperateLogs.Arn>": "arn:aws:logs:eu-west-1:111122223333:log-group:lockgate:*",
    "<Migrate>": "lockgate",
    "<MigrateLogs>": "/aws/lambda/lockgate",
    **{f"<{name}Alarm.Arn>": ALARM for name in ALARMS},
    "FailureDestination": "failure_destination",
}

RUN = Template(Path(__file__).with_name("against_template.hcl.tmpl").read_text("utf-8"))


@pytest.fixture(scope="module")
def tested(make_terraform: MakeTerraform, module_copy: Path) -> Done:
    """Return the output of `terraform test` for the module, with an additional generated file."""
    own = (module_copy / "tests/module.tftest.hcl").read_text("utf-8")
    head = own.partition('\nrun "')[0]
    runs = [write_run(name, *choice, module_copy / "tests") for name, choice in CHOICES.items()]
    (module_copy / "tests/template.tftest.hcl").write_text(head + "".join(runs), "utf-8")
    terraform = make_terraform(module_copy)
    terraform.succeed("init", "-backend=false")
    return terraform.run("test", "-no-color")


def test_module_passes_its_own_tests(tested: Done) -> None:
    """The module's own tests of defaults, choices and refusals pass."""
    assert "tests/module.tftest.hcl... pass\n" in tested.said, tested.said


def test_module_makes_what_the_template_makes(tested: Done) -> None:
    """Permissions, functions and alarms equal the template's for each choice."""
    assert "tests/template.tftest.hcl... pass\n" in tested.said, tested.said
    assert len(CHOICES) == sum(f'run "{name}"... pass' in tested.said for name in CHOICES)


def test_examples_and_documentation_are_valid(
    make_terraform: MakeTerraform, module_copy: Path
) -> None:
    """Every documented configuration is valid, without warnings."""
    folder = module_copy.parents[2]
    shown = [write_page(page, folder) for page in PAGES]
    # One example takes a hash of the package that `make build` creates.
    package = folder / "lockgate/build/lockgate-arm64.zip"
    package.parent.mkdir()
    package.touch()
    root = folder / "check"
    root.mkdir()
    (root / "main.tf").write_text(
        "\n".join(
            [
                'module "complete" {\n  source = "../lockgate/infra/terraform/examples/complete"\n}',
                EXISTING_DATABASE,
                *(f'module "{name}" {{\n  source = "../{name}"\n}}' for name in shown),
            ]
        ),
        "utf-8",
    )
    terraform = make_terraform(root)
    terraform.succeed("init", "-backend=false")
    said = json.loads(terraform.run("validate", "-json").said)

    assert [] == [(found["summary"], found["detail"]) for found in said["diagnostics"]]
    assert said["valid"]


def write_page(page: str, folder: Path) -> str:
    """Write a page's example beside the module, with the resources it assumes, and return its name."""
    name = page.partition(".")[0].replace("/", "-").lower()
    shown = [block.text for block in find_blocks(page) if block.language == "hcl"]
    assert shown
    (folder / name).mkdir()
    (folder / name / "main.tf").write_text("\n".join(shown), "utf-8")
    shutil.copy(Path(__file__).with_name("given.tf"), folder / name)
    return name


def write_run(
    name: str, parameters: Mapping[str, str], variables: Mapping[str, Any], folder: Path
) -> str:
    """Return a run of the module with variables, and write the expected result beside it."""
    (folder / f"{name}.json").write_text(json.dumps(expect(parameters)), "utf-8")
    given = "".join(f"    {key} = {json.dumps(value)}\n" for key, value in variables.items())
    return RUN.substitute(NAME=name, VARIABLES=given)


def expect(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return what template.yaml creates for parameters, with the names of the module's tests."""
    made = make_by_template(parameters)
    roles = {"migrate": "MigrateRole", "operate": "OperateRole"}
    alarms = {
        name.removesuffix("Alarm"): [
            one["AlarmDescription"],
            one["MetricName"] if "MetricName" in one else one["Metrics"][0]["Expression"],
            one["ComparisonOperator"],
            one["Threshold"],
        ]
        for name, one in (
            (name, one["Properties"]) for name, one in made.items() if "Alarm" in name
        )
    }
    dashboards = [
        json.loads(one["Properties"]["DashboardBody"])
        for one in made.values()
        if one["Type"] == "AWS::CloudWatch::Dashboard"
    ]
    value = {
        "statements": {
            name: [json.loads(statement) for statement in list_statements(role, made)]
            for name, role in roles.items()
        },
        "functions": {name: describe_function(name.capitalize(), made) for name in roles},
        "alarms": alarms,
        "dashboards": dashboards,
    }
    text = json.dumps(value)
    for known, name in KNOWN_AS.items():
        text = text.replace(known, name)
    return dict(json.loads(text))


def describe_function(name: str, made: Mapping[str, Any]) -> list[Any]:
    """Return the function properties that a run compares, in the same order."""
    function, retries, logs = (
        made[f"{name}{part}"]["Properties"] for part in ("", "Retries", "Logs")
    )
    keys = ("Description", "Runtime", "Architectures", "Handler", "Timeout", "MemorySize")
    return [
        *(function[key] for key in keys),
        retries["MaximumRetryAttempts"],
        retries["MaximumEventAgeInSeconds"],
        logs["RetentionInDays"],
    ]
