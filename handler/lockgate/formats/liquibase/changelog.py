"""Reads root changelogs in XML, YAML and JSON that only include files.

Supported are ``include``, ``includeAll`` and ``property``. Anything else, above all a changeSet, is not
formatted SQL, and is refused with its line.
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from typing import TYPE_CHECKING
from xml.parsers import expat

from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.folder import read_text
from lockgate.formats.shared.scripts import unusable_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lockgate.errors import MigrationFileInvalid

SUFFIXES = (".xml", ".yaml", ".yml", ".json")
_ROOT = "databaseChangeLog"
_KINDS = ("include", "includeAll", "property")
_BOM = "\ufeff"
# A line of the supported subset of YAML: indent, dash, key, value.
_YAML = re.compile(
    r"""(?P<indent>[ ]*)(?P<dash>-[ ]+)?(?P<key>[A-Za-z]+):"""
    r"""(?:[ ]+(?P<value>"[^"\\]*"|'[^']*'|[^\s"'#&*!|>{}\[\]%@`](?:[^#]*[^# ])?))?[ ]*(?:[ ]\#.*)?"""
)
_YAML_EMPTY = re.compile(r"\s*+(?:#.*|---\s*+)?")


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a changelog, with its attributes as written."""

    kind: str
    line: int | None
    attributes: dict[str, str] = field(default_factory=dict)


def is_changelog(folder: Path, path: str) -> bool:
    """Return whether a file of XML, YAML or JSON is a changelog."""
    return _ROOT in read_text(folder, path)


def read_changelog(folder: Path, path: str) -> list[Item]:
    """Return a changelog's entries, supported or not.

    Raises:
        MigrationFileInvalid: it is not XML or JSON, or YAML beyond plain lists of includes.
    """
    text = read_text(folder, path).removeprefix(_BOM)
    if path.endswith(".xml"):
        return _read_xml(text, path)
    if path.endswith(".json"):
        return list(_read_json(text, path))
    return _read_yaml(text, path)


def refuse_unknown(item: Item, path: str) -> None:
    """Refuse an entry that is not an include or property, and unsupported attributes."""
    if item.kind not in _KINDS:
        raise unusable_file(
            path,
            f"has {item.kind}, and Lockgate only supports include, includeAll and property there",
            "Write the changesets as formatted SQL (liquibase update-sql prints their SQL), and include"
            " that file.",
            line=item.line,
        )
    unknown = sorted(set(item.attributes) - _ATTRIBUTES[item.kind])
    if unknown:
        raise unusable_file(
            path,
            f"has {item.kind} with {unknown[0]}, which Lockgate does not support",
            f"Supported: {', '.join(sorted(_ATTRIBUTES[item.kind]))}.",
            line=item.line,
        )


_FILTERS = {"context", "contextFilter", "labels", "ignore"}
_ATTRIBUTES = {
    "include": {"file", "relativeToChangelogFile", "errorIfMissing", *_FILTERS},
    "includeAll": {"path", "relativeToChangelogFile", "errorIfMissingOrEmpty", *_FILTERS},
    "property": {"name", "value", "global", "dbms", "context", "contextFilter", "labels"},
}


def _read_xml(text: str, path: str) -> list[Item]:
    items: list[Item] = []
    depth = 0
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        local = name.rpartition(" ")[2]
        if depth == 2:  # noqa: PLR2004 - entries are directly below the root
            items.append(Item(local, parser.CurrentLineNumber, attributes))
        elif depth == 1 and attributes.get("logicalFilePath"):
            items.append(Item("logicalFilePath", parser.CurrentLineNumber))

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_: object) -> None:
        items.append(Item("a DOCTYPE", parser.CurrentLineNumber))

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise unusable_file(path, "is not XML", "Correct the file.", line=error.lineno) from None
    return items


def _read_json(text: str, path: str) -> Iterator[Item]:
    try:
        document = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", None)
        raise unusable_file(path, "is not JSON", "Correct the file.", line=line) from None
    except (RecursionError, MemoryError):
        raise unusable_file(path, "is nested too deeply", "Correct the file.") from None
    entries = document.get(_ROOT) if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise unusable_file(path, f"has no list {_ROOT}", "Correct the file.")
    for entry in entries:
        if not isinstance(entry, dict):
            raise unusable_file(path, "has an entry that is not an object", "Correct the file.")
        for kind, attributes in entry.items():
            is_plain = isinstance(attributes, dict)
            shown = {k: _show(v) for k, v in attributes.items()} if is_plain else {}
            yield Item(kind, None, shown)


def _show(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_yaml(text: str, path: str) -> list[Item]:
    """Read a root with a list of entries whose attributes are plain words; refuse any other YAML.

    It stops at an entry that is refused anyway.
    """
    items: list[Item] = []
    indents: list[int] = []
    lines = enumerate(re.split(r"\r\n|\r|\n", text), start=1)
    for number, line in lines:
        if _YAML_EMPTY.fullmatch(line):
            continue
        found = _YAML.fullmatch(line)
        if found is None or not _fits(found, indents):
            raise _unreadable_yaml(path, number)
        if not indents:
            indents.append(0)
        elif found["dash"]:
            indents[1:] = [len(found["indent"])]
            items.append(Item(found["key"], number, {}))
            if found["key"] not in _KINDS:
                break
        else:
            _set_attribute(items[-1], found)
    return items


def _fits(found: re.Match[str], indents: list[int]) -> bool:
    """Return whether a line is the root, one of its entries, or an attribute of an entry."""
    indent, is_entry = len(found["indent"]), found["dash"] is not None
    if not indents:
        return found["key"] == _ROOT and not is_entry and indent == 0 and found["value"] is None
    if is_entry:
        return found["value"] is None and (len(indents) == 1 or indent == indents[1])
    return len(indents) > 1 and indent > indents[1] + 1 and found["value"] is not None


def _set_attribute(item: Item, found: re.Match[str]) -> None:
    value = found["value"]
    item.attributes[found["key"]] = value[1:-1] if value[0] in "\"'" else value.rstrip()


def _unreadable_yaml(path: str, line: int) -> MigrationFileInvalid:
    return unusable_file(
        path,
        "is YAML that Lockgate does not support",
        "Supported is databaseChangeLog with a list of include and includeAll, and one word or quoted"
        " text after each key.",
        line=line,
    )
