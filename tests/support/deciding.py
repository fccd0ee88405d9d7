"""Facts for commands, and answers in place of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.support.fake_server import NOW

from lockgate.core.events import Event
from lockgate.core.history import Applied, History, State, StoredScripts
from lockgate.core.migration import Direction, Kind, Version
from lockgate.core.outcome import FinishedMigration
from lockgate.core.policy import FirstRun, Policy, Rollback
from lockgate.core.probe import Probe
from lockgate.core.request import Action, Caller, Request
from lockgate.core.run_state import RunState
from lockgate.engine.commands import COMMANDS
from lockgate.engine.decision import Facts, StageFailure, Work
from lockgate.engine.needs import Need
from lockgate.errors import LockgateError
from lockgate.formats.native.reader import read_folder

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from lockgate.core.catalog import Catalog
    from lockgate.engine.decision import Ask, Stage

FILES = {
    f"{n}_{name}.sql": f"-- migrate:up\nCREATE TABLE {name} ();\n-- migrate:down\nDROP TABLE {name};\n"
    for n, name in ((1, "a"), (2, "b"))
}
PROBE = Probe(
    database="shop",
    user="app",
    role="app",
    server_version="18.0",
    version_number=180000,
    is_read_only=False,
    lock_slots=6400,
    has_schema=False,
    is_fresh=True,
    behind_pooler=False,
)
POLICY = Policy(first_run=FirstRun.ALLOW)


def _read_catalog() -> Catalog:
    with TemporaryDirectory() as folder:
        for name, text in FILES.items():
            (Path(folder) / name).write_text(text)
        return read_folder(Path(folder), {})


CATALOG = _read_catalog()


def _substitute_nothing(text: str, _path: str) -> tuple[str, tuple[str, ...]]:
    return text, ()


def make_row(version: str, *, checksum: str | None = None) -> Applied:
    """Return the row of a migration: of the file with that version if there is one."""
    migration = CATALOG.by_id.get(version)
    down = None if migration is None or migration.down is None else migration.down.checksum
    found = "0" * 64 if migration is None else migration.up.checksum
    return Applied(
        migration_id=version,
        version=Version((int(version),), version) if migration is None else migration.version,
        name="z" if migration is None else migration.name,
        kind=Kind.VERSIONED,
        checksum=checksum or found,
        token_checksum=None,
        has_down=True,
        state=State.APPLIED,
        statements_done=1,
        statements_total=1,
        applied_at=NOW,
        duration_ms=1,
        run_id="r",
        token=1,
        down_checksum=down,
    )


def make_facts(
    *applied: str,
    probe: Probe = PROBE,
    rows: Sequence[Applied] | None = None,
    is_settled: bool = False,
) -> Facts:
    """Return the facts of a catalog with two files, with these versions applied."""
    history = History(tuple(map(make_row, applied)) if rows is None else tuple(rows))
    return Facts(probe, "r", _substitute_nothing, CATALOG, history, is_settled=is_settled)


@dataclass
class Decided:
    """What a command asked for, its events, and its decision or error."""

    asked: list[Need] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    decision: Any = None
    error: LockgateError | None = None

    @property
    def work(self) -> Work:
        """The work that a stage planned."""
        assert isinstance(self.decision, Work), self.error
        return self.decision


def decide(
    action: Action,
    facts: Facts,
    policy: Policy = POLICY,
    *,
    answers: Mapping[Need, Any] | None = None,
    **fields: Any,
) -> Decided:
    """Let a command decide, with these answers to its questions."""
    request = Request(action, Caller("test"), **fields)
    return _consult(COMMANDS[action](facts, request, policy), answers or {})


def plan_stage(stage: Stage | None, facts: Facts, action: Action, **fields: Any) -> Decided:
    """Let a stage plan under the lock."""
    assert stage is not None
    return _consult(stage.plan(facts, Request(action, Caller("test"), **fields), POLICY), {})


def _consult(deciding: Generator[Ask | Event, Any, Any], answers: Mapping[Need, Any]) -> Decided:
    decided, answer = Decided(), None
    try:
        while True:
            item = deciding.send(answer)
            answer = None
            if isinstance(item, Event):
                decided.events.append(item)
            else:
                decided.asked.append(item.need)
                answer = (
                    _scripts(item.subject) if item.need is Need.SCRIPTS else answers.get(item.need)
                )
    except StopIteration as end:
        decided.decision = end.value
    except LockgateError as error:
        decided.error = error
    return decided


def _scripts(ids: Sequence[str]) -> dict[str, StoredScripts]:
    found = (CATALOG.by_id[one] for one in ids)
    return {
        one.migration_id: StoredScripts(
            one.migration_id,
            one.up.language,
            None if one.down is None else one.down.text,
            one.up.options,
            is_substituted=False,
            up=None,
        )
        for one in found
    }


def make_state(*, done: Sequence[str] = (), reverted: Sequence[str] = ()) -> RunState:
    """Return the state of a run that has applied and undone these."""
    return RunState(
        "r",
        Request(Action.UP, Caller("test")),
        done={one: FinishedMigration(one, 1, NOW) for one in done},
        reverted={one: FinishedMigration(one, 1, NOW, Direction.DOWN) for one in reverted},
    )


def make_failure(
    error: LockgateError,
    *,
    done: Sequence[str] = (),
    reverted: Sequence[str] = (),
    rollback: Rollback = Rollback.RUN,
    is_over: bool = False,
) -> StageFailure:
    """Return a stage failure."""
    state = make_state(done=done, reverted=reverted)
    return StageFailure(error, state, rollback, is_over=is_over)
