"""The first module of a start. Makes the imports behind it cheap; knows nothing of what they are.

* A dataclass's methods are written as text and compiled at every import, 0.6 ms a class: byte code
  files do not hold them. The build keeps them compiled (`infra/record_methods.py`); without its file,
  or with that of another Python, they are compiled as ever.
* Nothing that an import makes is garbage, and looking for it takes a tenth of the time.
"""

from __future__ import annotations

import dataclasses
import gc
import marshal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType

METHODS = Path(__file__).with_name(f"methods.{sys.implementation.cache_tag}")


def begin() -> None:
    """Prepare for imports; `finish` ends it."""
    gc.disable()
    with suppress(FileNotFoundError):
        hand_out(marshal.loads(METHODS.read_bytes()))  # noqa: S302 - a file of this package


def hand_out(methods: dict[str, CodeType]) -> None:
    """Let dataclasses find the code of a text that was compiled before."""

    def execute(text: str, names: dict[str, Any], found: dict[str, Any]) -> None:
        exec(methods.get(text, text), names, found)  # noqa: S102 - as dataclasses does

    dataclasses.exec = execute  # type: ignore[attr-defined]


def finish() -> None:
    """Collect garbage from now on, and do not look through what was imported."""
    gc.freeze()
    gc.enable()


begin()
