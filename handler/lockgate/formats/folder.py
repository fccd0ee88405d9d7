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

    A suffix counts in capitals too: V2.SQL is no migration's name, and must not be passed over. Nor must
    a folder be that cannot be read.

    Raises:
        MigrationFileInvalid: a folder is missing or cannot be read, or a name is not UTF-8.
    """
    require_folder(folder)
    yield from _walk(str(folder), "", suffixes)


def _walk(folder: str, base: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Yield the files of a folder, whose path ends with ``base``, and then those of its folders."""
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith((".", "__")):
                    (folders if _is_folder(entry) else files).append(entry.name)
    except OSError as error:
        raise MigrationFileInvalid(
            f"The folder {error.filename or folder} cannot be read: {error.strerror}."
            " Nothing was changed.",
            hint="Check its permissions and how it was packaged.",
        ) from None
    for name in sorted(files):
        if name.endswith(suffixes) or name.lower().endswith(suffixes):
            path = base + name
            if not path.isascii():
                refuse_undecodable(path)
            yield path
    for name in sorted(folders):
        yield from _walk(f"{folder}/{name}", f"{base}{name}/", suffixes)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except PermissionError:
        raise
    except OSError:
        # A link that leads nowhere, or in a circle.
        return False


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
        descriptor = os.open(f"{folder}/{shown}", _FLAGS)
        try:
            content = os.read(descriptor, _CHUNK)
            return content if len(content) < _CHUNK else content + _read_rest(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise MigrationFileInvalid(
            f"{shown} cannot be read: {error.strerror}. Nothing was changed.",
            hint="Check the file's permissions and how it was packaged.",
            file=shown,
        ) from None


def _read_rest(descriptor: int) -> bytes:
    pieces = [os.read(descriptor, _CHUNK)]
    while pieces[-1]:
        pieces.append(os.read(descriptor, _CHUNK))
    return b"".join(pieces)


def line_of(text: str, offset: int) -> int:
    """Return the line, from 1, at which an offset stands; any line ending counts as one."""
    before = text[:offset]
    return before.count("\n") + before.count("\r") - before.count("\r\n") + 1
