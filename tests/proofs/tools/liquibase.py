"""Liquibase, which comes with the npm package of the same name and needs Java on the PATH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.proofs.folder import Trait, make_changes
from tests.proofs.kit import Down, Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proofs.folder import Change
    from tests.proofs.kit import PeerProject
    from tests.support.database import Database

ROOT = "db/root.xml"
ROOT_TEXT = """<?xml version="1.0" encoding="UTF-8"?>
<databaseChangeLog
    xmlns="http://www.liquibase.org/xml/ns/dbchangelog"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:schemaLocation="http://www.liquibase.org/xml/ns/dbchangelog
        http://www.liquibase.org/xml/ns/dbchangelog/dbchangelog-latest.xsd">
    <includeAll path="sql/" relativeToChangelogFile="true"/>
</databaseChangeLog>
"""
# Liquibase's own splitter would cut statements with these.
UNSPLITTABLE = ("$", "ATOMIC", "RULE")
UNDONE = 21


def lay_out(changes: Sequence[Change]) -> dict[str, str]:
    """Write a root changelog that includes a file of formatted SQL for each change."""
    files = {f"db/sql/{change.version}_{change.name}.sql": make_text(change) for change in changes}
    return {ROOT: ROOT_TEXT, **files}


def make_text(change: Change) -> str:
    """Return a change as formatted SQL, with the attributes that Liquibase needs for it."""
    attributes = "" if change.in_transaction else " runInTransaction:false"
    if not change.in_transaction or any(sign in change.up_sql for sign in UNSPLITTABLE):
        attributes += " splitStatements:false rollbackSplitStatements:false"
    if "/*" in change.up_sql:
        # Liquibase ends a comment at the first */ and would leave the rest.
        attributes += " splitStatements:false stripComments:false"
    rollback = "".join(f"--rollback {line}\n" for line in change.down_sql.splitlines())
    header = f"--changeset ann:{change.name}{attributes}\n"
    return f"--liquibase formatted sql\n\n{header}{change.up_sql}{rollback}"


def run(project: PeerProject, database: Database, command: str, *options: str) -> str:
    """Run one command on a database."""
    project.peers.find_program("java")
    return project.run(
        "liquibase",
        f"--url=jdbc:postgresql://localhost:{database.port}/{database.name}",
        f"--username={database.user}",
        f"--password={database.password}",
        command,
        f"--changelog-file={ROOT}",
        *options,
        database=database,
    )


def update(project: PeerProject, database: Database) -> str:
    """Apply everything."""
    return run(project, database, "update")


def undo(project: PeerProject, database: Database) -> None:
    """Undo the last changesets."""
    run(project, database, "rollback-count", f"--count={UNDONE}")


TOOL = Tool(
    name="liquibase",
    # JDBC does not support COPY from the client.
    changes=make_changes(without=frozenset({Trait.COPY})),
    lay_out=lay_out,
    # The changelog's folder, not Liquibase's working directory.
    folder="db",
    up=update,
    own="DROP TABLE IF EXISTS databasechangelog, databasechangeloglock",
    history="databasechangelog",
    down=Down(UNDONE, undo),
)
