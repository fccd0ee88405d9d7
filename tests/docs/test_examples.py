"""Check that each example of the documentation works, or fails as documented."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.docs.markdown import (
    PAGES,
    ROOT,
    Block,
    find_blocks,
    find_migrations,
    find_pairs,
    is_migration_name,
    list_pages_with,
    to_one_line,
)

from lockgate.awslambda.callers import codepipeline, terraform
from lockgate.awslambda.callers.awaiting import Invocation
from lockgate.awslambda.callers.delivery import Timing
from lockgate.awslambda.callers.detect import CallerKind, detect_caller
from lockgate.awslambda.callers.direct import read_request
from lockgate.awslambda.callers.registry import open_awaiting
from lockgate.core.history import EMPTY_HISTORY
from lockgate.core.plan import make_plan
from lockgate.core.policy import Policy
from lockgate.core.request import Action
from lockgate.core.state_after import NOT_BEGUN
from lockgate.errors import LockgateError, MigrationFileInvalid
from lockgate.formats.native.reader import read_folder
from lockgate.report.refusal import refuse_report
from lockgate.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.project import Project

PAGES_WITH_MIGRATIONS = [page for page in PAGES if find_migrations(page)]
# Languages of blocks that are not executed: output, drawings and messages.
SHOWN_ONLY = {"", "text"}


def list_blocks(language: str, word: str | None = None) -> list[Any]:
    """Return the blocks of all pages in a language, and with a word if given, as parameters."""
    return [
        pytest.param(block, id=f"{page}:{block.line}")
        for page in PAGES
        for block in find_blocks(page)
        if block.language == language and (word is None or word in block.words)
    ]


def list_pairs(word: str) -> list[Any]:
    """Return each block marked with a word, with its page and the block after it, as parameters."""
    return [
        pytest.param(page, block, following, id=f"{page}:{block.line}")
        for page in PAGES
        for block, following in find_pairs(page, word)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_kind_of_block_is_tested(page: str) -> None:
    """Each fenced block is of a kind that a test below checks."""
    strange = [
        (block.line, block.language, block.words)
        for block in find_blocks(page)
        if not is_known(block)
    ]
    assert [] == strange


def is_known(block: Block) -> bool:
    """Return whether a test below checks a block."""
    match block.language, block.words:
        case (
            "json",
            ("command" | "report" | "check" | "excerpt" | "policy" | "event" | "statemachine",),
        ):
            known = True
        # tests/infra checks modules.
        case ("yaml", ("template" | "action" | "hooks",)) | (
            "hcl",
            ("CREATE_ONLY" | "CRUD" | "module",),
        ):
            known = True
        case ("sql", ("query",)) | ("text", ("message" | "output",)) | ("shell", ()):
            known = True
        case ("python", ("handler" | "app",)) | ("dockerfile", ()):
            known = True
        case ("sql" | "python", (name,)) | ("sql", ("refused" | "fails", name)):
            known = is_migration_name(name)
        case (language, words):
            known = language in SHOWN_ONLY and not words
    return known


@pytest.mark.parametrize("page", PAGES_WITH_MIGRATIONS)
def test_migrations_of_a_page_apply_in_order(page: str, project: Project) -> None:
    """The migrations of a page can be applied to a new database."""
    migrations = find_migrations(page)
    project.write(migrations)
    found = project.run()
    assert (None, "applied", len(migrations)) == (found.error, found.status, len(found.applied))
    assert "up_to_date" == project.run().status


@pytest.mark.parametrize(("page", "block", "shown"), list_pairs("fails"))
def test_failing_example_fails_as_the_page_says(
    page: str, block: Block, shown: Block, project: Project
) -> None:
    """A failing migration, run after the page's others, prints the documented output."""
    project.write(find_migrations(page))
    project.run()
    before = project.database.dump()
    project.write({block.words[1]: block.text})
    printed = mask_measured(run_terminal(project, "up"))
    paragraphs = shown.text.removeprefix("$ lockgate up --local\n").strip().split("\n\n")
    assert [] == [one for one in paragraphs if mask_measured(one) not in printed]
    assert before == project.database.dump()


