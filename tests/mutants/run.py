"""Changes one place of a module at a time and runs the tests: what survives is not tested.

    python -m tests.mutants.run formats --count 40 --seed 1

The same seed gives the same mutants as long as the files are the same. A mutant is written into a copy
of `handler`; the working tree is never touched. The tests that carry a module's name run first, then the
cases of its tool, then all of its area; the first failure, or more time than they ever take, kills the
mutant.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutants.mutate import find_changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.mutants.mutate import Change

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "handler/lockgate"
TOOLS = "tests/formats/test_tools.py"
LONGEST_SECONDS = 600
LEAST_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Area:
    """Modules that are changed, and the tests that must notice; the quick ones are listed first.

    ``contracts`` are tests of what several modules have in common, so they are not named like one.
    """

    package: str
    tests: tuple[str, ...]
    contracts: tuple[str, ...] = ()


AREAS = {
    "core": Area("core", ("tests/core", "tests/fuzz/test_fuzz.py", "tests/formats")),
    "formats": Area("formats", ("tests/formats", "tests/fuzz/test_fuzz.py")),
    "callers": Area(
        "awslambda/callers",
        ("tests/callers", "tests/fuzz/test_fuzz.py", "tests/flows"),
        ("tests/callers/test_awaiting.py", "tests/flows/test_awaiting.py"),
    ),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of a file."""

    path: Path
    change: Change

    @property
    def place(self) -> str:
        """The file below the package, and the line."""
        line = 1 + self.path.read_text()[: self.change.start].count("\n")
        return f"{self.path.relative_to(PACKAGE)}:{line}"

    def diff(self) -> str:
        """Return the change as a diff."""
        return self.change.diff(self.path.read_text(), str(self.path.relative_to(ROOT)))


def list_mutants(area: Area) -> list[Mutant]:
    """Return every mutant of an area, in a stable order."""
    paths = sorted((PACKAGE / area.package).rglob("*.py"))
    return [Mutant(path, change) for path in paths for change in find_changes(path.read_text())]


def choose_tests(area: Area, path: Path) -> list[list[str]]:
    """Return the tests to run for a module, in this order.

    First those in files named like it, then the cases of its tool, if it has one, then the contracts,
    then all of the area.
    """
    place = path.relative_to(PACKAGE / area.package)
    words = find_words(place.with_suffix("")) - {"shared"}
    files = [one for root in area.tests for one in sorted(ROOT.joinpath(root).rglob("test_*.py"))]
    tests = [one.relative_to(ROOT) for one in files]
    named = [str(one) for one in tests if words & find_words(one.with_suffix(""))]
    has_cases = (ROOT / "tests" / area.package / place.parts[0] / "cases.py").exists()
    cases = [TOOLS, "-k", f"[{place.parts[0]}:"] if has_cases else []
    return [*filter(None, (named, cases, list(area.contracts))), list(area.tests)]


def find_words(path: Path) -> set[str]:
    """Return the words that a path is made of."""
    return {word for part in path.parts for word in part.split("_")} - {"", "init", "test", "tests"}


def is_killed(mutant: Mutant, area: Area, handler: Path, *, is_quick: bool) -> bool:
    """Write a mutant into a copy of the code, run the tests, and take it back."""
    copy = handler / mutant.path.relative_to(ROOT / "handler")
    source = mutant.path.read_text()
    copy.write_text(mutant.change.apply(source))
    try:
        choices = choose_tests(area, mutant.path)
        quick = choices[:-1] or choices
        return any(fails(tests, handler) for tests in (quick if is_quick else choices))
    finally:
        copy.write_text(source)


def fails(tests: list[str], handler: Path) -> bool:
    """Return whether a test fails, or they never end."""
    environment = {**os.environ, "PYTHONPATH": str(handler), "PYTHONDONTWRITEBYTECODE": "1"}
    options = ["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    command = [sys.executable, "-m", "pytest", *options, "-n", choose_workers(tests), *tests]
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=ROOT,
            capture_output=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def choose_workers(tests: list[str]) -> str:
    """Return how many workers run the tests: a few files are done before workers have started."""
    return "2" if any((ROOT / one).is_dir() for one in tests) else "0"


@contextmanager
def copied_handler() -> Iterator[Path]:
    """Give a copy of the code, with its byte code, which stays valid for all but the changed file."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(ROOT / "handler", Path(folder) / "handler"))


def sample(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Return some of the mutants, the same ones for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - the sample is no secret
    return chance.sample(list(mutants), min(count, len(mutants)))


def run_area(name: str, count: int, seed: int, *, is_quick: bool) -> bool:
    """Try mutants of an area, and print those that survive; return whether nine of ten were killed."""
    area = AREAS[name]
    mutants = list_mutants(area)
    chosen = sample(mutants, count, seed)
    killed = 0
    with copied_handler() as handler:
        if not is_quick and fails(list(area.tests), handler):
            sys.exit(f"{name}: the tests fail without a mutant: {' '.join(area.tests)}")
        for number, mutant in enumerate(chosen, 1):
            is_dead = is_killed(mutant, area, handler, is_quick=is_quick)
            killed += is_dead
            say(f"{number:4} {'killed  ' if is_dead else 'SURVIVED'} {mutant.place}")
            if not is_dead:
                say(mutant.diff())
    say(f"{name}: {killed} of {len(chosen)} killed (seed {seed}, {len(mutants)} mutants in all)")
    return killed >= LEAST_SHARE * len(chosen)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Read the command line, and exit with 1 if an area kills fewer than nine of ten."""
    parser = argparse.ArgumentParser(description="Run the tests against changed modules.")
    parser.add_argument("areas", nargs="*", choices=[[], *AREAS], default=list(AREAS))
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--quick", action="store_true", help="run only the tests named like a module, and contracts"
    )
    given = parser.parse_args()
    results = [
        run_area(name, given.count, given.seed, is_quick=given.quick) for name in given.areas
    ]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
