"""Check that links work and that tables and lists on the pages are complete."""

from __future__ import annotations

import ast
import json
import re
import shlex
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
from tests.docs.markdown import (
    ADOPT_PAGES,
    FORMAT_PAGES,
    PAGES,
    ROOT,
    count_words,
    find_blocks,
    list_anchors,
    list_headings,
    list_images,
    list_links,
    list_sentences,
    read_page,
    read_table,
)

from lockgate import errors
from lockgate.core.command import KEYS
from lockgate.core.request import Action
from lockgate.errors import LockgateError, public_class
from lockgate.report.log import FORMS
from lockgate.report.refusal import status_of
from lockgate.report.report import SUCCESSES, Status
from lockgate.settings import SETTINGS
from lockgate.terminal.arguments import make_parser
from lockgate.terminal.cli import find_command
from lockgate.terminal.conclude import EXIT_STATUSES
from lockgate.terminal.environment import OPTION_SETTINGS

PACKAGE = ROOT / "handler/lockgate"
TERMINAL_ONLY = {"terminal", "local", "check"}
# All other prose, including the pages of the Terraform module.
PROSE_PAGES = (
    *PAGES,
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "infra/terraform").rglob("*.md")),
)
MOST_WORDS = 35
MOST_WORDS_ON_AVERAGE = 18
# Deliberately wrong names in examples.
WRONG_SETTINGS = {"LOCKGATE_LOCK_TIMOUT"}


def cells(page: str, heading: str, column: int = 0) -> list[str]:
    """Return one column of a table without code marks."""
    return [row[column].strip("`") for row in read_table(page, heading)]


def find_error_classes() -> list[type[LockgateError]]:
    """Return every error class except the root."""
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return [cls for cls in found if issubclass(cls, LockgateError) and cls is not LockgateError]


# Links.


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_exist(page: str) -> None:
    """Each link within the repository leads to an existing file and heading."""
    assert [] == [link for link in list_links(page) if not is_alive(page, link)]


def is_alive(page: str, link: str) -> bool:
    """Return whether a link's target exists; web addresses are not checked."""
    if link.startswith("https://"):
        return True
    name, _, anchor = link.partition("#")
    target = (ROOT / page).parent / name if name else ROOT / page
    if not target.exists():
        return False
    return not anchor or anchor in list_anchors(str(target.resolve().relative_to(ROOT)))


@pytest.mark.parametrize("page", PAGES)
def test_page_has_one_title_and_no_heading_twice(page: str) -> None:
    """A page starts with a title, and its headings, which are anchors, are unique."""
    headings = list_headings(page)
    assert sorted(set(headings)) == sorted(headings)
    assert read_page(page).startswith("# ")


def test_readme_leads_to_every_page() -> None:
    """The README links to each page, or to the index of its folder."""
    folders = {"docs/adopt": ADOPT_PAGES, "docs/formats": FORMAT_PAGES}
    indexes = {f"{folder}/README.md" for folder in folders}
    others = set(PAGES) - {"README.md"} - {page for pages in folders.values() for page in pages}
    assert others | indexes <= set(list_links("README.md"))
    for folder, pages in folders.items():
        found = {f"{folder}/{link}" for link in list_links(f"{folder}/README.md")}
        assert set(pages) - indexes <= found


@pytest.mark.parametrize("page", PAGES)
def test_images_are_there_and_say_what_they_show(page: str) -> None:
    """Each image exists and has a description for readers who cannot see it."""
    folder = (ROOT / page).parent
    for description, target in list_images(page):
        assert (folder / target).is_file()
        assert len(description) > len("a picture")


@pytest.mark.parametrize("page", PAGES)
def test_page_names_settings_that_exist(page: str) -> None:
    """Each setting that a page mentions exists."""
    named = set(re.findall(r"LOCKGATE_[A-Z_]*[A-Z]\b(?!_)", read_page(page))) - WRONG_SETTINGS
    known = {setting.name for setting in SETTINGS}
    assert set() == {name for name in named - known if not name.startswith("LOCKGATE_TEST")}


# Sentences.


@pytest.mark.parametrize("page", PROSE_PAGES)
def test_sentences_are_short(page: str) -> None:
    """No sentence has more than 35 words, and a page averages 18 or fewer."""
    sentences = list_sentences(read_page(page))
    counts = [count_words(sentence) for sentence in sentences]
    assert [] == [sentence for sentence in sentences if count_words(sentence) > MOST_WORDS]
    assert sum(counts) / len(counts) <= MOST_WORDS_ON_AVERAGE