def run_terminal(project: Project, command: str) -> str:
    """Return the output of a terminal command on the project's database."""
    arguments = [sys.executable, "-m", "lockgate", command, "--dir", str(project.folder)]
    environment = {**os.environ, **project.database.environment}
    return subprocess.run(
        arguments, env=environment, capture_output=True, text=True, check=False
    ).stdout


def mask_measured(text: str) -> str:
    """Return output on one line with durations and folder masked."""
    one_line = to_one_line(text)
    return re.sub(r"[^ ]*/(?=[0-9]+_)", "", re.sub(r"[0-9.]+ m?s\b", "(time)", one_line))


@pytest.mark.parametrize(("page", "block", "message"), list_pairs("refused"))
def test_refused_example_is_refused_as_the_page_says(
    page: str, block: Block, message: Block, tmp_path: Path
) -> None:
    """A refused file gets the documented message without a server."""
    assert page in list_pages_with("refused")
    (tmp_path / block.words[1]).write_text(block.text, "utf-8")
    with pytest.raises(MigrationFileInvalid) as caught:
        make_plan(read_folder(tmp_path, {}), EMPTY_HISTORY, Policy())
    error = refuse_report("", caught.value, NOT_BEGUN).error
    assert error is not None
    assert to_one_line(message.text) == error.message


@pytest.mark.parametrize("block", list_blocks("sql", "query"))
def test_query_runs_on_a_migrated_database(block: Block, project: Project) -> None:
    """Each documented query is valid on a migrated database."""
    project.write({"0001_a.sql": "SELECT 1;\n"})
    project.run()
    project.database.run(block.text)


@pytest.mark.parametrize("block", list_blocks("json", "policy"))
def test_policy_allows_to_invoke_and_no_more(block: Block) -> None:
    """Each documented policy grants one action, to invoke the function."""
    actions = [statement["Action"] for statement in json.loads(block.text)["Statement"]]
    assert ["lambda:InvokeFunction"] == actions


@pytest.mark.parametrize("block", list_blocks("json", "statemachine"))
def test_state_machine_handles_every_error(block: Block) -> None:
    """Each public error is caught and has at most one retry rule, and the command is valid."""
    migrate = json.loads(block.text)["States"]["Migrate"]
    payload = {
        key.removesuffix(".$"): value for key, value in migrate["Parameters"]["Payload"].items()
    }
    assert read_request(payload, Settings()).action in Action
    public = {cls.__name__ for cls in LockgateError.__subclasses__()}
    retried = [name for rule in migrate["Retry"] for name in rule["ErrorEquals"]]
    ours = {name for name in retried if "." not in name}
    assert (ours, sorted(set(retried))) == (ours & public, sorted(retried))
    assert public == {name for rule in migrate["Catch"] for name in rule["ErrorEquals"]}


@pytest.mark.parametrize("block", list_blocks("json", "event"))
def test_event_is_understood(block: Block) -> None:
    """Each documented event is recognised and contains a valid action."""
    event = json.loads(block.text)
    kind = detect_caller(event)
    if kind is CallerKind.TERRAFORM:
        assert terraform.read_request(event, Settings()).action in Action
        return
    timing = Timing(lambda: 60_000, lambda _: None)
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:x"
    nobody = Invocation(arn, timing, time.time, lambda *_: None, lambda _: None)
    caller = open_awaiting(kind, event, nobody, Settings())
    assert caller.read_request(Settings()).action in Action


@pytest.mark.parametrize("block", list_blocks("yaml", "action"))
def test_pipelines_action_sends_a_command(block: Block) -> None:
    """The action's parameters are a valid command once CodePipeline has filled in its variables."""
    action = yaml.safe_load(block.text)
    assert {"Category": "Invoke", "Owner": "AWS", "Provider": "Lambda", "Version": "1"} == (
        action["ActionTypeId"]
    )
    parameters = re.sub(r"#\{[\w.]+\}", "4f2c41d0", action["Configuration"]["UserParameters"])
    job = {
        "id": "11111111-abcd-1111-abcd-111111abcdef",
        "data": {"actionConfiguration": {"configuration": {"UserParameters": parameters}}},
    }
    request = codepipeline.read_request(
        codepipeline.read_job({"CodePipeline.job": job}, 0.0), Settings()
    )
    assert (request.action, "4f2c41d0") == (Action.UP, request.caller.reference["execution"])


