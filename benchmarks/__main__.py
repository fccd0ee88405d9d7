"""`python -m benchmarks`: measure, print the tables, write the JSON."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench import SERVER_SETTINGS, Bench, Results, Runner
from benchmarks.change import BEFORE, describe_change
from benchmarks.machine import describe_machine
from benchmarks.measure import make_environment
from benchmarks.page import publish
from benchmarks.peer import Peer, Tools
from benchmarks.peers import PEERS
from benchmarks.peers.ours import OURS
from benchmarks.record import add_to, make_record, read_record, write_record
from benchmarks.row import ROWS, Row
from benchmarks.table import describe
from lockgate.local.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.record import Record

INSTALLED = Path(".cache/benchmarks")
RESULTS = Path("build/benchmarks.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurements that the options select."""
    options = make_parser().parse_args(arguments)
    if options.publish:
        publish(read_record(options.output), Path("docs"))
        return 0
    rows = [row for row in ROWS if row.name in options.rows]
    with tempfile.TemporaryDirectory(prefix="lockgate-bench-") as home:
        former = read_record(options.output) if options.add else None
        record = run(
            rows, options.peers, options.rounds, Path(home), options.output, former, options.before
        )
    sys.stdout.write(describe(record))
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [row.name for row in ROWS]
    peers = [peer.name for peer in PEERS]
    parser.add_argument(
        "--rows", type=_some_of(names), default=names, metavar="A,B", help=", ".join(names)
    )
    parser.add_argument(
        "--peers", type=_some_of(peers), default=peers, metavar="A,B", help=", ".join(peers)
    )
    parser.add_argument(
        "--before",
        type=Path,
        metavar="LOCKGATE",
        help="the program of an earlier build: print the ratio of its times and this build's",
    )
    parser.add_argument("--rounds", type=int, help="how often, instead of each row's own number")
    parser.add_argument("--output", type=Path, default=RESULTS, help=f"JSON (default: {RESULTS})")
    parser.add_argument(
        "--add", action="store_true", help="keep the other rows that --output has: measure in parts"
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write docs/performance from --output; measure nothing",
    )
    return parser


def _some_of(known: list[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return names

    return read


def run(
    rows: Sequence[Row],
    peers: Sequence[str],
    rounds: int | None,
    home: Path,
    output: Path,
    former: Record | None,
    before: Path | None = None,
) -> Record:
    """Measure rows with peers on a server of their own, and keep the record in a file.

    ``former`` is what the file has already and is to keep. ``before`` is the program `lockgate` of an
    earlier build; it takes part in each round.
    """
    record: Record = {}
    results: Results = {}
    with EmbeddedServer(tls=False, durable=True, settings=SERVER_SETTINGS) as server:
        tools = Tools(INSTALLED.resolve(), server.psql)
        runners = find_runners(tools, peers, home)
        if before is not None:
            earlier = replace(OURS[0], name=BEFORE)
            runners.append(Runner(earlier, before.absolute(), home / BEFORE))
        machine = describe_machine(server, home)
        modules = tools.folder / "node_modules"
        if modules.exists():
            # Knex looks for its own package here.
            (home / "node_modules").symlink_to(modules)
        bench = Bench(server, make_environment(server.psql), home, _say)
        # The server and its databases are removed when the process ends.
        for row in rows:
            able = [runner for runner in runners if is_able(runner.peer, row)]
            results[row.name] = bench.run_row(row, able, rounds or row.rounds)
            if before is not None:
                _say(describe_change(row.name, results[row.name]))
            record = make_record(machine, rows, [runner.peer for runner in runners], results)
            record = record if former is None else add_to(former, record)
            write_record(record, output)
    return record


def is_able(peer: Peer, row: Row) -> bool:
    """Return whether a peer takes part in a row."""
    return max(row.applied, row.pending) <= peer.most and peer.can(row.task)


def find_runners(tools: Tools, names: Sequence[str], home: Path) -> list[Runner]:
    """Return the installed peers; print which are missing."""
    runners: list[Runner] = []
    for peer in PEERS:
        if peer.name not in names:
            continue
        program = peer.find(tools)
        if program is None:
            _say(f"{peer.name} is not installed and is left out")
        else:
            runners.append(Runner(peer, program.absolute(), home / peer.name))
    return runners


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
