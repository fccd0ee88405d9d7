"""Run one target under a coverage-guided fuzzer (atheris, libFuzzer): ``fuzz_target.py NAME OPTION…``.

`make fuzz` runs each target for `FUZZ_SECONDS`. A finding ends it and prints the path of the input.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "handler")]

with atheris.instrument_imports(include=["lockgate"]):
    from tests.fuzz.targets import FOREIGN_NAMES, TARGETS

    from lockgate.formats.registry import find_tool

    for tool in FOREIGN_NAMES:
        find_tool(tool)

# Initial inputs by target.
SEEDS = {
    "events": sorted((ROOT / "tests/events").glob("*.json")),
    "sql": sorted((ROOT / "migrations").glob("*.sql")),
    "files": sorted((ROOT / "migrations").glob("*")),
    "formats": sorted((ROOT / "migrations").glob("*")),
}


def main(name: str, options: list[str]) -> None:
    """Fuzz until the time is up or an error is found."""
    corpus = ROOT / ".cache/fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS[name]:
        (corpus / seed.name).write_bytes(seed.read_bytes())
    found = f"-artifact_prefix={corpus.parent}/found-{name}-"
    atheris.Setup([sys.argv[0], found, *options, str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
