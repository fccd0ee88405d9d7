"""Compare the page on access with the template, the settings and the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.docs.markdown import find_blocks, read_page, read_table

from lockgate.core.request import Action
from lockgate.settings import Settings

if TYPE_CHECKING:
    from tests.support.project import Project

PAGE = "docs/access.md"


def test_functions_have_the_permissions_on_the_page() -> None:
    """The actions in the table are those of the template and of the default settings."""
    rows = [
        [cell.strip("`") for cell in row]
        for row in read_table(PAGE, "| function | for | actions |")
    ]
    said = {row[0]: tuple(name.strip("`") for name in row[2].split(", ")) for row in rows}
    allowed = f"LOCKGATE_ALLOWED_ACTIONS: {','.join(said['Operate'])}\n"

    assert Settings().allowed_actions == said["Migrate"]
    assert allowed in read_page("template.yaml")


def test_policies_name_one_function_each() -> None:
    """Each policy allows its user to invoke one function and nothing else."""
    blocks = [block for block in find_blocks(PAGE) if block.words == ("policy",)]
    statements = [json.loads(block.text)["Statement"] for block in blocks]
    named = [
        (one["Sid"], one["Effect"], one["Action"], one["Resource"].split(":")[-1].split("-")[1])
        for (one,) in statements
    ]

    allow = ("Allow", "lambda:InvokeFunction")
    assert [
        ("Deploy", *allow, "Migrate"),
        ("Operate", *allow, "Operate"),
        ("Look", *allow, "Look"),
    ] == named


def test_every_column_of_the_view_has_its_row(project: Project) -> None:
    """Each column of the view is documented, in order."""
    project.write({"1_a.sql": "SELECT 1;"})
    project.run()
    columns = project.database.run(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'lockgate.status'::regclass"
        " AND attnum > 0 ORDER BY attnum"
    )

    rows = read_table(PAGE, "| column | meaning |")
    assert [name for (name,) in columns] == [row[0].strip("`") for row in rows]


def test_role_that_only_looks_needs_no_right_to_write(project: Project) -> None:
    """Status, plan and history work for a role that can only read the three tables."""
    database = project.database
    role = f"onlooker_{database.name}"
    project.write({"1_a.sql": "SELECT 1;"})
    project.run()
    project.write({"2_b.sql": "SELECT 2;"})
    database.run(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    database.run(
        f"GRANT USAGE ON SCHEMA lockgate TO {role};"
        f"GRANT SELECT ON lockgate.migration_history, lockgate.migration_run,"
        f" lockgate.migration_lock TO {role}"
    )
    url = f"postgresql://{role}:x@{database.host}:{database.port}/{database.name}"
    try:
        ends = {
            action: project.run(action, LOCKGATE_DATABASE_URL=url)
            for action in (Action.STATUS, Action.PLAN, Action.HISTORY)
        }
    finally:
        database.run(f"DROP OWNED BY {role}; DROP ROLE {role}")

    assert {None} == {report.error for report in ends.values()}
    assert 1 == len(ends[Action.HISTORY].runs)
