"""Measures the start of the real function: the time and cost of a deploy with nothing to do.

Run it from the repository's root: ``make bench-cold``. Lambda's runtime client runs the built
package with the runtime's Python, with a cold start each time, against a PostgreSQL with TLS and
SCRAM and an AWS endpoint with TLS. Two other functions take turns with it:

* ``empty`` does nothing: the cost of Python and the runtime client alone;
* ``minimal`` (`minimal_handler`) is a handwritten function that does the same as Lockgate.

Times are taken from outside, at the runtime API, the AWS endpoint and the server's log::

    start ──> asks for an event ──> for the secret ──> has it ──> connects ──> is in ──> answers
         init             prepare           secret       open       sign in      look
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.build import Recipe
from tests.support.artifact import copy_folder, find_python, make_artifact, make_package
from tests.support.cache import ROOT
from tests.support.database import Database
from tests.support.runtime_api import Runtime
from tests.support.waiting import wait_until

from benchmarks.aws_endpoint import SECRET_ARN, AwsEndpoint
from benchmarks.processor import Processor, limit_processor, read_cpu_ms
from infra import build
from lockgate.local.certificates import make_certificates, write_certificates
from lockgate.local.server import EmbeddedServer
from lockgate.postgres.server.tls import RDS_ROOTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tests.support.artifact import Artifact
    from tests.support.runtime_api import Invocation

PHASES = ("init", "prepare", "secret", "open", "sign in", "look")
LOG_SETTINGS = {"log_line_prefix": "%n ", "log_connections": "on"}
EMPTY = "def lambda_handler(event, context):\n    return {}\n"
# The parts of the package that the handwritten handler needs.
DRIVER = ("pg8000", "scramp", "asn1crypto", "dateutil", "six", "python_dateutil")
# The memory for one whole processor, by Lambda's documentation; with less a function gets a share.
MB_PER_PROCESSOR = 1_769
MEMORY_SIZES = (128, 256, 512, 1_024, 1_769)
# The price of Lambda on arm64 in eu-west-1; the start is billed like the rest.
DOLLARS_PER_GB_SECOND = 0.0000133334
MANY = 1_000


@dataclass(frozen=True, slots=True)
class Contender:
    """A function: its folder, its handler and its settings."""

    name: str
    folder: Path
    handler: str
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One cold start until the answer, in ms; ``phases`` only if the function read the secret."""

    total: float
    cpu: float
    init: float
    peak_mb: float
    phases: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The services that a function uses, and a folder for the functions built here."""

    artifact: Artifact
    server: EmbeddedServer
    endpoint: AwsEndpoint
    database: Database
    scratch: Path

    def start(self, contender: Contender, processor: Processor | None = None) -> Sample:
        """Start a function, invoke it once, and stop it.

        ``processor`` is what it has once it is initialised: for that Lambda gives a whole one.
        """
        log_starts_at = self.server.log.stat().st_size
        began_at = time.time()
        with Runtime(
            contender.folder,
            contender.handler,
            contender.environment,
            python=self.artifact.python,
            memory_mb=MB_PER_PROCESSOR,
        ) as runtime:
            runtime.start()
            assert runtime.pid is not None
            if processor is not None:
                processor.confine(runtime.pid)
            asked_at = time.time()
            invocation = runtime.invoke({}, 900)
            ended_at = time.time()
            cpu = read_cpu_ms(runtime.pid) if invocation.error is None else 0.0
        _refuse_failure(contender, invocation)
        moments: tuple[float, ...] = (began_at, asked_at)
        if contender.name != "empty":
            asked = self.endpoint.last
            session = self._read_session(log_starts_at)
            moments = (*moments, asked.began_at, asked.ended_at, *session)
        phases = [(after - before) * 1_000 for before, after in pairwise((*moments, ended_at))]
        return Sample(
            total=sum(phases), cpu=cpu, init=phases[0], peak_mb=invocation.peak_mb,
            phases=tuple(phases),
        )  # fmt: skip

    def _read_session(self, log_starts_at: int) -> tuple[float, ...]:
        """Return the times when a client connected and had signed in, from the server's log."""

        def find(what: str) -> list[float]:
            with self.server.log.open() as log:
                log.seek(log_starts_at)
                return [float(line.split()[0]) for line in log if f"LOG:  {what}" in line]

        wait_until(lambda: find("connection authorized"), "a session")
        return find("connection received")[-1], find("connection authorized")[-1]


def _refuse_failure(contender: Contender, invocation: Invocation) -> None:
    if invocation.error is not None:
        raise SystemExit(f"{contender.name} failed: {invocation.error}\n{invocation.logs}")
    status = invocation.result.get("status")
    if contender.name != "empty" and status not in {"up_to_date", "applied"}:
        raise SystemExit(f"{contender.name} found something else: {invocation.result}")


