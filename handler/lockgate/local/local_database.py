"""The database of ``--local``: kept beside the files, up for as long as one command needs it.

Knows the folder's layout. Knows no migrations.
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from lockgate.errors import DatabaseBusy, SettingInvalid
from lockgate.local.psql import create_database
from lockgate.local.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = ".lockgate"
DATABASE = "local"


@contextmanager
def open_local_database(working_folder: Path) -> Iterator[dict[str, str]]:
    """Start the server that keeps its data in ``.lockgate/postgres``, and give Lockgate's settings.

    The folder tells git to leave it out. The server is stopped at the end.

    Raises:
        DatabaseBusy: another command has it open.
        SettingInvalid: there is no PostgreSQL on this machine, or the folder cannot be used.
        DatabaseUnreachable: the server did not start.
    """
    home = working_folder.resolve() / FOLDER
    try:
        home.mkdir(exist_ok=True)
        (home / ".gitignore").write_text("*\n", encoding="utf-8")
        lock = (home / "lock").open("w", encoding="utf-8")
    except OSError as error:
        raise SettingInvalid(
            f"{home} cannot be used: {error.strerror}.",
            hint="Run the command where you may write, or give --database-url.",
        ) from error
    with lock:
        _take(lock, home)
        with EmbeddedServer(data_dir=home / "postgres") as server:
            create_database(server, DATABASE)
            # It is the developer's own, so there is nobody whose tables could be met by mistake.
            yield {**server.lockgate_environment(DATABASE), "LOCKGATE_FIRST_RUN": "allow"}


def _take(lock: TextIO, home: Path) -> None:
    """Lock the file for as long as it is open; the system frees it if this process dies."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DatabaseBusy(
            f"Another command uses the PostgreSQL in {home}.",
            hint="Run it again when that one has ended.",
        ) from None
