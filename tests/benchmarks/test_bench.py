"""Run the benchmark with few migrations and the peers that need no installation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from benchmarks.__main__ import run
from benchmarks.bench import Bench, Outcome, Results, Runner
from benchmarks.change import BEFORE, OURS, describe_change
from benchmarks.measure import Sample, make_environment
from benchmarks.peer import Kind, Peer, Task, Tools
from benchmarks.peers import PEERS
from benchmarks.plot import draw
from benchmarks.record import find_value, make_record, read_record, write_record
from benchmarks.row import Row
from benchmarks.table import describe
from benchmarks.targets import find_targets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.local.server import EmbeddedServer

# It uses the psql of the installed server.
pytestmark = pytest.mark.one_major

NEAR = PEERS[: next(n for n, peer in enumerate(PEERS) if peer.kind is Kind.NATIVE)]
FRESH = Row("fresh-1000", "20 pending", 0, 20, 1)
NOTHING = Row("nothing-1000", "nothing pending", 20, 0, 1)
ONE = Row("one", "1 pending", 20, 1, 1)
FAR = Row("far-fresh-1000", "20 pending, away", 0, 20, 1, 0.2)
OUTSIDE = Row("outside-500", "30 statements", 0, 1, 1, 0, Task.OUTSIDE, 30)
LONGER = Row("outside-4000", "60 statements", 0, 1, 1, 0, Task.OUTSIDE, 60)
CHECK = Row("check-10000", "20 checked", 0, 20, 1, task=Task.CHECK)


@pytest.fixture
def bench(server: EmbeddedServer, tmp_path: Path) -> Iterator[Bench]:
    """Give a benchmark that uses the tests' server."""
    bench = Bench(server, make_environment(server.psql), tmp_path, lambda _text: None)
    yield bench
    bench.close()


def find_runners(server: EmbeddedServer, home: Path, peers: tuple[Peer, ...]) -> list[Runner]:
    """Return the peers that are available here."""
    if server.psql is None:
        pytest.skip(f"there is no psql in {server.binaries.folder}")
    tools = Tools(home / "no-tools", server.psql)
    found = [(peer, peer.find(tools)) for peer in peers]
    return [Runner(peer, program, home / peer.name) for peer, program in found if program]


def test_every_kind_of_row_is_measured(
    bench: Bench, server: EmbeddedServer, tmp_path: Path
) -> None:
    """All peers complete each kind of row, and table, picture and targets show the record."""
    runners = find_runners(server, tmp_path, NEAR)
    rows = (FRESH, NOTHING, ONE, FAR)
    results: Results = {row.name: bench.run_row(row, runners, 1) for row in rows}
    checkers = [runner for runner in runners if runner.peer.check is not None]
    results[CHECK.name] = bench.run_row(CHECK, checkers, 1)
    peers = [runner.peer for runner in runners]
    record = make_record({"processors": "1"}, [*rows, CHECK], peers, results)
    failed = [one.failed for outcomes in results.values() for one in outcomes.values()]
    assert [None] * (4 * len(NEAR) + 1) == failed
    write_record(record, tmp_path / "record.json")
    assert record == read_record(tmp_path / "record.json")
    assert all(peer.name in describe(record) and peer.name in draw(record) for peer in peers)
    assert "1 pending: lockgate ÷ pg8000-each" in [target.what for target in find_targets(record)]


def test_statements_outside_a_transaction_are_measured_by_their_number(
    bench: Bench, server: EmbeddedServer, tmp_path: Path
) -> None:
    """Each number of statements is measured separately, and the target is their ratio."""
    runners = [one for one in find_runners(server, tmp_path, NEAR) if one.peer.can(Task.OUTSIDE)]
    assert ["lockgate"] == [runner.peer.name for runner in runners]
    rows = (OUTSIDE, LONGER)
    results: Results = {row.name: bench.run_row(row, runners, 2) for row in rows}
    record = make_record({}, rows, [runner.peer for runner in runners], results)
    assert [None, None] == [results[row.name]["lockgate"].failed for row in rows]
    assert ["60 statements: lockgate ÷ 30 statements"] == [t.what for t in find_targets(record)]


