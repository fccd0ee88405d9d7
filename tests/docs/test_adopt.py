"""Check that the steps on the adoption pages work and that costs and limits are correct."""

from __future__ import annotations

import itertools
import re
import shlex
import sys
import types
from typing import TYPE_CHECKING

import pytest
from tests.docs.markdown import ADOPT_PAGES, ROOT, find_blocks, read_page, read_table
from tests.support.cfn_template import read_template

from infra import build
from lockgate.awslambda import app
from lockgate.awslambda.callers.cloudformation_answer import MAX_ANSWER_BYTES
from lockgate.core.continuation import MOST_HOPS
from lockgate.postgres.tables.server_probe import OLDEST_SERVER

if TYPE_CHECKING:
    from tests.support.project import Project

INDEX, CONTAINER, UPGRADE = (f"docs/adopt/{name}.md" for name in ("README", "container", "upgrade"))
TEMPLATE = read_template(ROOT / "template.yaml")


def list_commands(page: str, program: str) -> list[list[str]]:
    """Return the words of each command of a program in the shell blocks of a page."""
    text = "".join(block.text for block in find_blocks(page) if block.language == "shell")
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith(f"{program} ")]


@pytest.mark.parametrize("page", ADOPT_PAGES)
def test_parameters_that_a_page_gives_are_the_templates(page: str) -> None:
    """Each parameter that a page mentions exists in the template."""
    begins = "With|Backup|Failure|S3|Vpc|Subnet|Security"
    given = set(re.findall(rf"`((?:{begins})\w*)(?:=\w+)?`", read_page(page)))

    assert set() == given - set(TEMPLATE["Parameters"])


def test_sam_needs_the_parameters_that_its_page_lists() -> None:
    """The table lists each parameter without a default, and those that a rule requires."""
    rows = read_table("docs/adopt/sam.md", "| parameter | value |")
    needed = {name for name, one in TEMPLATE["Parameters"].items() if "Default" not in one}
    chosen = {"SecretArn", "SecurityGroupIds", "VpcId", "DatabaseSecurityGroupId"}

    assert needed | chosen == {row[0].strip("`") for row in rows}


def test_sam_is_given_templates_that_are_there() -> None:
    """Each command names a template of the repository or one that an earlier command created."""
    made: set[str] = set()
    for words in list_commands("docs/adopt/sam.md", "sam"):
        options = dict(itertools.pairwise(words))
        for option in ("--template-file", "--template"):
            if option in options:
                assert options[option] in made or (ROOT / options[option]).is_file()
        made.add(options.get("--output-template-file", ""))
    assert "packaged.yaml" in made


def test_pipeline_is_given_every_parameter_that_it_needs() -> None:
    """The command passes exactly the template's parameters without a default."""
    (words,) = list_commands("docs/adopt/sam.md", "aws")
    template = read_template(ROOT / words[words.index("--template-file") + 1])
    given = {word.partition("=")[0] for word in words[words.index("--parameter-overrides") + 1 :]}

    assert {name for name, one in template["Parameters"].items() if "Default" not in one} == given


def test_outputs_that_a_page_takes_are_the_templates() -> None:
    """Each output that a page uses exists in the template."""
    page = read_page("docs/adopt/existing-stack.md")
    outputs = {
        *re.findall(r"Output (\w+) of", page),
        *re.findall(r"`(\w+Arn|PackageVersion)`", page),
    }

    assert {"FunctionArn", "OperateFunctionArn", "PackageVersion"} == outputs
    assert outputs <= set(TEMPLATE["Outputs"])


# The image and the layer.


def test_image_is_built_by_the_commands_on_the_page() -> None:
    """The Dockerfile and the build argument exist."""
    commands = list_commands(CONTAINER, "docker")
    dockerfile = (ROOT / "infra/Dockerfile").read_text("utf-8")

    assert 1 == len(commands)
    for words in commands:
        options = dict(itertools.pairwise(words))
        assert "infra/Dockerfile" == options["--file"]
        assert "." == words[-1]
        assert f"\nARG {options['--build-arg'].partition('=')[0]}\n" in dockerfile


