"""Markdown as the tests of the documentation see it: headings, links, tables and fenced blocks.

A block's language may be followed by words that say what it is an example of::

    ```sql 0001_create.sql            a migration; with the others of its page it makes a folder
    ```sql refused 0001_create.sql    a file that is refused with the text block that follows
    ```sql fails 0002_more.sql        one that fails, on top of the page's migrations; the text block
                                      that follows is part of what the terminal prints
    ```json command                   a command that is accepted
    ```sql query                      what somebody on call may type
    ```json report, ```json excerpt   a report, whole or in part
    ```json policy                    what IAM is to allow
    ```json statemachine              a state machine, which a test executes
    ```json event                     an event of another service
    ```yaml template                  a CloudFormation template
    ```python handler                 a module that Lambda could import
    ```python app                     an app of the CDK; `make infra` synthesises it
    ```hcl module                     a configuration of Terraform; `make infra` validates it
    ```dockerfile                     an image on top of ours
    ```yaml action, ```yaml hooks     a pipeline's action, a deployment's hooks
    ```hcl CREATE_ONLY                a Terraform resource, by its scope
    ```shell                          commands; those of lockgate, make and aws are looked at
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
ADOPT_PAGES = tuple(
    sorted(f"docs/adopt/{path.name}" for path in (ROOT / "docs/adopt").glob("*.md"))
)
FORMAT_PAGES = tuple(
    sorted(f"docs/formats/{path.name}" for path in (ROOT / "docs/formats").glob("*.md"))
)
PAGES = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
    *ADOPT_PAGES,
    *FORMAT_PAGES,
)

_NAME = re.compile(r"(?:[0-9]+_\w+\.(?:sql|py)|R__\w+\.sql)")
_FENCE = re.compile(r"^```(\w+)?(?: +([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) +(.+)$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`\n]*`")
_QUOTE_SIGN = re.compile(r"^> ", re.MULTILINE)
# What is not prose, besides fenced blocks: generated parts, comments, headings, tables, indented blocks.
_NO_PROSE = re.compile(
    r"<!-- BEGIN_TF_DOCS -->.*?<!-- END_TF_DOCS -->|<!--.*?-->|^(?:#|\||    )[^\n]*$",
    re.MULTILINE | re.DOTALL,
)
_BLOCK_START = re.compile(r"\n\s*\n|\n(?=\s*(?:[*-]|\d+\.) )")
_SENTENCE_END = re.compile(r"(?<=[.!?])\)?\s+(?=[A-Z(\"'])")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the words behind that, its text, and the line it begins at."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int


def read_page(page: str) -> str:
    """Return a page's text, by its path in the repository."""
    return (ROOT / page).read_text("utf-8")


def list_undocumented(tools: Iterable[str]) -> list[str]:
    """Return the tools that have no page, or no row in the index of the tools' pages."""
    rows = read_table("docs/formats/README.md", "| tool | format | tested against |")
    listed = {row[1].strip("`") for row in rows}
    return [
        tool
        for tool in tools
        if tool not in listed or f"docs/formats/{tool}.md" not in FORMAT_PAGES
    ]


def find_blocks(page: str) -> list[Block]:
    """Return a page's fenced blocks in order."""
    text = read_page(page)
    return [
        Block(
            language=match[1] or "",
            words=tuple((match[2] or "").split()),
            text=match[3],
            line=text.count("\n", 0, match.start()) + 1,
        )
        for match in _FENCE.finditer(text)
    ]


def is_migration_name(word: str) -> bool:
    """Return whether a word behind a block's language names a migration."""
    return _NAME.fullmatch(word) is not None


def find_pairs(page: str, word: str) -> list[tuple[Block, Block]]:
    """Return each block marked with a word, and the text block that follows it."""
    blocks = find_blocks(page)
    return [
        (block, following)
        for block, following in itertools.pairwise(blocks)
        if block.words[:1] == (word,)
    ]


def find_migrations(page: str) -> dict[str, str]:
    """Return the page's migrations: file name and text."""
    return {
        block.words[0]: block.text
        for block in find_blocks(page)
        if len(block.words) == 1 and is_migration_name(block.words[0])
    }


def list_pages_with(word: str) -> list[str]:
    """Return the pages that have a block marked with a word."""
    return [page for page in PAGES if any(word in block.words for block in find_blocks(page))]


def list_headings(page: str) -> list[str]:
    """Return a page's headings, code marks taken out, fenced blocks left out."""
    prose = _FENCE.sub("", read_page(page))
    return [match[2].replace("`", "").strip() for match in _HEADING.finditer(prose)]


def list_anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in list_headings(page))
    return {heading.replace(" ", "-") for heading in kept}


def list_links(page: str) -> list[str]:
    """Return the targets of a page's links, code left out."""
    prose = _CODE.sub("", _FENCE.sub("", read_page(page)))
    return [match[1] for match in _LINK.finditer(prose)]


def list_images(page: str) -> list[tuple[str, str]]:
    """Return the description and the target of a page's images."""
    return [(match[1], match[2]) for match in _IMAGE.finditer(read_page(page))]


def read_table(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table with that first line, without its two heading lines."""
    lines = read_page(page).splitlines()
    start = lines.index(heading) + 2
    rows: list[list[str]] = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def to_one_line(text: str) -> str:
    """Return a text with its line breaks made spaces, as a message is compared."""
    return " ".join(text.split())


def list_sentences(text: str) -> list[str]:
    """Return the sentences of a page's prose, with code as one word and a link as its text."""
    prose = _QUOTE_SIGN.sub("", _NO_PROSE.sub("", _FENCE.sub("\n", text)))
    spoken = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "CODE", prose))
    blocks = (to_one_line(block).replace("**", "") for block in _BLOCK_START.split(spoken))
    sentences = (one for block in blocks for one in _SENTENCE_END.split(block))
    return [sentence for sentence in sentences if count_words(sentence) > 0]


def count_words(sentence: str) -> int:
    """Return how many words a sentence has; marks of their own are none."""
    return sum(1 for word in sentence.split() if re.search(r"\w", word))