def test_round_trips_are_counted_after_the_delay(
    bench: Bench, server: EmbeddedServer, tmp_path: Path
) -> None:
    """The plain script needs a round trip for every migration, Lockgate fewer."""
    peers = tuple(peer for peer in NEAR if peer.name in {"pg8000-each", "lockgate"})
    outcomes = bench.run_row(FAR, find_runners(server, tmp_path, peers), 1)
    turns = {name: outcome.turns or 0 for name, outcome in outcomes.items()}
    assert 2 * FAR.pending > turns["pg8000-each"] > FAR.pending > turns["lockgate"] > 0


def test_program_that_fails_has_no_number(
    bench: Bench, server: EmbeddedServer, tmp_path: Path
) -> None:
    """A peer that fails is reported as failed and is not measured."""
    (runner,) = find_runners(server, tmp_path, NEAR[2:3])
    broken = Peer(
        "broken",
        Kind.FLOOR,
        runner.peer.find,
        lambda folder, _changes, _applied: folder.joinpath("pending.sql").touch(),
        lambda program, _folder, target: runner.peer.start(program, tmp_path / "gone", target),
    )
    missing = Runner(broken, tmp_path / "false", tmp_path / "broken")
    (tmp_path / "false").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "false").chmod(0o755)
    outcomes = bench.run_row(FRESH, [missing], 2)
    record = make_record({}, [FRESH], [broken], {FRESH.name: outcomes})
    assert ("failed", []) == (outcomes["broken"].failed, outcomes["broken"].samples)
    assert find_value(record, FRESH.name, "broken") is None
    assert "| broken | failed |" in describe(record)


def outcomes_of(before: list[float], after: list[float]) -> dict[str, Outcome]:
    """Return the outcomes of two builds that took these times."""
    return {
        BEFORE: Outcome([Sample(ms, 0, 0) for ms in before]),
        OURS: Outcome([Sample(ms, 0, 0) for ms in after]),
    }


def test_change_is_the_mean_of_the_rounds_ratios() -> None:
    """A slow round slows both builds, so that its ratio is like that of the others."""
    before = [100.0 * 2 ** (n % 3) for n in range(15)]
    shown = describe_change("one", outcomes_of(before, [1.05 * ms for ms in before]))
    assert (
        "one: 200 ms before, 210 ms now, ratio 1.050 (1.050 to 1.050) in 15 rounds, at most 1.1"
    ) == shown


def test_interval_of_a_change_is_that_of_student() -> None:
    """Halved and doubled times cancel out, and few rounds widen the interval."""
    after = [100.0, *(50.0, 200.0) * 7]
    shown = describe_change("one", outcomes_of([100.0] * 15, after))
    # The logarithms are one 0 and fourteen times ±ln 2; their deviation is ln 2, and t is 2.145.
    assert (
        "one: 100 ms before, 100 ms now, ratio 1.000 (0.681 to 1.468) in 15 rounds,"
        " not proved to be at most 1.1"
    ) == shown


def test_many_rounds_use_the_last_value_of_the_table() -> None:
    """More rounds than the table has give an interval, too."""
    shown = describe_change("one", outcomes_of([100.0] * 100, [50.0, 200.0] * 50))
    assert "ratio 1.000 (0.867 to 1.153) in 100 rounds" in shown


@pytest.mark.parametrize("rounds", [1, 14])
def test_ratio_of_few_rounds_has_no_interval(rounds: int) -> None:
    """Few rounds say little about how much a ratio varies."""
    shown = describe_change("one", outcomes_of([100.0] * rounds, [100.0] * rounds))
    assert f"one: {rounds} rounds, which are too few for an interval (15)" == shown


def test_earlier_build_takes_part_in_each_round(tmp_path: Path) -> None:
    """An earlier build's program runs as a peer of its own."""
    rows, said = [Row("nothing-1000", "nothing pending", 3, 0, 2)], tmp_path / "record.json"
    program = Path(sys.executable).with_name("lockgate")
    record = run(rows, ["lockgate"], None, tmp_path, said, None, program)
    assert all(find_value(record, "nothing-1000", name, "ms") for name in (OURS, BEFORE))