def test_layer_is_built_by_the_commands_on_the_page() -> None:
    """The build command is valid, and the page publishes the file that it writes."""
    ((_, script, *arguments),) = list_commands(CONTAINER, "python")
    options = build._read_arguments(arguments)
    written = f"build/lockgate-layer-{options.arch}.zip"

    assert (ROOT / script).is_file()
    assert options.layer
    assert f"fileb://{written}" in read_page(CONTAINER)


def test_image_on_top_replaces_the_migrations_alone() -> None:
    """The Dockerfile removes and replaces the same migrations folder."""
    (block,) = (block for block in find_blocks(CONTAINER) if block.language == "dockerfile")
    steps = [line.split(maxsplit=1) for line in block.text.splitlines()]

    assert ["FROM", "RUN", "COPY"] == [word for word, _ in steps]
    assert f"rm -rf {build.TASK_ROOT}/migrations" == steps[1][1]
    assert f"migrations/ {build.TASK_ROOT}/migrations/" == steps[2][1]


def test_handler_of_ones_own_calls_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module can be imported and passes event and context to Lockgate's handler."""
    (block,) = (block for block in find_blocks(CONTAINER) if block.words == ("handler",))
    monkeypatch.setattr(app, "lambda_handler", lambda event, context: (event, context))
    module = types.ModuleType("own")
    exec(compile(block.text, CONTAINER, "exec"), module.__dict__)  # noqa: S102

    assert ("event", "context") == module.lambda_handler("event", "context")
    assert "own" not in sys.modules


# Costs and limits.


def test_costs_count_the_created_resources() -> None:
    """The page states the actual numbers of alarms and metrics."""
    alarms = [one for one in TEMPLATE["Resources"].values() if one["Type"].endswith("::Alarm")]
    always = [one for one in alarms if "Condition" not in one]
    metrics = read_table("docs/operations.md", "| metric | unit | means |")
    page = read_page(INDEX)

    assert (5, 7, 6) == (len(always), len(alarms), len(metrics))
    assert "there are five, with a failure queue seven" in page
    assert "| its six metrics, for each database |" in page


def test_limits_are_the_codes_own() -> None:
    """Each limit that Lockgate sets is taken from the code."""
    rows = [row[0] for row in read_table(INDEX, "| limit | of | what then |")]
    timeout = TEMPLATE["Globals"]["Function"]["Timeout"]
    service = TEMPLATE["Parameters"]["ServiceTimeout"]["Default"]
    zipped, unzipped = build.ZIPPED_LIMIT_BYTES, build.UNZIPPED_LIMIT_BYTES

    assert {
        f"{timeout // 60} minutes for one invocation",
        f"{MOST_HOPS + 1} invocations for one event of CloudFormation",
        f"{service // 3_600} hour for one deploy",
        f"{zipped // 1024**2} MB zipped, {unzipped // 1024**2} MB unzipped",
        f"{MAX_ANSWER_BYTES:,} bytes for the answer",
        f"PostgreSQL {OLDEST_SERVER // 10_000} to 18",
    } <= set(rows)


# Uninstall.


def test_what_stays_of_the_stack_is_what_the_page_lists() -> None:
    """Only the log groups of both functions survive the deletion of the stack."""
    kept = [
        name
        for name, one in TEMPLATE["Resources"].items()
        if one.get("DeletionPolicy", "Delete") != "Delete"
    ]

    assert ["MigrateLogs", "OperateLogs"] == kept
    assert "| the log groups of both functions |" in read_page(UPGRADE)


def test_dropping_the_schema_leaves_nothing_of_lockgates(project: Project) -> None:
    """Dropping the schema leaves the database as if the migrations had been run by hand."""
    (block,) = (block for block in find_blocks(UPGRADE) if block.words == ("query",))
    migration = "CREATE TABLE account (id int PRIMARY KEY);"
    project.database.run(migration)
    by_hand = project.database.dump()
    project.database.run("DROP TABLE account")
    project.write({"1_account.sql": migration})
    assert None is project.run().error
    project.database.run(block.text)

    assert by_hand == project.database.dump()
