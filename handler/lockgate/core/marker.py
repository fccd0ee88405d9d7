"""Find the comment lines that separate up from down in any tool's files, and lines that look like them.

Native files, the recognition of tools and every format use this one list of markers. Which of them a
format has is in `core.catalog`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from lockgate.core.migration import Direction
from lockgate.fast_start.dataclass import dataclass

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad\ufe58\ufe63\uff0d"
# A line that is only a comment, or was meant to be: editors turn two hyphens into a dash.
_LINE = re.compile(
    rf"(?:^|(?<=\r))[ \t\f\v\u00a0\u3000\u200b\ufeff]*"
    rf"(?P<sign>-*[{_DASHES}][-{_DASHES}]*|-+|\#+|//+|/\*+)(?P<content>[^\r\n]*)",
    re.MULTILINE,
)
# A marker of the native format at the end of any line.
_NATIVE = re.compile(
    r"--[ \t]*+migrate:(?P<way>up|down)(?:[ \t]++\w++:[^ \t\r\n]*+)*+(?=[ \t]*+(?:[\r\n]|\Z))",
    re.IGNORECASE | re.ASCII,
)
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"))
_TO_HYPHEN = dict.fromkeys(map(ord, _DASHES), "-")
# A longer line is prose.
_MOST_CHARACTERS = 200
_MOST_WORDS = 4

_UPS = frozenset({"up", "ups"})
_DOWNS = frozenset({"down", "downs", "downgrade", "undo", "rollback", "revert"})
_TOOLS = frozenset(
    {
        "migrate",
        "migration",
        "migrations",
        "rambler",
        "goose",
        "micrate",
        "dbmate",
        "tern",
        "flyway",
    }
    | {"sqitch", "liquibase", "diesel", "sqlx", "knex", "umzug", "postgrator", "mybatis", "evolve"}
    | {"evolution", "evolutions", "lockgate", "migrator", "sql-migrate", "dbup", "yoyo", "alembic"}
    | {"dbdeploy", "mig", "nessie", "nomad"}
)
_NOUNS = frozenset(
    {"script", "section", "part", "sql", "begin", "begins", "start", "starts", "end", "block"}
    | {"below", "commands", "follows", "here", "statements"}
)
# Slips of short words; those of longer words are found by their distance.
_SLIPS = {"pu": "up", "upp": "up", "dn": "down", "migrateup": "up", "migratedown": "down"}
# They are a direction only after a tool's name and a sign; otherwise they may name a section.
_LETTERS = {"u": "up", "p": "up", "d": "down"}
_TYPO_LETTERS = {
    "migrate": 2,
    "migration": 2,
    "rollback": 1,
    "down": 1,
    "downgrade": 1,
    "revert": 1,
}
_WORD = re.compile(r"[a-z0-9]+")
_JOINED = re.compile(
    r"(?P<tool>[^\W\d_]+)(?P<sign>\s*[:;=.,_|>~+@/\\-]+\s*)(?P<way>[a-z]+)(?P<rest>.*)", re.DOTALL
)
_ORNAMENTS = "#*=~>:.- "
_SIGIL = re.compile(r"[+@!]\s*(?:(?P<tool>[a-z]+)\s+)?(?P<way>up|down|undo)\b")
# Words are matched as a whole, so that a line can be read in one way only.
_OPTIONS = re.compile(
    r"\s*(?:(?:\w++\s*[:=]\s*\w++|no_?transaction)\s*)*|\s*[^\w\s'\"].*", re.DOTALL
)
_TERN = re.compile(r"\W*create\s+above\W+drop\s+below\W*")
_LIQUIBASE = re.compile(
    r"liquibase\s+formatted\s+sql|changeset\s+[^\s:]+:\S+|liquibase\s+rollback\b"
    r"|rollback\s+(?:drop|alter|delete\s+from|truncate|update\s+\S+\s+set|insert\s+into|create|revoke"
    r"|grant|comment\s+on|select|empty\s*$|not\s+required)\b"
)
_SQITCH = re.compile(r"revert\s+[^\s:]+:\S+\s+from\s+\w+\s*")


@dataclass(frozen=True, slots=True)
class Marker:
    """A line that is a marker of some tool, or nearly one.

    ``direction`` is that of the script that it begins. ``tool`` is its format, if Lockgate reads it.
    ``offset`` is the place of its comment sign, and ``text`` is the line. ``is_word``: it has no sign of
    a tool and may be a heading. ``is_trailing``: SQL is before it on its line.
    """

    direction: Direction
    text: str
    offset: int
    tool: str | None = None
    is_word: bool = False
    is_trailing: bool = False


def find_markers(text: str) -> list[Marker]:
    """Return every line of a text that looks like a marker, even inside a string."""
    return [one for line in _LINE.finditer(text) if (one := _read_line(line)) is not None]


def find_trailing_markers(text: str) -> list[Marker]:
    """Return every exact native marker that is not the first on its line, even inside a string.

    A marker with a word after it that is not an option is prose.
    """
    return [
        Marker(_way_of(one["way"].lower()), one[0], one.start(), is_trailing=True)
        for one in _NATIVE.finditer(text)
        if not _begins_line(text, one.start())
    ]


def _begins_line(text: str, offset: int) -> bool:
    before = text[max(0, offset - _MOST_CHARACTERS) : offset].rstrip(" \t\f\v")
    return not before or before[-1] in "\r\n"


def has_marker(text: str) -> bool:
    """Return whether a line of a text looks like the marker of any tool."""
    return any(_read_line(line) is not None for line in _LINE.finditer(text))


def _read_line(line: re.Match[str]) -> Marker | None:
    sign, content = line["sign"], line["content"]
    if len(content) > _MOST_CHARACTERS or not _MAYBE.search(content):
        return None
    is_open = False
    if sign.startswith("/*"):
        content, end, rest = content.partition("*/")
        if rest.strip():
            return None
        is_open = not end
    shown = line[0].strip()
    text = _normalise(content)
    found = _classify(text, is_sure=not is_open and sign != "-")
    if found is None:
        return None
    return Marker(found[0], shown, line.start("sign"), found[1], is_word=_is_word(text))


# Most comment lines contain none of these letters in this order and need no closer look.
_MAYBE = re.compile(
    r"u.?p|p.?u|\b[ud]\b|d.?n|d.?o|d.?w|o.?d|u.?n.?d|roll|r.?o.?l.?b|rev|below|formatted|changeset"
    r"|[^\x00-\x7f]",
    re.IGNORECASE,
)


def _normalise(content: str) -> str:
    plain = unicodedata.normalize("NFKC", content.translate(_INVISIBLE)).translate(_TO_HYPHEN)
    return plain.lower().strip()


@lru_cache(maxsize=1_000)
def _classify(text: str, *, is_sure: bool) -> tuple[Direction, str | None] | None:
    """Return direction and tool of a comment; a single word counts only in a certain comment."""
    if _LIQUIBASE.match(text):
        is_up = text.startswith(("changeset", "liquibase f"))
        return (Direction.UP if is_up else Direction.DOWN), "liquibase"
    if _TERN.fullmatch(text) or _SQITCH.fullmatch(text):
        return Direction.DOWN, None
    sigil = _SIGIL.match(text)
    if sigil is not None and _is_sign(sigil, text):
        return _way_of(sigil["way"]), "goose" if sigil["tool"] == "goose" else None
    joined = _JOINED.match(text.lstrip(_ORNAMENTS))
    if joined is not None:
        found = _classify_joined(joined)
        if found is not None:
            return found, None
    return _classify_words(text, is_sure=is_sure)


def _classify_joined(joined: re.Match[str]) -> Direction | None:
    """Return the direction of ``migrate:down`` and similar text."""
    if _correct(joined["tool"]) not in _TOOLS | {"db", "schema"}:
        return None
    way = _LETTERS.get(joined["way"], _correct(joined["way"]))
    if way not in _UPS | _DOWNS:
        return None
    is_tight = joined["tool"] == "migrate" and joined["sign"] == ":"
    return _way_of(way) if is_tight or _OPTIONS.fullmatch(joined["rest"]) else None


def _classify_words(text: str, *, is_sure: bool) -> tuple[Direction, str | None] | None:
    """Return the direction of a line of which each word is a tool, a direction or a known noun."""
    plain = text.replace("roll back", "rollback").replace("roll-back", "rollback")
    words = _WORD.findall(re.sub(r"(?<!\s)\s++\w++\s*+[:=]\s*+\w++\s*+$", "", plain))
    if not 0 < len(words) <= _MOST_WORDS:
        return None
    if len(words) == 1:
        word = words[0] if len(words[0]) < len("rollback") - 1 else _correct(words[0])
        # With a semicolon it is a statement that was commented out.
        is_statement = word == "rollback" and ";" in text
        known = word in _UPS | _DOWNS and is_sure and not is_statement
        return (_way_of(word), None) if known else None
    corrected = [_correct(word) for word in words]
    ways = [word for word in corrected if word in _UPS | _DOWNS]
    others = [word for word in corrected if word not in _UPS | _DOWNS]
    if len({_way_of(way) for way in ways}) != 1 or not all(
        word in _TOOLS | _NOUNS for word in others
    ):
        return None
    is_node = corrected == [ways[0], "migration"] and ways[0] in {"up", "down"}
    return _way_of(ways[0]), "node-pg-migrate" if is_node else None


def _is_sign(sigil: re.Match[str], text: str) -> bool:
    """Return whether a line with a tool's sign is a marker; ``@param up`` is documentation."""
    if sigil["tool"] is None:
        return _is_bare(text[sigil.end() :])
    return not text.startswith("@") or sigil["tool"] in _TOOLS


def _is_word(text: str) -> bool:
    """Return whether a marker contains neither a tool's name nor its sign."""
    words = [_correct(word) for word in _WORD.findall(text)]
    return text[:1] not in {"+", "@", "!"} and all(word in _UPS | _DOWNS | _NOUNS for word in words)


def _is_bare(text: str) -> bool:
    return _WORD.search(text) is None


def _way_of(word: str) -> Direction:
    return Direction.UP if word in _UPS else Direction.DOWN


def _correct(word: str) -> str:
    """Return the known word of which a word is a misspelling, or the word itself."""
    if word in _UPS | _DOWNS | _TOOLS:
        return word
    if word in _SLIPS:
        return _SLIPS[word]
    near = (w for w, most in _TYPO_LETTERS.items() if _distance(word, w) <= most)
    return next(near, word)


def _distance(one: str, other: str) -> int:
    """Return the number of letters to change, add, delete or swap with the next."""
    if abs(len(one) - len(other)) > max(_TYPO_LETTERS.values()):
        return len(other)
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            is_swap = i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted
            row.append(min(cost, last[j - 2] + 1) if is_swap else cost)
    return row[-1]