def open_place(stack: ExitStack, artifact: Artifact) -> Place:
    """Start the services that a function uses."""
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lockgate-bench-")))
    server = stack.enter_context(EmbeddedServer(settings=LOG_SETTINGS))
    database = Database(server, "postgres")
    files = {name: scratch / f"{name}.pem" for name in ("ca_file", "certificate_file", "key_file")}
    write_certificates(make_certificates(now=datetime.now(UTC)), **files)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files["certificate_file"], files["key_file"])
    secret = {
        "engine": "postgres",
        "host": server.host,
        "port": server.port,
        "dbname": database.name,
        "username": server.user,
        "password": server.password,
    }
    endpoint = stack.enter_context(AwsEndpoint(tls, secret))
    # Whole bundles plus one authority, because reading them is part of a start.
    (aws_bundle,) = artifact.python.parents[1].glob("lib/*/site-packages/botocore/cacert.pem")
    _join(scratch / "aws.pem", aws_bundle, files["ca_file"])
    assert server.ca_file is not None
    _join(scratch / "database.pem", *sorted(RDS_ROOTS.iterdir()), server.ca_file)
    return Place(artifact, server, endpoint, database, scratch)


def _join(target: Path, *sources: Path) -> None:
    target.write_text("\n".join(source.read_text() for source in sources))


# The functions that are compared.


def make_contenders(place: Place) -> list[Contender]:
    """Return the three functions to compare, with the package's own migrations."""
    environment = _aws_environment(place)
    empty, minimal = place.scratch / "empty", place.scratch / "minimal"
    empty.mkdir()
    (empty / "handler.py").write_text(EMPTY)
    _lay_out_minimal(place, minimal)
    by_hand = {"SECRET_ARN": SECRET_ARN, "CA_FILE": str(place.scratch / "database.pem")}
    return [
        Contender("empty", empty, "handler.lambda_handler", {}),
        Contender("minimal", minimal, "handler.lambda_handler", {**environment, **by_hand}),
        make_lockgate(place, place.artifact.folder),
    ]


def make_lockgate(place: Place, folder: Path) -> Contender:
    """Return Lockgate's function, with the package in a folder."""
    environment = {
        **_aws_environment(place),
        "LOCKGATE_SECRET_ARN": SECRET_ARN,
        "LOCKGATE_CA_FILE": str(place.server.ca_file),
    }
    return Contender("lockgate", folder, "lockgate.entry.lambda_handler", environment)


def _aws_environment(place: Place) -> dict[str, str]:
    bundle = str(place.scratch / "aws.pem")
    return {"AWS_ENDPOINT_URL": place.endpoint.url, "AWS_CA_BUNDLE": bundle}


def _lay_out_minimal(place: Place, folder: Path) -> None:
    """Lay out the handwritten handler like the package: with byte code and the migrations."""
    folder.mkdir()
    for path in place.artifact.folder.iterdir():
        if path.name.partition("-")[0].removesuffix(".py") in {*DRIVER, "migrations"}:
            _copy(path, folder / path.name)
    handler = Path(__file__).with_name("minimal_handler.py")
    shutil.copyfile(handler, folder / "handler.py")
    compiling = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "handler.py"]
    subprocess.run([place.artifact.python, *compiling], cwd=folder, check=True)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        copy_folder(source, target)
    else:
        shutil.copyfile(source, target)


def lay_out_many(place: Place) -> Path:
    """Return a folder with the package and a thousand migrations."""
    folder = place.scratch / "many"
    copy_folder(place.artifact.folder, folder, leave_out=("migrations",))
    (folder / "migrations").mkdir()
    for number in range(1, MANY + 1):
        sql = f"CREATE TABLE t{number} (id bigint PRIMARY KEY, name text NOT NULL);\n"
        (folder / "migrations" / f"{number:05}_create_t{number}.sql").write_text(sql)
    return folder


# The measurements.


def compare(place: Place, rounds: int) -> dict[str, list[Sample]]:
    """Start each contender in turn, once per round, with nothing pending."""
    contenders = make_contenders(place)
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    place.start(contenders[-1])  # applies what there is, and warms the machine's caches
    for _ in range(rounds):
        for contender in contenders:
            samples[contender.name].append(place.start(contender))
    return samples


@dataclass(frozen=True, slots=True)
class Situation:
    """The situation of a run: the package's folder, and whether the database is empty."""

    name: str
    folder: Path
    is_fresh: bool


def try_memory_sizes(place: Place, rounds: int) -> list[tuple[int, list[Sample]]]:
    """Measure each situation with the share of a processor of each memory size."""
    many = lay_out_many(place)
    situations = [
        Situation("nothing", place.artifact.folder, is_fresh=False),
        Situation("package", place.artifact.folder, is_fresh=True),
        Situation("many", many, is_fresh=True),
    ]
    found = []
    for size in MEMORY_SIZES:
        with limit_processor(size / MB_PER_PROCESSOR) as processor:
            if processor is None:
                raise SystemExit("This machine does not permit control groups; try as root.")
            samples = [_measure(place, one, processor, rounds) for one in situations]
        found.append((size, samples))
    return found