@pytest.mark.parametrize("block", list_blocks("yaml", "hooks"))
def test_hooks_are_codedeploys(block: Block) -> None:
    """The AppSpec uses only hooks of a Lambda deployment."""
    specification = yaml.safe_load(block.text)
    hooks = [name for hook in specification["Hooks"] for name in hook]
    assert hooks
    assert set(hooks) <= {"BeforeAllowTraffic", "AfterAllowTraffic"}


@pytest.mark.parametrize("block", [*list_blocks("hcl", "CREATE_ONLY"), *list_blocks("hcl", "CRUD")])
def test_terraform_sends_a_command(block: Block) -> None:
    """The resource's input is a valid command, and the file is formatted as Terraform does."""
    (body,) = re.findall(r"jsonencode\(\{ (.*) \}\)", block.text)
    command = dict(re.findall(r'(\w+) += "([^"]*)"', body))
    assert read_request(command, Settings()).action in Action
    program = shutil.which("terraform")
    if program is not None:
        check = [program, "fmt", "-check", "-diff", "-"]
        ran = subprocess.run(check, input=block.text, capture_output=True, text=True, check=False)
        assert (0, "") == (ran.returncode, ran.stdout)


@pytest.mark.parametrize("block", list_blocks("json", "command"))
def test_command_is_accepted(block: Block) -> None:
    """Each line is a valid command."""
    for line in block.text.splitlines():
        settings = Settings(allowed_actions=tuple(Action))
        assert read_request(json.loads(line), settings).action in Action


@pytest.mark.parametrize("block", list_blocks("yaml", "template"))
def test_template_calls_the_function_as_a_custom_resource(block: Block) -> None:
    """A template has one migration resource with the properties that CloudFormation requires."""
    template = yaml.load(block.text, _TemplateLoader)  # noqa: S506 - a safe loader with more tags
    resources = [
        resource
        for resource in template["Resources"].values()
        if resource["Type"] == "Custom::LockgateMigration"
    ]
    assert 1 == len(resources)
    properties = resources[0]["Properties"]
    assert {"ServiceToken", "ServiceTimeout"} < set(properties)
    assert 1 <= properties["ServiceTimeout"] <= 3_600


@pytest.mark.parametrize("block", list_blocks("yaml", "template"))
def test_template_passes_cfn_lint(block: Block) -> None:
    """CloudFormation's linter reports no error and no warning."""
    api = pytest.importorskip("cfnlint.api", exc_type=ImportError)
    found = [match for match in api.lint_all(block.text) if not match.rule.id.startswith("I")]
    assert [] == found


def list_commands(program: str) -> list[Any]:
    """Return each command of a program in the pages' shell blocks and indented lines."""
    found: list[Any] = []
    for page in PAGES:
        text = (ROOT / page).read_text("utf-8").replace("\\\n", " ")
        for line in re.findall(rf"^(?: {{4}})?({program} .*)$", text, re.MULTILINE):
            command = " ".join(line.partition(" #")[0].split())
            found.append(pytest.param(command, id=f"{page}: {command}"[:70]))
    return found


@pytest.mark.parametrize("command", list_commands("make"))
def test_make_target_exists(command: str) -> None:
    """Each make target that a page mentions exists."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    words = [word for word in command.split()[1:] if "=" not in word and not word.startswith("'")]
    assert words[0] in targets


@pytest.mark.parametrize("command", list_commands("aws lambda invoke"))
def test_invoking_from_a_shell_does_not_repeat_itself(command: str) -> None:
    """Each invocation turns off the CLI's 60 s read timeout, after which it would invoke again."""
    assert "--cli-read-timeout 0" in command
    payload = re.search(r"--payload '([^']*)'", command)
    assert payload is not None
    assert read_request(json.loads(payload[1]), Settings()).action in Action


class _TemplateLoader(yaml.SafeLoader):
    """A loader that also accepts the short forms of CloudFormation's functions."""


def _read_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node)}


_TemplateLoader.add_multi_constructor("!", _read_tag)
