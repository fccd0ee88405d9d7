"""Liquibase as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import Markers, SessionRule
from lockgate.formats.liquibase.reader import read_folder, recognise
from lockgate.formats.liquibase.settings import find_table_name
from lockgate.formats.liquibase.table import (
    SHAPE,
    align,
    file_checksum,
    matches_checksum,
    read_table,
)
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="liquibase",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        file_checksum=file_checksum,
        matches_checksum=matches_checksum,
        align=align,
        find_name=find_table_name,
    ),
    evidence="has databasechangelog",
    outside="write runInTransaction:false after the changeset's id",
    session=SessionRule.SETTINGS,
    markers=Markers("--changeset author:id", "--rollback SQL"),
)
