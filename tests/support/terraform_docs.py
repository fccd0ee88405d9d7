"""A module's tables for its README, like those of terraform-docs, from its formatted source.

Expects blocks in the layout of `terraform fmt`: a block begins and ends at the margin, and a one-line
argument has its value after the equals sign.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BEGIN, END = "<!-- BEGIN_TF_DOCS -->", "<!-- END_TF_DOCS -->"

_BLOCK = re.compile(r'^(\w+) ((?:"[^"]+" ?)*)\{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
_REQUIRED = re.compile(r'required_version = "([^"]+)"')
_PROVIDER = re.compile(r'(\w+) = \{\s+source +=[^\n]+\s+version = "([^"]+)"')


def describe_module(folder: Path) -> str:
    """Return the part of a README between the marks."""
    source = "\n".join(path.read_text("utf-8") for path in sorted(folder.glob("*.tf")))
    blocks = [
        (match[1], re.findall(r'"([^"]+)"', match[2]), match[3])
        for match in _BLOCK.finditer(source)
    ]
    providers = _PROVIDER.findall(source)
    inputs = sorted((labels[0], body) for kind, labels, body in blocks if kind == "variable")
    outputs = sorted((labels[0], body) for kind, labels, body in blocks if kind == "output")
    resources = sorted(
        (f"{labels[0]}.{labels[1]}", "resource" if kind == "resource" else "data source")
        for kind, labels, _ in blocks
        if kind in {"resource", "data"}
    )
    return "\n\n".join(
        [
            _section(
                "Requirements",
                ("Name", "Version"),
                [("terraform", _REQUIRED.findall(source)[0]), *providers],
            ),
            _section("Providers", ("Name", "Version"), providers),
            _section("Resources", ("Name", "Type"), resources),
            _section(
                "Inputs",
                ("Name", "Description", "Type", "Default", "Required"),
                [_describe_input(name, body) for name, body in inputs],
            ),
            _section(
                "Outputs",
                ("Name", "Description"),
                [(name, _read(body, "description").strip('"')) for name, body in outputs],
            ),
        ]
    )


def _describe_input(name: str, body: str) -> tuple[str, ...]:
    default = _read(body, "default")
    return (
        name,
        _read(body, "description").strip('"'),
        f"`{_read(body, 'type')}`",
        f"`{default}`" if default else "n/a",
        "no" if default else "yes",
    )


def _read(body: str, argument: str) -> str:
    """Return an argument's value as written, or an empty string if it is missing."""
    found = re.search(rf"^  {argument} += (.+)$", body, re.MULTILINE)
    return "" if found is None else found[1]


def _section(title: str, heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join([f"## {title}", "", *_table(heading, rows)])


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for row in (heading, tuple("---" for _ in heading), *rows):
        yield f"| {' | '.join(row)} |"
