"""goose as a tool: its folder and its history table."""

from __future__ import annotations

from lockgate.core.catalog import Markers, SessionRule
from lockgate.formats.goose.reader import read_folder, recognise
from lockgate.formats.goose.table import SHAPE, read_table
from lockgate.formats.shared.table_name import from_variable
from lockgate.formats.tool import HistoryTable, Tool

TOOL = Tool(
    name="goose",
    read_folder=read_folder,
    recognise=recognise,
    table=HistoryTable(
        shape=SHAPE,
        read=read_table,
        find_name=from_variable("GOOSE_TABLE"),
    ),
    evidence="has goose_db_version",
    outside="write -- +goose NO TRANSACTION above -- +goose Up",
    session=SessionRule.KEPT,
    markers=Markers("-- +goose Up", "-- +goose Down"),
)
