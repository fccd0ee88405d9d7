"""Compare the messages quoted in ``docs/errors.md`` with Lockgate's, apart from ids and digests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.docs.markdown import read_page, to_one_line

from lockgate.awslambda.callers.direct import read_request
from lockgate.core.history import EMPTY_HISTORY
from lockgate.core.plan import make_plan
from lockgate.core.policy import Policy
from lockgate.core.refusal import find_refusal
from lockgate.core.request import Action
from lockgate.core.state_after import NOT_BEGUN
from lockgate.errors import LockgateError
from lockgate.formats.native.reader import read_folder
from lockgate.report.refusal import refuse_report
from lockgate.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.project import Project

    from lockgate.report.report import Report

PAGE = "docs/errors.md"
_QUOTE = re.compile(r"(?:^> .*\n)+", re.MULTILINE)
_VARIES = re.compile(r"sha256:[0-9a-f]{12}…|\b[0-9a-f]{16}\b")
TABLE = """\
-- migrate:up
CREATE TABLE account (id int, email text);
-- migrate:down
DROP TABLE account;
"""


def find_quotes(code: str) -> list[str]:
    """Return the quoted messages in the section of a code, each on one line."""
    section = read_page(PAGE).partition(f"### `{code}`\n")[2].partition("\n### ")[0]
    return [to_one_line(found.replace("> ", "")) for found in _QUOTE.findall(section)]


def _name_unknown_setting(_: Project) -> Report:
    with pytest.raises(LockgateError) as caught:
        read_settings({"LOCKGATE_LOCK_TIMOUT": "5s"})
    return refuse_report("", caught.value, NOT_BEGUN)


def _send_test_event(_: Project) -> Report:
    event = {"key1": "value1", "key2": "value2", "key3": "value3"}
    with pytest.raises(LockgateError) as caught:
        read_request(event, Settings())
    return refuse_report("", caught.value, NOT_BEGUN)


def _mistype_option(project: Project) -> Report:
    project.write({"0007_add_orders.sql": "-- migrate:up transactoin:false\nSELECT 1;\n"})
    return project.run()


def _merge_late(project: Project) -> Report:
    project.write({"0007_add_orders.sql": TABLE})
    project.run()
    project.write({"0006_add_index.sql": "SELECT 1;\n"})
    return project.run()


def _leave_block_begun(project: Project) -> Report:
    block = "DO $$ BEGIN COMMIT; RAISE 'half way'; END $$;\n"
    project.write({"0012_fill.sql": f"-- migrate:up transaction:false\nSELECT 1;\n{block}"})
    project.run()
    return project.run()


def _leave_session_set(project: Project) -> Report:
    statements = "SELECT pg_advisory_lock(1);\nSELECT 1 / 0;\nSELECT 3;\n"
    project.write({"0012_fill.sql": f"-- migrate:up transaction:false\n{statements}"})
    project.run()
    return project.run()


def _index_behind_pooler(project: Project) -> Report:
    project.write({"0014_index.sql": "CREATE INDEX CONCURRENTLY ON account (id);\n"})
    policy = Policy(is_borrowed=True)
    plan = make_plan(read_folder(project.folder, {}), EMPTY_HISTORY, policy)
    refusal = find_refusal(plan, policy)
    assert refusal is not None
    return refuse_report("", refusal, NOT_BEGUN)


def _take_other_history(project: Project) -> Report:
    project.write({"1_a.sql": "SELECT 1;\n", "2_b.sql": "SELECT 2;\n"})
    project.run()
    project.remove("1_a.sql")
    project.remove("2_b.sql")
    project.write({"10_c.sql": "SELECT 3;\n"})
    return project.run()


def _meet_tables(project: Project) -> Report:
    project.has_product_default = True
    tables = ("account", "customer", "invoice", "item", "orders", "payment", "refund", "shipment")
    project.database.run(";".join(f"CREATE TABLE public.{name} (id int)" for name in tables))
    project.database.run("CREATE TABLE public.schema_migrations (version varchar PRIMARY KEY)")
    project.database.run("INSERT INTO schema_migrations SELECT generate_series(1, 12)::text")
    project.write({"0013_a.sql": "SELECT 1;\n"})
    return project.run()


def _undo_without_down(project: Project) -> Report:
    project.write({"0007_add_orders.sql": "CREATE TABLE orders (id int);\n"})
    project.run()
    return project.do(Action.DOWN, steps=1, reason="release 8 is taken back")


def _drop_full_table(project: Project) -> Report:
    project.write({"0007_add_orders.sql": TABLE.replace("account", "orders")})
    project.run()
    project.database.run("INSERT INTO orders SELECT generate_series(1, 12400)")
    project.database.run("ANALYZE orders")
    return project.do(Action.DOWN, steps=1, reason="release 8 is taken back")


def _baseline_with_history(project: Project) -> Report:
    project.write({f"{number:04}_a.sql": "SELECT 1;\n" for number in range(1, 13)})
    project.run()
    return project.do(Action.BASELINE, target="0012", reason="made by hand")


def _edit_applied(project: Project) -> Report:
    project.write({"0007_add_orders.sql": "CREATE TABLE orders (id int);\n"})
    project.run()
    project.write({"0007_add_orders.sql": "CREATE TABLE orders (id bigint);\n"})
    return project.run()


def _add_column_twice(project: Project) -> Report:
    project.write({"0001_account.sql": TABLE})
    project.run()
    third = "\n" * 10 + "    ALTER TABLE account ADD COLUMN email text;\n"
    project.write({"0012_add_email.sql": f"-- migrate:up\nSELECT 1;\nSELECT 2;\n{third}"})
    return project.run()


# For each quotation, in the order of the page, the function that causes it.
QUOTED: list[tuple[str, int, Callable[[Project], Report]]] = [
    ("setting-invalid", 0, _name_unknown_setting),
    ("request-invalid", 0, _send_test_event),
    ("migration-file-invalid", 0, _mistype_option),
    ("out-of-order", 0, _merge_late),
    ("outcome-unknown", 0, _leave_block_begun),
    ("outcome-unknown", 1, _leave_session_set),
    ("session-needed", 0, _index_behind_pooler),
    ("history-foreign", 0, _take_other_history),
    ("first-contact", 0, _meet_tables),
    ("undo-refused", 0, _undo_without_down),
    ("data-loss-refused", 0, _drop_full_table),
    ("amendment-refused", 0, _baseline_with_history),
    ("drift-detected", 0, _edit_applied),
    ("migration-failed", 0, _add_column_twice),
]

# These need AWS, another server, a second run or concurrent writes.
NOT_CAUSED = [
    ("undo-refused", 1),
    *(
        (code, 0)
        for code in (
            "target-unsuitable",
            "backup-failed",
            "history-unusable",
            "lock-busy",
            "lock-lost",
            "function-busy",
            "run-incomplete",
            "credentials-rejected",
            "database-unreachable",
            "certificate-untrusted",
            "unexpected-failure",
            "function-failed",
        )
    ),
]


def test_every_quotation_is_checked() -> None:
    """Each quotation on the page is either compared below or listed above."""
    codes = re.findall(r"^### `([\w-]+)`$", read_page(PAGE), re.MULTILINE)
    quoted = {(code, place) for code in codes for place in range(len(find_quotes(code)))}
    assert {(code, place) for code, place, _ in QUOTED} | set(NOT_CAUSED) == quoted


@pytest.mark.parametrize(
    ("code", "place", "cause"), QUOTED, ids=[f"{code}-{place}" for code, place, _ in QUOTED]
)
def test_quoted_message_equals_the_printed_one(
    code: str, place: int, cause: Callable[[Project], Report], project: Project
) -> None:
    """The printed message equals the quotation, including the sentence on the database's state."""
    error = cause(project).error
    assert error is not None
    printed = error.message.replace(str(project.folder), "migrations")
    assert (code, _VARIES.sub("…", find_quotes(code)[place])) == (
        error.code,
        _VARIES.sub("…", printed),
    )
