"""The report's JSON form and its schema in ``docs/``: strict, complete, and valid for real reports."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest

from lockgate import errors
from lockgate.core import backup, events
from lockgate.core.deadline import Deadline
from lockgate.core.drift import Severity
from lockgate.core.event_log import EventLog
from lockgate.core.history import State
from lockgate.core.migration import Direction, Kind
from lockgate.core.request import Action, Caller, Request
from lockgate.core.run_record import RunRecord
from lockgate.core.segment import Cause
from lockgate.core.state_after import NOT_BEGUN
from lockgate.core.transaction_mode import Mode
from lockgate.errors import LockgateError, RequestInvalid
from lockgate.report import report
from lockgate.report.make_report import make_report
from lockgate.report.refusal import refuse_report, status_of
from lockgate.report.report import MAX_LISTED, SUCCESSES, Entry, ErrorInfo, Report, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.project import Project

SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "docs/report.schema.json").read_text("utf-8")
)
VALIDATOR = jsonschema.Draft202012Validator(
    SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
ENTRY = Entry("0007", "add_orders", "versioned")
CREATE = "CREATE TABLE account (id bigint);\n"

# The classes of a report, by their names in the schema.
PARTS = {
    "database": report.DatabaseInfo,
    "entry": report.Entry,
    "run": RunRecord,
    "drift_entry": report.DriftEntry,
    "segment": report.SegmentEntry,
    "blocker": report.Blocker,
    "error": report.ErrorInfo,
    "holder": report.HolderInfo,
    "lock": report.LockInfo,
    "backup": backup.BackupInfo,
    "backup_source": backup.BackupSource,
    "snapshot": backup.SnapshotInfo,
}


def find_flaws(found: Report) -> list[str]:
    """Return the violations of the schema in a report's JSON."""
    value = json.loads(found.to_text())
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(value)]


def read_enum(part: str | None, key: str) -> set[str]:
    """Return the allowed values of a key, without null."""
    properties = SCHEMA["properties"] if part is None else SCHEMA["$defs"][part]["properties"]
    return {word for word in properties[key]["enum"] if word is not None}


