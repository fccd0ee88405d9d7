"""Methods of dataclasses, kept from one run to the next. Knows one file; knows nothing of what is in it.

`lockgate.start` tells why, and reads what a build has kept. An installed package has not been built for
this Python, so the first runs keep what they compiled: beside Python's own byte code, and where that is
not to be written, nowhere.
"""

from __future__ import annotations

import dataclasses
import marshal
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

# Byte code may change with every release of Python.
FILE = Path(__file__).parents[1] / "__pycache__" / f"methods.{sys.hexversion:x}"
_OURS = f"{__package__.partition('.')[0]}."


class KeptMethods:
    """What was kept, and what this run has compiled besides."""

    def __init__(self, file: Path = FILE) -> None:
        """Read the file; one that is not there or is broken has kept nothing."""
        self._file = file
        self._kept: dict[str, bytes] = {}
        self._new: dict[str, bytes] = {}
        with suppress(OSError, EOFError, ValueError, TypeError):
            self._kept = dict(marshal.loads(file.read_bytes()))  # noqa: S302 - as trusted as byte code

    def hand_out(self) -> None:
        """Let dataclasses take what is kept, and compile only what is not."""
        dataclasses.exec = self._execute  # type: ignore[attr-defined]

    def _execute(self, text: str, names: dict[str, Any], found: dict[str, Any]) -> None:
        kept = self._kept.get(text)
        if kept is not None:
            code = marshal.loads(kept)  # noqa: S302 - as above
        else:
            code = compile(text, "<string>", "exec")
            if str(names.get("__name__")).startswith(_OURS):
                self._new[text] = marshal.dumps(code)
        exec(code, names, found)  # noqa: S102 - as dataclasses does

    def keep(self) -> None:
        """Write down what was compiled anew; whoever reads meanwhile sees the one file or the other."""
        if not self._new or sys.dont_write_bytecode:
            return
        scratch = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with suppress(OSError):
            scratch.write_bytes(marshal.dumps({**self._kept, **self._new}))
            scratch.replace(self._file)
