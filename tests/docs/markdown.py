"""Parse the documentation for its tests: headings, links, tables and fenced blocks.

A block's language may be followed by words that determine how its example is tested::

    ```sql 0001_create.sql            a migration; all migrations of a page form a folder
    ```sql refused 0001_create.sql    a refused file; the next text block has the message
    ```sql fails 0002_more.sql        a migration that fails after those of the page; the next text
                                      block is part of the terminal's output
    ```json command                   a valid command
    ```sql query                      a query for operators
    ```json report, ```json excerpt   a report, whole or in part
    ```json check                     the result of a check
    ```json policy                    an IAM policy
    ```json statemachine              a state machine, which a test executes
    ```json event                     an event of another service
    ```yaml template                  a CloudFormation template
    ```python handler                 a module that Lambda could import
    ```python app                     a CDK app; `make infra` synthesises it
    ```hcl module                     a Terraform configuration; `make infra` validates it
    ```dockerfile                     an image based on Lockgate's
    ```yaml action, ```yaml hooks     a pipeline's action, a deployment's hooks
    ```hcl CREATE_ONLY                a Terraform resource, by its scope
    ```shell                          commands; those of lockgate, make and aws are checked
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
# Not prose, besides fenced blocks: generated parts, comments, headings, tables, indented blocks.
_NO_PROSE = re.compile(
    r"<!-- BEGIN_TF_DOCS -->.*?<!-- END_TF_DOCS -->|<!--.*?-->|^(?:#|\||    )[^\n]*$",
    re.MULTILINE | re.DOTALL,
)
_BLOCK_START = re.compile(r"\n\s*\n|\n(?=\s*(?:[*-]|\d+\.) )")
_SENTENCE_END = re.compile(r"(?<=[.!?])\)?\s+(?=[A-Z(\"'])")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the words after it, its text, and its first line number."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int


def read_page(page: str) -> str:
    """Return the text of a page, given its path in the repository."""
    return (ROOT / page).read_text("utf-8")


def list_undocumented(tools: Iterable[str]) -> list[str]:
    """Return the tools without a page or without a row in the index of formats."""
    rows = read_table("docs/formats/README.md", "| tool | format | tested against |")
    listed = {row[1].strip("`") for row in rows}
    return [
        tool
        for tool in tools
        if tool not in listed or f"docs/formats/{tool}.md" not in FORMAT_PAGES
    ]


def find_blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page in order."""
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
    """Return whether a word after a block's language is a migration file name."""
    return _NAME.fullmatch(word) is not None


def find_pairs(page: str, word: str) -> list[tuple[Block, Block]]:
    """Return the blocks marked with a word, each with the block that follows."""
    blocks = find_blocks(page)
    return [
        (block, following)
        for block, following in itertools.pairwise(blocks)
        if block.words[:1] == (word,)
    ]


def find_migrations(page: str) -> dict[str, str]:
    """Return the migrations of a page by file name."""
    return {
        block.words[0]: block.text
        for block in find_blocks(page)
        if len(block.words) == 1 and is_migration_name(block.words[0])
    }


def list_pages_with(word: str) -> list[str]:
    """Return the pages with a block marked with a word."""
    return [page for page in PAGES if any(word in block.words for block in find_blocks(page))]


def list_headings(page: str) -> list[str]:
    """Return the headings of a page without code marks, ignoring fenced blocks."""
    prose = _FENCE.sub("", read_page(page))
    return [match[2].replace("`", "").strip() for match in _HEADING.finditer(prose)]


def list_anchors(page: str) -> set[str]:
    """Return the anchors that GitHub generates for the headings of a page."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in list_headings(page))
    return {heading.replace(" ", "-") for heading in kept}


def list_links(page: str) -> list[str]:
    """Return the link targets of a page, ignoring code."""
    prose = _CODE.sub("", _FENCE.sub("", read_page(page)))
    return [match[1] for match in _LINK.finditer(prose)]


def list_images(page: str) -> list[tuple[str, str]]:
    """Return the description and target of each image of a page."""
    return [(match[1], match[2]) for match in _IMAGE.finditer(read_page(page))]


def read_table(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table with the given header line, without its header."""
    lines = read_page(page).splitlines()
    start = lines.index(heading) + 2
    rows: list[list[str]] = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def to_one_line(text: str) -> str:
    """Return a text with line breaks replaced by spaces, for comparison with a message."""
    return " ".join(text.split())


def list_sentences(text: str) -> list[str]:
    """Return the sentences of a page's prose, with code as one word and links as their text."""
    prose = _QUOTE_SIGN.sub("", _NO_PROSE.sub("", _FENCE.sub("\n", text)))
    spoken = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "CODE", prose))
    blocks = (to_one_line(block).replace("**", "") for block in _BLOCK_START.split(spoken))
    sentences = (one for block in blocks for one in _SENTENCE_END.split(block))
    return [sentence for sentence in sentences if count_words(sentence) > 0]


def count_words(sentence: str) -> int:
    """Return the number of words in a sentence, ignoring isolated punctuation."""
    return sum(1 for word in sentence.split() if re.search(r"\w", word))