def test_sentences_are_found_in_prose_alone() -> None:
    """Code counts as one word; headings, tables, code blocks and comments are not sentences."""
    text = """# A heading

First, run `make test ARGS=-x`. Then
read [the page](a.md). It ends
<!-- a comment -->

* one item (with a bracket.) Another
  line
* `code`

| a table | of words |

    make demo

```shell
lockgate up
```
"""
    expected = [
        ("First, run CODE.", 3),
        ("Then read the page.", 4),
        ("It ends", 2),
        ("* one item (with a bracket.", 5),
        ("Another line", 2),
        ("* CODE", 1),
    ]
    assert expected == [(one, count_words(one)) for one in list_sentences(text)]


# Configuration.


def test_every_setting_has_its_row() -> None:
    """The table of settings equals `SETTINGS` word for word."""
    expected = [
        [f"`{setting.name}`", setting.default or "none", setting.purpose] for setting in SETTINGS
    ]
    assert expected == read_table("docs/configuration.md", "| setting | default | purpose |")


def test_settings_without_a_parameter_are_named() -> None:
    """The page lists each setting that the template does not set."""
    page = read_page("docs/configuration.md")
    named = re.findall(r"LOCKGATE_\w+", page.partition("for these")[2].partition("\n\n")[0])
    template = read_page("template.yaml")
    assert [s.name for s in SETTINGS if f" {s.name}:" not in template] == named


def test_every_option_of_the_terminal_has_its_row() -> None:
    """The table of options equals that of the command line."""
    expected = [
        [f"`--{option.replace('_', '-')}`", f"`{name}`"] for option, name in OPTION_SETTINGS.items()
    ]
    assert expected == read_table("docs/configuration.md", "| option | instead of |")


def test_every_key_of_a_command_has_its_row() -> None:
    """The table of keys lists each key with the actions that accept it."""
    rows = read_table("docs/configuration.md", "| key | actions | value |")
    shown = [(row[0].strip("`"), row[1].replace("`", "")) for row in rows]
    expected = [
        (
            key.name,
            "all"
            if key.actions == frozenset(Action)
            else ", ".join(sorted(key.actions, reverse=True)),
        )
        for key in KEYS
    ]
    assert [("action", "all"), *expected] == shown
    assert ", ".join(f"`{action}`" for action in Action) in rows[0][2]


# Errors.


def test_every_code_has_its_section_and_every_section_its_code() -> None:
    """Each error code has a section, in the order of the exception tree."""
    headings = list_headings("docs/errors.md")
    assert [cls.code for cls in find_error_classes()] == headings[headings.index("Codes") + 1 :]


@pytest.mark.parametrize("cls", find_error_classes(), ids=lambda cls: cls.code)
def test_section_names_the_public_class(cls: type[LockgateError]) -> None:
    """Each section begins with the public class of its error."""
    section = read_page("docs/errors.md").partition(f"### `{cls.code}`\n\n")[2]
    assert section.startswith(f"`{public_class(cls('x')).__name__}`. ")


def test_every_public_class_has_its_row() -> None:
    """The table lists each public class with its status and exit status."""
    rows = read_table("docs/errors.md", "| class | report's status | exit status | worth a retry |")
    expected = [
        [f"`{cls.__name__}`", f"`{status_of(cls('x'))}`", str(EXIT_STATUSES[status_of(cls("x"))])]
        for cls in LockgateError.__subclasses__()
    ]
    assert expected == [row[:3] for row in rows]


def test_every_status_has_its_row() -> None:
    """The table lists each status and whether it is a success."""
    rows = read_table("docs/report.md", "| status | success | means |")
    expected = [[f"`{status}`", "yes" if status in SUCCESSES else "no"] for status in Status]
    assert expected == [row[:2] for row in rows]


# The report.


def test_example_report_keeps_to_the_schema() -> None:
    """The example report is valid against the schema."""
    schema = json.loads(read_page("docs/report.schema.json"))
    (block,) = (block for block in find_blocks("docs/report.md") if block.words == ("report",))
    flaws = jsonschema.Draft202012Validator(schema).iter_errors(json.loads(block.text))
    assert [] == [f"{flaw.json_path}: {flaw.message}" for flaw in flaws]


def test_excerpt_of_a_report_has_keys_of_the_schema() -> None:
    """The README's excerpt of a report has only keys of the schema."""
    schema = json.loads(read_page("docs/report.schema.json"))
    (block,) = (block for block in find_blocks("README.md") if block.words == ("excerpt",))
    value = json.loads(block.text)
    assert set(value) <= set(schema["properties"])
    assert set(value["applied"][0]) <= set(schema["$defs"]["entry"]["properties"])


