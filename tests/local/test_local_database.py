"""Test the persistent database of --local, which one command at a time can use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.database import Database, open_connection

from lockgate.errors import DatabaseBusy, SettingInvalid
from lockgate.local.local_database import open_local_database
from lockgate.local.psql import create_database, run_psql

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.local.server import EmbeddedServer


@pytest.mark.sql
def test_local_database_is_for_one_command_at_a_time(tmp_path: Path) -> None:
    """A second command is refused while the first one runs, and succeeds afterwards."""
    with open_local_database(tmp_path) as environment:
        with pytest.raises(DatabaseBusy, match="Another command uses the PostgreSQL in"):
            open_local_database(tmp_path).__enter__()
        assert "/local?" in environment["LOCKGATE_DATABASE_URL"]

    with open_local_database(tmp_path) as environment:
        assert "LOCKGATE_CA_FILE" in environment


def test_local_database_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """If a file is in the place of the folder, the command is refused with the cause."""
    (tmp_path / ".lockgate").touch()

    with pytest.raises(SettingInvalid, match="cannot be used: File exists"):
        open_local_database(tmp_path).__enter__()


def test_database_is_created_once(server: EmbeddedServer, database: Database) -> None:
    """A name that needs quoting is quoted, and an existing database is kept."""
    name = f'{database.name}_"x"'
    create_database(server, name)
    connection = open_connection(server, name)
    connection.run("CREATE TABLE kept (id int)")
    connection.close()

    create_database(server, name)

    assert run_psql(server, name, "SELECT to_regclass('kept')") == "kept"
    database.run(f'DROP DATABASE "{database.name}_""x"""')
