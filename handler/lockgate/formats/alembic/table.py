"""Reads Alembic's table ``alembic_version``, which has only the heads.

All ancestors of a head were applied; the folder tells which they are (`complete_history`).
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from lockgate.core.python_source import PythonInvalid, parse_python
from lockgate.formats.shared.folder import read_text
from lockgate.formats.shared.table_name import list_near
from lockgate.formats.tool import ForeignHistory, TableName, TableShape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lockgate.formats.tool import Ask

SHAPE = TableShape("alembic_version", ("version_num",), has_any_name=True, is_exact=True)
_READ = "SELECT version_num FROM {table} ORDER BY version_num"


def find_table_name(folder: Path, _variables: Mapping[str, str]) -> TableName | None:
    """Return the name that ``env.py`` passes to Alembic, if it is a string and the same everywhere."""
    below = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/**/env.py"))
    for relative in (*list_near(folder, "env.py"), *below):
        try:
            tree = parse_python(read_text(folder.resolve(), relative))
        except PythonInvalid:
            continue
        tables = set(_list_keywords(tree, "version_table"))
        schemas = set(_list_keywords(tree, "version_table_schema"))
        if len(tables | schemas) > 0 and len(tables) <= 1 and len(schemas) <= 1:
            name = ".".join([*schemas, *(tables or {SHAPE.name})])
            return TableName(name, f"version_table in {relative}")
    return None


def _list_keywords(tree: ast.AST, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == name:
            value = node.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the heads: one, or several if branches were not merged."""
    heads = tuple(str(row[0]) for row in ask(_READ.format(table=table)))
    return ForeignHistory(table, (), heads=heads)