def test_example_backup_keeps_to_the_schema() -> None:
    """The example report with the page's backup is valid against the schema."""
    schema = json.loads(read_page("docs/report.schema.json"))
    blocks = [block for block in find_blocks("docs/report.md") if block.words == ("excerpt",)]
    (value,) = (json.loads(block.text) for block in blocks if '"backup"' in block.text)
    (report,) = (block for block in find_blocks("docs/report.md") if block.words == ("report",))
    whole = {**json.loads(report.text), **value}
    flaws = jsonschema.Draft202012Validator(schema).iter_errors(whole)
    assert [] == [f"{flaw.json_path}: {flaw.message}" for flaw in flaws]


# Operations.


def list_calls(methods: set[str]) -> set[str]:
    """Return the first text argument of each call of the methods, outside code for the terminal."""
    names: set[str] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in TERMINAL_ONLY:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names |= read_call(node, methods)
    return names


def read_call(node: ast.AST, methods: set[str]) -> set[str]:
    """Return the first argument of a call of one of the methods if it is text."""
    match node:
        case ast.Call(
            func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(str(text)), *_]
        ):
            return {text} if name in methods else set()
        case _:
            return set()


def test_every_log_event_has_its_row() -> None:
    """The table lists exactly the events that the function logs."""
    column = cells("docs/operations.md", "| event | means |")
    shown = {name for cell in column for name in re.findall(r"\w+", cell)}
    called = list_calls({"emit", "_emit", "info", "warning", "error", "exception"})
    assert shown == called | {name for name, _ in FORMS.values()}


def test_every_metric_has_its_row() -> None:
    """The table lists exactly the metrics that Lockgate counts."""
    source = (PACKAGE / "awslambda/app.py").read_text("utf-8")
    counted = set(re.findall(r'"([A-Z][a-z]+[A-Z][A-Za-z]+)":? ?[:,]', source))
    assert counted == set(cells("docs/operations.md", "| metric | unit | means |"))


def test_alarms_and_outputs_that_pages_name_are_in_the_template() -> None:
    """Each alarm, parameter and output that the page names is in the template."""
    template = read_page("template.yaml")
    page = read_page("docs/operations.md")
    parameters = re.findall(r"`((?:With|Failure|Alarm|Kms|S3)\w+?)(?:=\w+)?`", page)
    names = {*re.findall(r"`(\w+Alarm)`", page), *parameters, "LogGroup", "FunctionArn"}
    assert [] == sorted(name for name in names if f"\n  {name}:\n" not in template)


def test_changelog_begins_with_what_is_unreleased() -> None:
    """The changelog begins with the unreleased changes."""
    assert "[Unreleased]" == list_headings("CHANGELOG.md")[1]


# Decisions.


@pytest.mark.parametrize("decision", list_headings("docs/why.md")[1:])
def test_decision_has_its_three_parts(decision: str) -> None:
    """Each decision has a problem, a choice and a cost, in this order."""
    sections = re.split(r"^## ", read_page("docs/why.md"), flags=re.MULTILINE)
    (section,) = (part for part in sections if part.replace("`", "").startswith(f"{decision}\n"))
    assert ["Problem.", "Choice.", "Cost."] == re.findall(
        r"^\*\*(\w+\.)\*\*", section, re.MULTILINE
    )


# The terminal.


def list_terminal_commands() -> list[Any]:
    """Return each ``lockgate`` command in the shell blocks of the pages."""
    return [
        pytest.param(shlex.split(line, comments=True)[1:], id=f"{page}: {line}")
        for page in PAGES
        for block in find_blocks(page)
        if block.language == "shell"
        for line in block.text.splitlines()
        if line.startswith("lockgate ")
    ]


@pytest.mark.parametrize("arguments", list_terminal_commands())
def test_terminal_command_is_understood(arguments: list[str]) -> None:
    """Each documented command and its options are valid."""
    options = make_parser().parse_args(arguments)
    assert callable(find_command(options.run))


def test_parameters_that_readme_asks_for_are_those_without_default() -> None:
    """The README names each parameter without a default, and those that a rule requires."""
    parameters = read_page("template.yaml").partition("\nParameters:\n")[2].partition("\nRules:")[0]
    blocks = re.split(r"^  (?=\w+:$)", parameters, flags=re.MULTILINE)[1:]
    needed = {block.partition(":")[0] for block in blocks if "    Default:" not in block}
    chosen = {"SecretArn", "SecurityGroupIds", "VpcId", "DatabaseSecurityGroupId"}
    assert {"SubnetIds"} == needed
    assert all(f"`{name}`" in read_page("README.md") for name in needed | chosen)
