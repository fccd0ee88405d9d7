"""The first module of a start. Makes the imports behind it cheap; knows nothing of what they are.

* A dataclass's methods are written as text and compiled at every import, 0.6 ms a class: byte code
  files do not hold them. The build keeps them compiled; without its file, or with that of another
  Python, they are compiled as ever.
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
    from collections.abc import Callable
    from types import CodeType

    Execute = Callable[[str, dict[str, Any], dict[str, Any]], None]

METHODS = Path(__file__).with_name(f"methods.{sys.implementation.cache_tag}")
# Lambda's runtime brings them; the build need not have them.
_OF_THE_RUNTIME = frozenset({"botocore"})


def begin() -> None:
    """Prepare for imports; `finish` ends it."""
    gc.disable()
    with suppress(FileNotFoundError):
        hand_out(marshal.loads(METHODS.read_bytes()))  # noqa: S302 - a file of this package


def finish() -> None:
    """Collect garbage from now on, and do not look through what was imported."""
    gc.freeze()
    gc.enable()


def hand_out(methods: dict[str, CodeType]) -> None:
    """Let dataclasses find the code of a text that was compiled before."""

    def execute(text: str, names: dict[str, Any], found: dict[str, Any]) -> None:
        exec(methods.get(text, text), names, found)  # noqa: S102 - as dataclasses does

    _put_in_place(execute)


def record() -> None:
    """Import every module of this package, and keep what dataclasses compile for it. The build's.

    Raises:
        ModuleNotFoundError: a library is missing that is part of what is deployed.
    """
    from importlib import import_module  # noqa: PLC0415 - the build's alone
    from pkgutil import walk_packages  # noqa: PLC0415 - as above

    methods: dict[str, CodeType] = {}
    package = f"{__package__}."

    def keep(text: str, names: dict[str, Any], found: dict[str, Any]) -> None:
        code = compile(text, "<string>", "exec")
        if names["__name__"].startswith(package):
            methods[text] = code
        exec(code, names, found)  # noqa: S102 - as dataclasses does

    _put_in_place(keep)
    for module in walk_packages([str(METHODS.parent)], package):
        try:
            import_module(module.name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _OF_THE_RUNTIME:
                raise
    METHODS.write_bytes(marshal.dumps(dict(sorted(methods.items()))))


def _put_in_place(execute: Execute) -> None:
    """Let dataclasses call ``execute`` where it calls the builtin ``exec``."""
    dataclasses.exec = execute  # type: ignore[attr-defined]


begin()