def _measure(place: Place, situation: Situation, processor: Processor, rounds: int) -> Sample:
    contender = make_lockgate(place, situation.folder)
    samples = []
    for number in range(rounds):
        if situation.is_fresh or number == 0:
            _empty(place.database)
        if not situation.is_fresh and number == 0:
            place.start(contender)
        samples.append(place.start(contender, processor))
    return take_median(samples)


def _empty(database: Database) -> None:
    schemas = database.run(
        "SELECT quote_ident(nspname) FROM pg_namespace"
        " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
    )
    for (schema,) in schemas:
        database.run(f"DROP SCHEMA {schema} CASCADE")
    database.run("CREATE SCHEMA public")


def take_median(samples: Sequence[Sample]) -> Sample:
    """Return the median of each number, and the maximum of the memory."""
    return Sample(
        total=statistics.median(sample.total for sample in samples),
        cpu=statistics.median(sample.cpu for sample in samples),
        init=statistics.median(sample.init for sample in samples),
        peak_mb=max(sample.peak_mb for sample in samples),
        phases=tuple(map(statistics.median, zip(*(s.phases for s in samples), strict=True))),
    )


# The printed tables.


def show_comparison(samples: Mapping[str, Sequence[Sample]]) -> str:
    """Return the table of the three, with Lockgate's ratio to the handwritten one."""
    medians = {name: take_median(found) for name, found in samples.items()}
    minimal, ours = medians["minimal"], medians["lockgate"]
    rows = [
        [name, *(_ms(phase) for phase in _pad(one.phases)), _ms(one.total), _ms(one.cpu),
         f"{one.peak_mb:.0f}"]
        for name, one in medians.items()
    ]  # fmt: skip
    phases = [f"{b / a:.2f}" for a, b in zip(minimal.phases, ours.phases, strict=True)]
    whole = [f"{b / a:.2f}" for a, b in ((minimal.total, ours.total), (minimal.cpu, ours.cpu))]
    rows.append(["ratio", *phases, *whole, f"{ours.peak_mb / minimal.peak_mb:.2f}"])
    return _show_table(["ms", *PHASES, "whole", "processor", "MB"], rows)


def show_memory_sizes(found: Sequence[tuple[int, Sequence[Sample]]]) -> str:
    """Return the table of time and cost for each memory size."""
    rows = []
    for size, samples in found:
        seconds = [sample.total / 1_000 for sample in samples]
        dollars = [second * size / 1_024 * DOLLARS_PER_GB_SECOND * 1_000 for second in seconds]
        pairs = zip(seconds, dollars, strict=True)
        rows.append([str(size), *(f"{second:.2f} s, ${dollar:.4f}" for second, dollar in pairs)])
    columns = ["MB", "nothing pending", "the 11 of the package", f"{MANY:,} pending"]
    peaks = ", ".join(f"{sample.peak_mb:.0f}" for sample in found[-1][1])
    return f"{_show_table(columns, rows)}\nPeak memory in MB: {peaks}."


def show_packages() -> str:
    """Return the sizes of the package for both architectures."""
    rows = []
    for machine in sorted(build.MACHINES):
        made = make_package(Recipe(machine, ROOT / "migrations", find_python()))
        zipped = (made / "lockgate.zip").stat().st_size
        files = [path for path in (made / "task").rglob("*") if path.is_file()]
        unzipped = sum(path.stat().st_size for path in files)
        rows.append([machine, f"{zipped / 1024**2:.2f}", f"{unzipped / 1024**2:.1f}"])
    return _show_table(["package", "zipped MB", "unzipped MB"], rows)


def _pad(phases: tuple[float, ...]) -> tuple[float | None, ...]:
    if len(phases) == len(PHASES):
        return phases
    init, answer = phases
    return (init, *(None,) * (len(PHASES) - 2), answer)


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def describe_machine(place: Place) -> str:
    """Return a description of the machine."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    python = place.artifact.python.resolve().name
    return f"{model}, {os.cpu_count()} processors; PostgreSQL {place.server.version}; {python}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurements that the command line selects, and print them as Markdown."""
    parser = argparse.ArgumentParser(description="Measure the function's cold start.")
    parser.add_argument("--rounds", type=int, default=15, help="cold starts of each; default: 15")
    parser.add_argument("--memory", action="store_true", help="also measure each memory size")
    options = parser.parse_args(arguments)
    artifact = make_artifact()
    with ExitStack() as stack:
        place = open_place(stack, artifact)
        show: list[Callable[[], Any]] = [
            lambda: describe_machine(place),
            lambda: show_comparison(compare(place, options.rounds)),
            show_packages,
        ]
        if options.memory:
            show.append(
                lambda: show_memory_sizes(try_memory_sizes(place, options.rounds // 3 or 1))
            )
        for part in show:
            sys.stdout.write(f"{part()}\n\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
