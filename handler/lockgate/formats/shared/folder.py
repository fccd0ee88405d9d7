"""Lists and reads the files of a folder, for every format."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.errors import MigrationFileInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 16
# Without O_NONBLOCK, opening a FIFO would wait for a writer.
_FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_BINARY", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY")
)
_MAX_BYTES = 2 << 30
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def require_folder(folder: Path) -> None:
    """Check that the folder exists.

    Raises:
        MigrationFileInvalid: it does not exist, is not a folder, or cannot be read.
    """
    try:
        missing = "is not a folder" if folder.exists() else "does not exist"
        problem = None if folder.is_dir() else missing
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    if problem is not None:
        raise MigrationFileInvalid(
            f"The migrations folder {show_name(str(folder))} {problem}.",
            hint="Set LOCKGATE_MIGRATIONS (or --dir) to the folder, and check that it is packaged.",
        )


def no_migrations(folder: Path | str) -> MigrationFileInvalid:
    """Return the error for a folder without migrations."""
    return MigrationFileInvalid(
        f"The migrations folder {folder} contains no migrations.",
        hint="Check that this is the right folder, or write the first migration: lockgate new NAME",
    )


def list_files(folder: Path, suffixes: tuple[str, ...] = (".sql", ".py")) -> Iterator[str]:
    """Yield the relative paths of a folder's files, sorted, without hidden files and caches.

    The case of the suffix does not matter: V2.SQL is not a valid name, and must be refused rather than
    ignored. A folder that cannot be read is refused too.

    Raises:
        MigrationFileInvalid: a folder is missing or cannot be read, or a name is not UTF-8.
    """
    require_folder(folder)
    yield from _walk(str(folder), "", suffixes, set())


def _walk(
    folder: str, base: str, suffixes: tuple[str, ...], linked: set[tuple[int, int]]
) -> Iterator[str]:
    """Yield the files of a folder, then those of its subfolders; ``base`` is its relative path.

    ``linked`` identifies the folders that links have led to so far.
    """
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith((".", "__")):
                    continue
                if not _is_folder(entry):
                    files.append(entry.name)
                    continue
                folders.append(entry.name)
                if entry.is_symlink():
                    _refuse_circle(folder, base, entry, linked)
    except OSError as error:
        raise MigrationFileInvalid(
            f"The folder {show_name(str(error.filename or folder))} cannot be read: {error.strerror}.",
            hint="Check its permissions and how it was packaged.",
        ) from None
    for name in sorted(files):
        if name.endswith(suffixes) or name.lower().endswith(suffixes):
            path = base + name
            if not path.isascii() or not path.isprintable():
                refuse_name(path)
            yield path
    for name in sorted(folders):
        yield from _walk(f"{folder}/{name}", f"{base}{name}/", suffixes, linked)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except PermissionError:
        raise
    except OSError:
        # A dangling or circular link.
        return False


def _refuse_circle(
    folder: str, base: str, link: os.DirEntry[str], linked: set[tuple[int, int]]
) -> None:
    """Refuse a link to a folder above it, or to one that another link already leads to.

    Following such links would read the same files again, possibly forever.
    """
    found = link.stat()
    above = [folder]
    for _ in range(base.count("/")):
        above.append(os.path.dirname(above[-1]))  # noqa: PTH120 - folders are strings here
    known = {(one.st_dev, one.st_ino) for one in map(os.stat, above)} | linked
    if (found.st_dev, found.st_ino) in known:
        path = show_name(f"{base}{link.name}")
        raise MigrationFileInvalid(
            f"{path} is a link to a folder that is already read.",
            hint=f"Remove the link: rm {path}",
            file=path,
        )
    linked.add((found.st_dev, found.st_ino))


def show_name(name: str) -> str:
    """Return a name with unprintable characters escaped."""
    try:
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # A setting may contain a lone surrogate that is not an escaped byte.
        shown = name.encode("utf-8", "backslashreplace").decode()
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], shown)


def refuse_name(path: str) -> None:
    """Refuse a name that cannot be displayed or stored.

    Raises:
        MigrationFileInvalid: it is not UTF-8, or contains a control character.
    """
    shown = show_name(path)
    if shown != path:
        what = "contains a control character" if _CONTROL.search(path) else "is not UTF-8"
        raise MigrationFileInvalid(
            f"{shown}: the name {what}.",
            hint="Rename the file or its folder.",
            file=shown,
        )


def list_folders(folder: Path, *, follow_links: bool = True) -> list[str]:
    """Return the names of the subfolders, sorted, hidden ones included.

    Raises:
        MigrationFileInvalid: it is missing or cannot be read, or a name is not UTF-8.
    """
    require_folder(folder)
    try:
        with os.scandir(folder) as entries:
            names = sorted(one.name for one in entries if one.is_dir(follow_symlinks=follow_links))
    except OSError as error:
        raise _unreadable(str(error.filename or folder), error.strerror or str(error)) from None
    for name in names:
        refuse_name(name)
    return names


def has_folder(folder: Path | str, shown: str) -> bool:
    """Return whether there is a folder with that name.

    Raises:
        MigrationFileInvalid: the answer is unknown, for example for lack of permissions.
    """
    try:
        return stat.S_ISDIR(Path(folder, shown).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise _unreadable(shown, getattr(error, "strerror", None) or str(error)) from None


def has_file(folder: Path | str, shown: str) -> bool:
    """Return whether there is a file, or anything but a folder, with that name.

    Raises:
        MigrationFileInvalid: the answer is unknown, for example for lack of permissions.
    """
    try:
        return not stat.S_ISDIR(Path(folder, shown).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return Path(folder, shown).is_symlink()
    except (OSError, ValueError) as error:
        raise _unreadable(shown, getattr(error, "strerror", None) or str(error)) from None


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
            f"{shown}:{line}: the file is not UTF-8.",
            hint="Save it as UTF-8.",
            file=shown,
            line=line,
        ) from None


def read_content(folder: Path | str, shown: str) -> bytes:
    """Return a file's bytes; ``shown`` is its path relative to the folder.

    For a folder with thousands of files, give its path as a string: converting it each time is slow.

    Raises:
        MigrationFileInvalid: it cannot be read.
    """
    try:
        descriptor = os.open(f"{folder}/{shown}", _FLAGS)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_BYTES:
                raise _unreadable(shown, _describe_special(found))
            content = os.read(descriptor, _CHUNK)
            return content if len(content) < _CHUNK else content + _read_rest(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreadable(shown, _describe_error(f"{folder}/{shown}", error)) from None
    except (MemoryError, ValueError) as error:
        reason = "there is not enough memory" if isinstance(error, MemoryError) else str(error)
        raise _unreadable(shown, reason) from None


def _describe_error(path: str, error: OSError) -> str:
    """Return why a file could not be opened. The error of a socket does not mention that it is one."""
    try:
        found = Path(path).stat()
    except OSError:
        return error.strerror or str(error)
    return error.strerror or str(error) if stat.S_ISREG(found.st_mode) else _describe_special(found)


def _describe_special(found: os.stat_result) -> str:
    if stat.S_ISREG(found.st_mode):
        return f"it has {found.st_size >> 20} MB; the limit is {_MAX_BYTES >> 20} MB"
    kinds = (name for test, name in _SPECIAL if test(found.st_mode))
    return f"it is {next(kinds, 'something else')}, not a file"


def _unreadable(shown: str, reason: str) -> MigrationFileInvalid:
    shown = show_name(shown)
    return MigrationFileInvalid(
        f"{shown} cannot be read: {reason}.",
        hint="Check the file's permissions and how it was packaged.",
        file=shown,
    )


def _read_rest(descriptor: int) -> bytes:
    pieces = [os.read(descriptor, _CHUNK)]
    while pieces[-1]:
        pieces.append(os.read(descriptor, _CHUNK))
    return b"".join(pieces)


def line_of(text: str, offset: int) -> int:
    """Return the line of an offset, from 1; CR, LF and CR LF each end a line."""
    before = text[:offset]
    return before.count("\n") + before.count("\r") - before.count("\r\n") + 1