def walk(schema: object, path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every part of a schema that describes a value, with its path."""
    if not isinstance(schema, dict):
        return
    if path == "$" or "type" in schema or "$ref" in schema or "enum" in schema or "anyOf" in schema:
        yield path, schema
    for key in ("properties", "$defs"):
        for name, child in schema.get(key, {}).items():
            yield from walk(child, f"{path}.{name}")


# The value.


def test_phase_within_a_phase_counts_once() -> None:
    """Time in a nested phase counts only for that phase."""
    now = [0.0]
    log = EventLog(lambda: now[0])
    log.add(events.RunStarted("r", Request(Action.UP, Caller("test")), 0.0))
    with log.phase("connect"):
        now[0] += 0.010
        with log.phase("read_files"):
            now[0] += 0.002
        now[0] += 0.030
    with log.phase("read_files"):
        now[0] += 0.005
    report = make_report(log, Status.UP_TO_DATE, None)
    assert {"read_files": 7, "connect": 40} == report.timings


def test_report_of_little_has_every_key() -> None:
    """All keys are present, in a fixed order; unknown values are null or empty."""
    expected: dict[str, Any] = {
        "format": "lockgate/report/v1",
        "status": "up_to_date",
        "action": "up",
        "run_id": "run-1",
        "caller": None,
        "database": None,
        "from_version": None,
        "to_version": None,
        "applied": [],
        "pending": [],
        "ahead": [],
        "reverted": [],
        "recorded": [],
        "forgotten": [],
        "drift": [],
        "segments": [],
        "history": [],
        "runs": [],
        "error": None,
        "lock": None,
        "backup": None,
        "warnings": [],
        "next_action": None,
        "duration_ms": 0,
        "timings": {},
        "counts": {
            "applied": 0,
            "pending": 0,
            "ahead": 0,
            "reverted": 0,
            "recorded": 0,
            "forgotten": 0,
            "drift": 0,
            "segments": 0,
            "history": 0,
            "runs": 0,
            "warnings": 0,
        },
    }
    value = Report(Status.UP_TO_DATE, Action.UP, "run-1").to_json()
    assert expected == value
    assert list(expected) == list(value)


def test_text_is_the_json_form_on_one_line() -> None:
    """The text is compact JSON on one line, keeps non-ASCII letters, and parses to the same value."""
    found = Report(Status.APPLIED, Action.UP, "run-1", warnings=("größer\n",))
    text = found.to_text()
    assert found.to_json() == json.loads(text)
    assert '"warnings":["größer\\n"]' in text
    assert "\n" not in text


def test_long_list_is_cut_and_shows_its_length() -> None:
    """A list is truncated after a thousand entries, and counts has the full number."""
    found = Report(Status.APPLIED, Action.UP, "run-1", applied=(ENTRY,) * (MAX_LISTED + 1))
    value = found.to_json()
    assert (MAX_LISTED, MAX_LISTED + 1) == (len(value["applied"]), value["counts"]["applied"])


def test_time_is_written_with_its_offset() -> None:
    """A time is ISO 8601, in UTC."""
    entry = dataclasses.replace(ENTRY, applied_at=datetime(2026, 11, 22, 9, 30, tzinfo=UTC))
    value = Report(Status.APPLIED, Action.UP, "run-1", applied=(entry,)).to_json()
    assert "2026-11-22T09:30:00+00:00" == value["applied"][0]["applied_at"]


@pytest.mark.parametrize("status", Status)
def test_success_is_what_the_caller_asked_for(status: Status) -> None:
    """Applied, planned, up to date and rolled back are successes; every other status is a failure."""
    expected = status in {"applied", "up_to_date", "planned", "rolled_back"}
    assert expected == Report(status, None, "run-1").is_success
    assert expected == (status in SUCCESSES)


@pytest.mark.parametrize(
    ("cls", "status"),
    [
        (errors.SettingInvalid, Status.REFUSED),
        (errors.DriftDetected, Status.REFUSED),
        (errors.DatabaseBusy, Status.BUSY),
        (errors.LockLost, Status.BUSY),
        (errors.RunIncomplete, Status.INCOMPLETE),
        (errors.MigrationFailed, Status.FAILED),
        (errors.CredentialsRejected, Status.FAILED),
        (errors.DatabaseUnreachable, Status.FAILED),
        (errors.UnexpectedFailure, Status.FAILED),
    ],
)
def test_status_follows_from_the_error(cls: type[LockgateError], status: Status) -> None:
    """The status follows from the error's class."""
    assert status == status_of(cls("x"))


# The schema.


def test_schema_is_a_schema() -> None:
    """The schema is valid under draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("part", PARTS)
def test_schema_part_has_the_fields_of_its_class(part: str) -> None:
    """Every field of the class is described and required, and nothing else is."""
    fields = [field.name for field in dataclasses.fields(PARTS[part])]
    schema = SCHEMA["$defs"][part]
    assert (fields, fields) == (list(schema["properties"]), schema["required"])


def test_schema_has_the_keys_of_a_report() -> None:
    """The schema has the report's keys in their order, and uses every part."""
    keys = list(Report(Status.APPLIED, None, "run-1").to_json())
    assert (keys, keys) == (list(SCHEMA["properties"]), SCHEMA["required"])
    assert list(PARTS) == list(SCHEMA["$defs"])


def test_schema_admits_no_other_key_and_describes_all() -> None:
    """Objects are closed, and every value has a description."""
    parts = list(walk(SCHEMA))
    undescribed = [path for path, schema in parts if "description" not in schema]
    open_ones = [
        path
        for path, schema in parts
        if "properties" in schema and schema.get("additionalProperties") is not False
    ]
    assert ([], []) == (undescribed, open_ones)


def test_schema_lists_every_value_of_the_code() -> None:
    """The schema's enumerations have the same values as the code's."""
    public = {cls.__name__ for cls in LockgateError.__subclasses__()}
    assert {
        "status": set(Status),
        "action": set(Action),
        "kind": set(Kind),
        "state": set(State) | {"accepted"},
        "reason": set(Cause),
        "script": set(Direction),
        "severity": set(Severity),
        "mode": set(Mode),
        "type": public,
    } == {
        "status": read_enum(None, "status"),
        "action": read_enum(None, "action"),
        "kind": read_enum("entry", "kind"),
        "state": read_enum("entry", "state"),
        "reason": read_enum("entry", "reason"),
        "script": read_enum("drift_entry", "script"),
        "severity": read_enum("drift_entry", "severity"),
        "mode": read_enum("segment", "mode"),
        "type": read_enum("error", "type"),
    }


def test_schema_refuses_an_unknown_key() -> None:
    """An unknown key is a violation."""
    value = {**Report(Status.APPLIED, None, "run-1").to_json(), "secret": "x"}
    (flaw,) = VALIDATOR.iter_errors(value)
    assert "Additional properties are not allowed ('secret' was unexpected)" == flaw.message


# Real reports.


def test_report_of_an_applied_run_keeps_to_the_schema(project: Project) -> None:
    """The report of a run with shared, alone, repeatable and Python migrations is valid."""
    project.write(
        {
            "0001_create.sql": CREATE,
            "0002_index.sql": "CREATE INDEX CONCURRENTLY account_id ON account (id);\n",
            "0003_fill.py": "def up(connection):\n    pass\n",
            "R__view.sql": "CREATE OR REPLACE VIEW accounts AS SELECT * FROM account;\n",
        }
    )
    found = project.run()
    assert ("applied", 4) == (found.status, len(found.applied))
    assert [] == find_flaws(found)


def test_report_of_a_second_run_keeps_to_the_schema(project: Project) -> None:
    """The report of a run with nothing to do is valid."""
    project.write({"0001_create.sql": CREATE})
    project.run()
    found = project.run()
    assert "up_to_date" == found.status
    assert [] == find_flaws(found)


def test_report_of_a_failed_run_keeps_to_the_schema(project: Project) -> None:
    """The report of a run with a failed statement after an applied migration is valid."""
    project.write({"0001_create.sql": CREATE})
    project.run()
    project.write({"0002_more.sql": "SELECT 1;\n", "0003_bad.sql": "SELECT 1;\nSELECT nonsense;\n"})
    found = project.run()
    assert found.error is not None
    assert ("failed", "migration-failed", 2) == (found.status, found.error.code, found.error.line)
    assert [] == find_flaws(found)


def test_report_with_blockers_keeps_to_the_schema(project: Project) -> None:
    """The report of a statement that another session blocks is valid."""
    project.write({"0001_create.sql": CREATE})
    project.run()
    blocker = project.database.connect()
    blocker.run("BEGIN; LOCK TABLE account")
    project.write({"0002_more.sql": "-- migrate:up lock_timeout:1200ms\nDROP TABLE account;\n"})
    found = project.run(LOCKGATE_LOCK_RETRIES="0", LOCKGATE_LOCK_TIMEOUT="300ms")
    blocker.run("ROLLBACK")
    assert found.error is not None
    assert ("55P03", 1) == (found.error.sqlstate, len(found.error.blockers))
    assert [] == find_flaws(found)


def test_report_of_a_busy_database_keeps_to_the_schema(project: Project) -> None:
    """The report of a run that finds the lock held is valid."""
    project.write({"0001_create.sql": CREATE})
    project.run()
    holder = project.database.connect()
    holder.run(
        "UPDATE lockgate.migration_lock SET owner = 'other', caller = 'direct',"
        " backend_pid = pg_backend_pid(), taken_at = now(), expires_at = now() + :lease,"
        " backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())",
        lease=timedelta(hours=1),
    )
    project.write({"0002_more.sql": "SELECT 1;\n"})
    found = project.run(LOCKGATE_LOCK_WAIT="0")
    assert found.lock is not None
    assert found.lock.holder is not None
    assert ("busy", "other") == (found.status, found.lock.holder.run_id)
    assert [] == find_flaws(found)


def test_report_of_an_unlock_keeps_to_the_schema(project: Project) -> None:
    """The report of an unlock that takes the lock from a dead run is valid."""
    project.write({"0001_create.sql": CREATE})
    project.run()
    project.database.run(
        "UPDATE lockgate.migration_lock SET owner = 'other', caller = 'direct', backend_pid = 0,"
        " taken_at = now(), expires_at = now() + interval '1 hour'"
    )
    found = project.run(Action.UNLOCK)
    assert found.lock is not None
    assert found.lock.holder is not None
    assert ("applied", "other") == (found.status, found.lock.holder.run_id)
    assert [] == find_flaws(found)


def test_report_of_drift_keeps_to_the_schema(project: Project) -> None:
    """The report of an edited, a missing and a reformatted file is valid."""
    project.write({"0001_a.sql": CREATE, "0002_b.sql": "SELECT 2;\n", "0003_c.sql": "SELECT 3;\n"})
    project.run()
    project.write({"0001_a.sql": f"-- accounts\n{CREATE}", "0003_c.sql": "SELECT 33;\n"})
    project.remove("0002_b.sql")
    found = project.run()
    assert ("refused", 3) == (found.status, len(found.drift))
    assert [] == find_flaws(found)


def test_report_of_a_file_that_cannot_be_read_keeps_to_the_schema(project: Project) -> None:
    """The report of a run refused before connecting is valid."""
    project.write({"0001_a.sql": "SELECT 'open;\n"})
    found = project.run()
    assert found.error is not None
    assert ("refused", "migration-file-invalid") == (found.status, found.error.code)
    assert [] == find_flaws(found)


@pytest.mark.parametrize("action", [Action.PLAN, Action.STATUS, Action.VALIDATE])
def test_report_of_a_status_matches_the_schema(project: Project, action: Action) -> None:
    """The reports of read-only actions are valid, with migrations ahead and pending."""
    project.write({"0001_a.sql": CREATE, "0002_b.sql": "SELECT 1;\n", "0009_z.sql": "SELECT 9;\n"})
    project.run()
    project.remove("0009_z.sql")
    project.write({"R__view.sql": "CREATE VIEW accounts AS SELECT * FROM account;\n"})
    found = project.run(action)
    assert ("planned", 1, 1) == (found.status, len(found.pending), len(found.ahead))
    assert [] == find_flaws(found)


def test_report_of_an_interrupted_run_keeps_to_the_schema(project: Project) -> None:
    """The report of a run without time to start is valid."""
    project.write({"0001_a.sql": CREATE})
    found = project.run(deadline=Deadline(lambda: 1_000, 20_000))
    assert "incomplete" == found.status
    assert [] == find_flaws(found)


def test_report_of_a_refused_request_keeps_to_the_schema() -> None:
    """The report of a request that never reached a runner is valid."""
    found = refuse_report("run-1", RequestInvalid("It is no request.", hint="Send {}."), NOT_BEGUN)
    assert ("refused", None, "Send {}.") == (found.status, found.action, found.next_action)
    assert [] == find_flaws(found)


@pytest.mark.parametrize(
    "hidden",
    ["\x1b", "\x7f", "\x85", "\x9b", "\xad", "\u200b", "\u2028", "\u202e", "\u2066", "\ufeff"],
)
def test_json_text_shows_no_character_that_a_terminal_obeys(hidden: str) -> None:
    """Control, direction and width characters are escaped, and parse to the same value."""
    said = f"the server's{hidden} words"
    error = ErrorInfo("migration-failed", said, "MigrationFailed", hint=said, detail=said)
    entries = (Entry(f"a{hidden}b", "é 🙂", "versioned"),)
    found = Report(Status.FAILED, Action.UP, "1", applied=entries, error=error)
    text = found.to_text()
    assert text.isprintable()
    assert "é 🙂" in text
    assert found.to_json() == json.loads(text)


def test_json_text_escapes_what_is_beyond_the_first_plane() -> None:
    """A character outside the basic plane is escaped as two surrogates."""
    found = Report(Status.APPLIED, Action.UP, "\U000e0041")
    assert '"run_id":"\\udb40\\udc41"' in found.to_text()
