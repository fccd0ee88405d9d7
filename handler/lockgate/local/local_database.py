"""The database of ``--local``: its data stay in ``.lockgate``, its server runs during one command."""

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
    """Start the server with its data in ``.lockgate/postgres``, and yield the settings to connect to it.

    The folder has a ``.gitignore``. The server is stopped at the end.

    Raises:
        DatabaseBusy: another command uses it.
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
            hint="Run the command in a folder that you may write to, or use --database-url.",
        ) from error
    with lock:
        _take(lock, home)
        with EmbeddedServer(data_dir=home / "postgres") as server:
            create_database(server, DATABASE)
            # The database belongs to the developer, so its tables need no protection.
            yield {**server.lockgate_environment(DATABASE), "LOCKGATE_FIRST_RUN": "allow"}


def _take(lock: TextIO, home: Path) -> None:
    """Lock the file while it is open; the system releases the lock if this process dies."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DatabaseBusy(
            f"Another command uses the PostgreSQL in {home}.",
            hint="Run the command again when the other one has ended.",
        ) from None
