"""Liquibase, which needs Java, and Sqitch, from Debian's packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.peer import Command, Kind, Peer, Target, Tools, write_new

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.workload import Change

_CHANGELOG = """<?xml version="1.0" encoding="UTF-8"?>
<databaseChangeLog
    xmlns="http://www.liquibase.org/xml/ns/dbchangelog"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:schemaLocation="http://www.liquibase.org/xml/ns/dbchangelog
        http://www.liquibase.org/xml/ns/dbchangelog/dbchangelog-latest.xsd">
    <includeAll path="sql/" relativeToChangelogFile="true"/>
</databaseChangeLog>
"""


def find_liquibase(tools: Tools) -> Path | None:
    """Return Liquibase from its npm package; it needs Java."""
    program = tools.folder / "node_modules/liquibase/dist/liquibase/liquibase"
    if tools.find("java") is None:
        return None
    return program if program.exists() else tools.find("liquibase")


def write_liquibase(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write a changelog that includes a file of formatted SQL for each migration."""
    write_new(folder / "root.xml", _CHANGELOG)
    for change in changes:
        header = f"--changeset bench:{change.name} splitStatements:false\n"
        undo = "".join(f"--rollback {line}\n" for line in change.down.splitlines())
        text = f"--liquibase formatted sql\n\n{header}{change.up}{undo}"
        write_new(folder / "sql" / f"{change.version}_{change.name}.sql", text)


def start_liquibase(program: Path, _folder: Path, target: Target) -> Command:
    """Apply pending migrations."""
    argv = (
        f"--url=jdbc:postgresql://{target.host}:{target.port}/{target.dbname}?sslmode=disable",
        f"--username={target.user}",
        f"--password={target.password}",
        "update",
        "--changelog-file=root.xml",
    )
    return Command((str(program), *argv), {"LIQUIBASE_ANALYTICS_ENABLED": "false"})


def find_sqitch(tools: Tools) -> Path | None:
    """Return Sqitch; it needs psql."""
    return None if tools.psql is None else tools.find("sqitch")


def write_sqitch(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write a plan, and two scripts for each migration."""
    write_new(folder / "sqitch.conf", "[core]\n\tengine = pg\n")
    lines = ["%syntax-version=1.0.0", "%project=shop", ""]
    for change in changes:
        for kind, text in (("deploy", change.up), ("revert", change.down)):
            # Deploy scripts must differ from each other.
            script = f"-- {change.name}\nBEGIN;\n{text}COMMIT;\n"
            write_new(folder / kind / f"{change.name}.sql", script)
        lines.append(f"{change.name} 2024-01-01T00:00:00Z Bench <bench@example.com>")
    (folder / "sqitch.plan").write_text("\n".join(lines) + "\n")


def start_sqitch(program: Path, _folder: Path, target: Target) -> Command:
    """Apply pending migrations; it starts one psql for each."""
    who = {"SQITCH_FULLNAME": "Bench", "SQITCH_EMAIL": "bench@example.com"}
    return Command((str(program), "deploy", f"db:pg:{target.dbname}"), who)


OTHERS = (
    Peer("Sqitch", Kind.PERL, find_sqitch, write_sqitch, start_sqitch),
    Peer("Liquibase", Kind.JAVA, find_liquibase, write_liquibase, start_liquibase),
)
