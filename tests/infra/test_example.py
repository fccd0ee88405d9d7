"""The example application: the order of its resources, and that its parts fit together."""

from __future__ import annotations

import importlib.util
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import ANY, Stubber
from tests.support.cfn_template import read_template, resolve

from infra import build

if TYPE_CHECKING:
    from types import ModuleType

    from tests.support.cfn_template import Resolved
    from tests.support.project import Project

EXAMPLE = build.ROOT / "infra/example/template.yaml"
QUESTION = {
    "resourceArn": "arn:aws:rds:1",
    "secretArn": "arn:aws:secret:1",
    "database": "shop",
    "sql": ANY,
}


@pytest.fixture(scope="module")
def example() -> Resolved:
    """Return the example with its defaults."""
    return resolve(read_template(EXAMPLE), {})


@pytest.fixture(scope="module")
def parameters(example: Resolved) -> dict[str, Any]:
    """Return the parameters that the example passes to Lockgate."""
    given: dict[str, Any] = example.resources["Lockgate"]["Properties"]["Parameters"]
    return given


@pytest.fixture(scope="module")
def lockgate() -> dict[str, Any]:
    """Return the template that the example nests."""
    resource = read_template(EXAMPLE)["Resources"]["Lockgate"]
    return read_template(EXAMPLE.parent / resource["Properties"]["Location"])


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the example's function, as Lambda imports it."""
    variables = {
        "CLUSTER_ARN": "arn:aws:rds:1",
        "SECRET_ARN": "arn:aws:secret:1",
        "DATABASE": "shop",
    }
    aws = {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    for name, value in {**variables, **aws}.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("app", EXAMPLE.parent / "api/app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_example_refers_only_to_existing_resources(example: Resolved) -> None:
    """The example needs no parameter, and every reference is resolved."""
    assert ([], []) == (example.dangling, example.broken_rules)


def test_lockgate_waits_for_a_database_that_answers(example: Resolved) -> None:
    """Lockgate waits for the writer and for the route to S3, not only for the cluster."""
    needs = example.find_needs("Lockgate")

    assert {"Writer", "Database", "DatabaseGroup", "RoutesOfA", "RoutesOfB"} <= needs
    assert "Api" not in needs


def test_application_waits_for_the_migration(example: Resolved) -> None:
    """The application's function is created last, after the migration."""
    needs = example.find_needs("Api")

    assert {"Lockgate", "Writer"} <= needs
    assert [] == [name for name in example.resources if "Api" in example.find_needs(name)]


def test_parameters_are_those_of_lockgate(
    parameters: dict[str, Any], lockgate: dict[str, Any]
) -> None:
    """Every parameter exists and has an allowed value."""
    declared = lockgate["Parameters"]

    assert set(parameters) <= set(declared)
    for name, value in parameters.items():
        allowed = declared[name].get("AllowedValues")
        if isinstance(value, str):
            assert re.fullmatch(declared[name].get("AllowedPattern", ".*"), value), name
            assert allowed is None or value in allowed


def test_migration_waits_for_the_endpoints_inside_of_lockgate(
    parameters: dict[str, Any], lockgate: dict[str, Any]
) -> None:
    """The migration waits for the endpoints of the nested stack and for access to the database."""
    stand_ins = {
        name: value if isinstance(value, str) else "x" for name, value in parameters.items()
    }
    nested = resolve(lockgate, stand_ins)

    assert ([], []) == (nested.dangling, nested.broken_rules)
    assert {
        "S3Endpoint",
        "SecretsManagerEndpoint",
        "LambdaEndpoint",
        "DatabaseAdmitsFunctions",
        "EndpointsAdmitFunctions",
    } <= nested.find_needs("Migration")


def test_outputs_that_the_example_shows_are_lockgates(lockgate: dict[str, Any]) -> None:
    """The nested stack has every output that the example uses."""
    asked = re.findall(r"!GetAtt Lockgate\.Outputs\.(\w+)", EXAMPLE.read_text("utf-8"))

    assert ["ToVersion", "FunctionName"] == asked
    assert set(asked) <= set(lockgate["Outputs"])


def test_cluster_sleeps_and_keeps_its_data(example: Resolved) -> None:
    """The cluster scales to zero, and deleting the stack leaves a snapshot."""
    cluster = example.resources["Database"]

    assert 0 == cluster["Properties"]["ServerlessV2ScalingConfiguration"]["MinCapacity"]
    assert cluster["Properties"]["ManageMasterUserPassword"]
    assert ("Snapshot", "Snapshot") == (cluster["DeletionPolicy"], cluster["UpdateReplacePolicy"])


def test_function_answers_from_the_database(app: ModuleType) -> None:
    """The body contains the number that the Data API returns."""
    with Stubber(app.rds) as stub:
        answer = {"records": [[{"longValue": 3}]], "numberOfRecordsUpdated": 0}
        stub.add_response("execute_statement", answer, QUESTION)
        assert {"statusCode": 200, "body": json.dumps({"customers": 3})} == (
            app.lambda_handler({}, None)
        )


def test_function_tells_when_to_retry_a_sleeping_database(app: ModuleType) -> None:
    """While the cluster resumes, the function answers 503 with Retry-After."""
    with Stubber(app.rds) as stub:
        stub.add_client_error("execute_statement", "DatabaseResumingException")
        assert {"statusCode": 503, "headers": {"Retry-After": "5"}} == app.lambda_handler({}, None)


def test_question_can_be_asked_once_the_migrations_are_in(project: Project) -> None:
    """The function's query runs on the schema of the default migrations."""
    source = (EXAMPLE.parent / "api/app.py").read_text("utf-8")
    (sql,) = re.findall(r'sql="([^"]+)"', source)
    folder = build.ROOT / "migrations"
    project.write({path.name: path.read_text("utf-8") for path in folder.iterdir()})

    assert None is project.run().error
    assert [[0]] == project.database.run(sql)
