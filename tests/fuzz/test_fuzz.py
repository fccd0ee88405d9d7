"""Check the guarantees in `targets` with inputs from Hypothesis in every test run."""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz import targets
from tests.fuzz.targets import FOREIGN_NAMES, TARGETS
from tests.support.reach import must_reach, reached

from lockgate.awslambda.callers import cloudformation, direct
from lockgate.errors import RequestInvalid
from lockgate.settings import SETTINGS, Settings

# The same examples in every run, because new findings belong to `make fuzz`, not to a deploy.
FEW = settings(max_examples=100, derandomize=True, database=None)

# Names of the outcomes for `must_reach`.
READ = {True: "read", False: "refused"}
# Texts after the host of a signed URL.
URL_ENDS = st.sampled_from(
    ["/", "/a?X-Amz-Date=1", "?a", ":443/a", ".evil.example/", "@evil/", "#"]
)
KEYS = st.sampled_from(
    [
        *("action", "RequestType", "StackId", "RequestId", "LogicalResourceId", "ResponseURL"),
        *("ResourceProperties", "reason", "requested_by", "direction", "steps", "limit", "target"),
        *("from", "accept", "forget", "mark", "tf", "LockgateContinuation", "PhysicalResourceId"),
        *("dry_run", "execution", "DeploymentId", "LifecycleEventHookExecutionId"),
        *("hop", "began_at", "lockgate", "job", "done", "data", "continuationToken"),
        *("actionConfiguration", "configuration", "UserParameters"),
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=8),
    st.sampled_from(["up", "plan", "down", "repair", "adopt", "Create", "Delete", "1", "goose"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=6,
)
STACK = {
    "RequestType": "Create",
    "StackId": "stack",
    "RequestId": "request",
    "LogicalResourceId": "Migration",
}
HOOK = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "x"}
JOB_ID = "11111111-abcd-1111-abcd-111111abcdef"
TEXTS = st.one_of(VALUES.map(json.dumps), st.text(max_size=20))


def make_job(parameters: Any, token: Any) -> dict[str, Any]:
    """Return the event of a CodePipeline job."""
    action = {"configuration": {"UserParameters": parameters}}
    data = {"actionConfiguration": action, "continuationToken": token}
    return {"CodePipeline.job": {"id": JOB_ID, "data": data}}


LINES = st.sampled_from(
    [
        *("-- migrate:up", "-- migrate:down", "-- migrate:up transaction:false lock_timeout:5s"),
        *("-- migrate:env on", "-- migrate:verify SELECT 1", "--migrate:", "-- +goose Up", "${a}"),
        *("${b:-x}", "SELECT 1;", "COPY t FROM stdin;", "\\.", "\\restrict x", "BEGIN;", "COMMIT;"),
        *(
            "CREATE INDEX CONCURRENTLY i ON t (a);",
            "'",
            "$$",
            "/*",
            "\ufeff",
            "def up(connection):",
        ),
        *(
            "# note",
            "x = 1",
            "    pass",
            "transaction = False",
            "def down(connection): ...",
            "\\q",
            "\0",
        ),
    ]
)
CONTENTS = st.one_of(
    st.binary(max_size=60), st.lists(LINES, max_size=8).map(lambda lines: "\n".join(lines).encode())
)

# Include nothing, because most texts after a valid beginning make it invalid.
AFTER = st.one_of(CONTENTS, st.just(b""))
# Valid beginnings for formats in which random text alone is never valid.
PYTHON = b"def up(connection):\n    pass\n"
SQITCH_PLAN = b"%syntax-version=1.0.0\n%project=p\n\na 2026-01-01T00:00:00Z A <a@b.example> # a\n"
REVISION = b"revision = 'a'\ndown_revision = None\ndef upgrade(): pass\ndef downgrade(): pass\n"
BEGINNINGS = {
    "dbmate": (b"-- migrate:up\nSELECT 1;\n",),
    "goose": (b"-- +goose Up\nSELECT 1;\n",),
    "liquibase": (b"-- liquibase formatted sql\n-- changeset a:1\nSELECT 1;\n",),
    "graphile-migrate": (
        b"--! Previous: -\n--! Hash: sha1:0\n--! AllowInvalidHash\n\nSELECT 1;\n",
    ),
    "sqitch": (SQITCH_PLAN, b"[core]\n engine = pg\n", b"SELECT 1;\n"),
    "alembic": (REVISION,),
}


MORE = st.dictionaries(KEYS, VALUES, max_size=6)


@must_reach(read=20, refused=20)
@given(
    st.one_of(
        VALUES,
        MORE.map(STACK.__or__),
        MORE.map(HOOK.__or__),
        MORE.map(lambda more: {**more, "tf": {"action": "update"}}),
        st.builds(make_job, st.one_of(TEXTS, VALUES), st.one_of(TEXTS, VALUES)),
    )
)
@FEW
def test_any_event_is_read_or_refused_readably(event: Any) -> None:
    """Any event is read or refused."""
    reached(READ[targets.check_event(event)])


@must_reach(read=3, refused=20)
@given(st.one_of(URL_ENDS, st.text(st.characters(), max_size=80)))
@FEW
def test_no_url_leads_anywhere_but_to_cloudformation(rest: str) -> None:
    """Only URLs of CloudFormation are accepted, whatever surrounds the host."""
    bucket = "cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com"
    for url in (rest, f"https://{rest}", f"https://{bucket}{rest}", f"https://{rest}{bucket}"):
        reached(READ[targets.check_url(url)])


@must_reach(read=20, refused=20)
@given(CONTENTS)
@FEW
def test_any_sql_is_split_or_refused_with_its_place(content: bytes) -> None:
    """Any text is split into statements or refused with its place."""
    reached(READ[targets.check_sql(content.decode("utf-8", "replace"))])


@pytest.mark.parametrize("name", ["1_a.sql", "1_a.py", "R__a.sql"])
@must_reach(read=3, refused=10)
@given(content=st.tuples(st.sampled_from([b"", PYTHON]), AFTER).map(b"".join))
@FEW
def test_any_file_is_read_or_refused_by_its_name(name: str, content: bytes) -> None:
    """Any file is read as a migration or refused."""
    reached(READ[targets.check_file(name, content)])


@pytest.mark.parametrize("tool", FOREIGN_NAMES)
@must_reach(read=2.5, refused=5)
@given(contents=st.lists(AFTER, min_size=1, max_size=2), is_begun=st.booleans())
@settings(FEW, max_examples=40)
def test_any_folder_of_another_tool_is_read_or_refused(
    tool: str, contents: list[bytes], *, is_begun: bool
) -> None:
    """Any folder in another tool's format is read or refused."""
    beginnings = BEGINNINGS.get(tool, ()) if is_begun else ()
    begun = [begin + rest for begin, rest in zip_longest(beginnings, contents, fillvalue=b"")]
    is_read = targets.check_folder(tool, dict(zip(FOREIGN_NAMES[tool], begun, strict=False)))
    reached(READ[is_read])


@must_reach(read=10, refused=10)
@given(
    st.dictionaries(
        st.sampled_from([setting.name for setting in SETTINGS]),
        st.one_of(st.text(max_size=12), st.sampled_from(["true", "5s", "99999999999999999999d"])),
        max_size=4,
    )
)
@FEW
def test_any_setting_is_read_or_refused_by_its_name(environment: dict[str, str]) -> None:
    """Any environment is read or refused."""
    reached(READ[targets.check_settings(environment)])


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({**STACK, "RequestId": "a\0b"}, "RequestId"),
        ({**STACK, "ResponseURL": "https://\ud800/"}, "ResponseURL"),
        ({"action": "plan", "direction": []}, "direction"),
    ],
)
def test_what_the_fuzzer_has_found_is_refused(event: Any, problem: str) -> None:
    """Each event raised an internal error, or contained text that PostgreSQL cannot store."""
    is_stack = "StackId" in event
    with pytest.raises(RequestInvalid, match=problem):
        cloudformation.read_envelope(event) if is_stack else direct.read_request(event, Settings())


@pytest.mark.parametrize("tool", ["native", *FOREIGN_NAMES])
@pytest.mark.parametrize(
    "text", ["DO $l[e", "DO - $", "DO a$", "DO $$", "DO $a$", "DO '", "DO $1$"]
)
def test_block_that_is_broken_off_is_read_or_refused(tool: str, text: str) -> None:
    """A dollar sign that opens no string raised an internal error, in a file of each format."""
    beginnings = BEGINNINGS.get(tool, (b"",))
    names = {"native": ("1_a.sql",), **FOREIGN_NAMES}[tool]
    content = beginnings[0] + text.encode()
    targets.check_folder(tool, {names[0]: content})
    targets.check_file("1_a.sql", text.encode())


@pytest.mark.parametrize("name", TARGETS)
@must_reach(read=10, refused=10)
@given(data=st.binary(max_size=60))
@settings(FEW, max_examples=60)
def test_targets_of_the_fuzzer_hold(name: str, data: bytes) -> None:
    """The fuzzer's targets also pass with random bytes."""
    reached(READ[TARGETS[name](data)])
