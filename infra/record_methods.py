#!/usr/bin/env python3
"""Keep what dataclasses would compile anew at every start; see `lockgate.start`, which reads it.

Run by `build.py` with the function's Python, on the folder that is laid out. Imports every module of
Lockgate there; what Lambda's runtime brings may be missing.
"""

from __future__ import annotations

import dataclasses
import importlib
import marshal
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType

PACKAGE = "lockgate"
OF_THE_RUNTIME = {"boto3", "botocore"}


def main(folder: Path) -> None:
    """Write the file beside the modules of ``folder``."""
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    methods: dict[str, CodeType] = {}

    def record(text: str, names: dict[str, Any], found: dict[str, Any]) -> None:
        code = compile(text, "<string>", "exec")
        if names["__name__"].partition(".")[0] == PACKAGE:
            methods[text] = code
        exec(code, names, found)  # noqa: S102 - as dataclasses does

    # Not before dataclasses itself has been imported with what it needs.
    dataclasses.exec = record  # type: ignore[attr-defined]
    for module in pkgutil.walk_packages([str(folder / PACKAGE)], f"{PACKAGE}."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in OF_THE_RUNTIME:
                raise
    target = folder / PACKAGE / f"methods.{sys.implementation.cache_tag}"
    target.write_bytes(marshal.dumps(dict(sorted(methods.items()))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
