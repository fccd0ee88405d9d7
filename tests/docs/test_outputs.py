"""Compare the output shown on the pages on settings, undo and reports with Lockgate's."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from tests.docs.markdown import find_blocks, read_page, to_one_line

from lockgate.awslambda.callers.direct import read_request
from lockgate.core.request import Action
from lockgate.core.state_after import NOT_BEGUN
from lockgate.errors import LockgateError
from lockgate.report.refusal import refuse_report
from lockgate.settings import Settings, read_settings
from lockgate.terminal.report import describe_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.project import Project

    from lockgate.report.report import Report

# Run ids, addresses and server versions differ between runs.
_VARIES = re.compile(r"\b[0-9a-f]{16}\b|[\w.]+:[0-9]+/\w+|PostgreSQL [0-9.]+")
OPERATOR: dict[str, Any] = {"reason": "test", "requested_by": "ada"}
NAMES = {
    "20261122093000_accounts.sql": (
        "-- migrate:up\nCREATE TABLE account (id int PRIMARY KEY);\n"
        "-- migrate:down\nDROP TABLE account;\n"
    ),
    "20261122094500_names.sql": (
        "-- migrate:up\nALTER TABLE account ADD COLUMN name text;\n"
        "-- migrate:down\nALTER TABLE account DROP COLUMN name;\n"
    ),
}
ROWS = {
    "20261122095500_rows.sql": (
        "-- migrate:up\nINSERT INTO account VALUES (1);\n-- migrate:down\nDELETE FROM account;\n"
    )
}


def _name_unknown_setting(_: Project) -> Report:
    with pytest.raises(LockgateError) as caught:
        read_settings({"LOCKGATE_LOCK_TIMOUT": "3s"})
    return refuse_report("9f2c41d07be85a36", caught.value, NOT_BEGUN)


def _plan_a_down(project: Project) -> Report:
    project.write(NAMES)
    project.run()
    return project.do(Action.PLAN, is_down=True, steps=1)


def _lose_a_row(project: Project) -> Report:
    project.write(NAMES | ROWS)
    project.run()
    return project.do(Action.DOWN, steps=2, **OPERATOR)


def _fail_after_a_table_that_was_there(project: Project) -> Report:
    project.write({"0001_old.sql": "CREATE TABLE audit_log (id int);"})
    project.run()
    project.write(
        {
            "0002_audit.sql": (
                "-- migrate:up\nCREATE TABLE IF NOT EXISTS audit_log (id int);\n"
                "-- migrate:down\nDROP TABLE IF EXISTS audit_log;\n"
            ),
            "0003_bad.sql": "SELECT 1/0;\n",
        }
    )
    return project.run()


def _show_a_repair(project: Project) -> Report:
    project.write(NAMES | ROWS)
    project.run()
    name = "20261122094500_names.sql"
    project.write({name: f"{NAMES[name]}-- a comment\n"})
    command = {"action": "repair", "accept": "20261122094500", **OPERATOR}
    request = read_request(command, Settings(allowed_actions=("repair",)))
    return project.runner().run(request)


SHOWN: dict[str, list[Callable[[Project], Report]]] = {
    "docs/configuration.md": [_name_unknown_setting],
    "docs/undo.md": [
        _plan_a_down,
        _lose_a_row,
        _fail_after_a_table_that_was_there,
        _show_a_repair,
    ],
}


def find_outputs(page: str) -> list[str]:
    """Return the text blocks of a page."""
    return [block.text for block in find_blocks(page) if block.language == "text"]


def make_comparable(text: str) -> str:
    """Return a text on one line, with what differs between runs masked."""
    return _VARIES.sub("…", to_one_line(text))


@pytest.mark.parametrize("page", SHOWN)
def test_every_output_is_compared(page: str) -> None:
    """Each output on a page has its cause above."""
    assert len(find_outputs(page)) == len(SHOWN[page])


@pytest.mark.parametrize(
    ("page", "place"), [(page, place) for page in SHOWN for place in range(len(SHOWN[page]))]
)
def test_output_equals_the_printed_one(page: str, place: int, project: Project) -> None:
    """The shown output, or part of an output, is printed word for word."""
    report = SHOWN[page][place](project)
    lines = describe_report(report.to_json(), None, folder="migrations")
    printed = "\n".join("".join(span.text for span in line) for line in lines)
    assert make_comparable(find_outputs(page)[place]) in make_comparable(printed)


def test_message_in_the_example_report_equals_the_printed_one(project: Project) -> None:
    """The example report has the message and hint that its migrations cause."""
    example = json.loads(
        read_page("docs/report.md").partition("```json report\n")[2].split("```")[0]
    )
    project.write({"20261122093000_accounts.sql": "CREATE TABLE account (id int, email text);"})
    project.run()
    index, names = (
        "20261122094500_index_accounts.sql",
        "20261122103000_add_names.sql",
    )
    project.write(
        {
            index: "CREATE INDEX CONCURRENTLY account_email ON account (email);\n",
            names: (
                "ALTER TABLE account ADD COLUMN name text;\n\n"
                "ALTER TABLE account ADD COLUMN email text;\n"
            ),
        }
    )
    error = project.run().to_json()["error"]
    assert example["error"] == error
