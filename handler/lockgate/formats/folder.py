"""A folder of files: what every format reads. Knows names and encodings; knows no tool."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lockgate.errors import MigrationFileInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = 1 << 16
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def require_folder(folder: Path) -> None:
    """Refuse a folder that is not there.

    Raises:
        MigrationFileInvalid: it is not.
    """
    if not folder.is_dir():
        raise MigrationFileInvalid(
            f"The migrations folder {folder} does not exist. Nothing was changed.",
            hint="Set LOCKGATE_MIGRATIONS (or --dir) to the folder, and check that it is packaged.",
        )


def no_migrations(folder: Path | str) -> MigrationFileInvalid:
    """Return the error of a folder without a single migration."""
    return MigrationFileInvalid(
        f"The migrations folder {folder} holds no migration. Nothing was changed.",
        hint="Check that it is the folder of migrations itself; or write the first one with: lockgate"
        " new NAME",
    )


def list_files(folder: Path, suffixes: tuple[str, ...] = (".sql", ".py")) -> Iterator[str]:
    """Yield the relative paths of a folder's files, sorted, hidden ones and caches left out.

    A suffix counts in capitals too: V2.SQL is no migration's name, and must not be passed over.

    Raises:
        MigrationFileInvalid: the folder is missing, or a name is not UTF-8.
    """
    require_folder(folder)
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
        base = os.path.relpath(parent, folder)
        for name in sorted(files):
            if name.lower().endswith(suffixes) and not name.startswith((".", "__")):
                path = name if base == "." else f"{base}/{name}".replace(os.sep, "/")
                if not path.isascii():
                    refuse_undecodable(path)
                yield path


def refuse_undecodable(path: str) -> None:
    """Refuse a name in no encoding that is known: it could be neither shown nor recorded."""
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise MigrationFileInvalid(
            f"{shown}: the name is not UTF-8. Nothing was changed.",
            hint="Rename the file or its folder.",
            file=shown,
        ) from None


def read_text(folder: Path | str, shown: str) -> str:
    """Return a file's text; ``shown`` is its path relative to the folder.

    Raises:
        MigrationFileInvalid: it cannot be read, or is not UTF-8.
    """
    return decode_text(read_content(folder, shown), shown)


def decode_text(content: bytes, shown: str) -> str:
    """Return the text of a file's bytes.

    Raises:
        MigrationFileInvalid: it is not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = line_of(error.object[: error.start].decode("utf-8"), error.start)
        raise MigrationFileInvalid(
            f"{shown}:{line}: the file is not UTF-8. Nothing was changed.",
            hint="Save it as UTF-8.",
            file=shown,
            line=line,
        ) from None


def read_content(folder: Path | str, shown: str) -> bytes:
    """Return a file's bytes; ``shown`` is its path relative to the folder.

    Of a folder with thousands of files, give the path as a string: it is not made one so often then.

    Raises:
        MigrationFileInvalid: it cannot be read.
    """
    try:
        return _read_bytes(f"{folder}/{shown}")
    except OSError as error:
        raise MigrationFileInvalid(
            f"{shown} cannot be read: {error.strerror}. Nothing was changed.",
            hint="Check the file's permissions and how it was packaged.",
            file=shown,
        ) from None


def _read_bytes(path: str) -> bytes:
    """Read a file in a sixth of the time of `Path.read_bytes`; folders have thousands of them."""
    descriptor = os.open(path, _FLAGS)
    try:
        content = os.read(descriptor, _CHUNK)
        if len(content) < _CHUNK:
            return content
        pieces = [content]
        while len(pieces[-1]) == _CHUNK:
            pieces.append(os.read(descriptor, _CHUNK))
    finally:
        os.close(descriptor)
    return b"".join(pieces)


def line_of(text: str, offset: int) -> int:
    """Return the line, from 1, at which an offset stands; any line ending counts as one."""
    before = text[:offset]
    return before.count("\n") + before.count("\r") - before.count("\r\n") + 1
