"""``sqitch.plan``: the changes of a project in their order, with the ids that Sqitch gives them.

Knows the plan's syntax and Sqitch's digest. Knows no scripts.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import field, replace

from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.scripts import unusable_file
from lockgate.formats.sqitch.uri import canonical_uri

_PUNCT = re.escape("-!\"#$%&'()*+,./:;<=>?@[\\]^`{|}~")
_BLANK = r"[ \t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]"
_NOT_BLANK = r"[^ \t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000:@#\\]"
# A sign and digits at the end would be a step back or forward from a name.
_NAME = rf"(?![{_PUNCT}])(?:(?![~/=%^][0-9]+(?:$|{_BLANK})){_NOT_BLANK})+(?<![{_PUNCT}])\b"
_NOTE = re.compile(rf"(?<!{_BLANK}){_BLANK}*+(?:#{_BLANK}*(.*))?$")
_PRAGMA = re.compile(
    rf"{_BLANK}*%{_BLANK}*([^\s=]+?)(?:{_BLANK}*={_BLANK}*(.+))?",
)
_LINE = re.compile(
    rf"""{_BLANK}*(?:(?P<tag>@)|(?P<operator>[+-]){_BLANK}*)?
    (?P<name>{_NAME}){_BLANK}*
    (?:\[(?P<dependencies>[^]]+)\]{_BLANK}*)?
    (?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}Z){_BLANK}*
    (?P<planner>[^<]+{_BLANK}<[^>]+>)""".replace("\n    ", ""),
)
_DEPENDENCY = re.compile(
    rf"(?P<conflicts>!?)(?:(?P<project>{_NAME}):)?"
    rf"(?:(?P<id>[0-9a-f]{{40}})|(?P<change>{_NAME})?(?:@(?P<tag>{_NAME}))?)"
)
_PLANNER = re.compile(rf"([^<]+){_BLANK}(<[^>]+>)")
_ESCAPES = {"\\n": "\n", "\\r": "\r", "\\\\": "\\"}
_LIKE_AN_ID = re.compile(r"[0-9a-f]{40}")
_RESERVED = ("ROOT", "HEAD")


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``number`` counts those of its name, from 1; a later one is the name's rework.

    ``tags`` stand behind it; ``rework_tags`` are those under which its scripts may be kept, once it
    was reworked, in the order in which Sqitch looks for them.
    """

    name: str
    change_id: str
    line: int
    number: int = 1
    tags: tuple[str, ...] = ()
    rework_tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole plan."""

    project: str
    changes: tuple[Change, ...]


@dataclass(slots=True)
class _Reader:
    """What is known of a plan up to the line that is read."""

    path: str
    project: str = ""
    uri: str | None = None
    changes: list[Change] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)
    last_of: dict[str, int] = field(default_factory=dict)
    section: dict[str, int] = field(default_factory=dict)

    def fail(self, line: int, why: str, hint: str = "Correct the plan.") -> Exception:
        return unusable_file(self.path, why, hint, line=line)


def read_plan(text: str, path: str) -> Plan:
    """Return the changes of a plan.

    Raises:
        MigrationFileInvalid: Sqitch would not read the plan; or a line stands for a revert, or
            depends on another project, whose state only Sqitch keeps.
    """
    reader = _Reader(path)
    in_header = True
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.removesuffix("\r")
        content = _NOTE.sub("", line, count=1)
        if not content.strip():
            # The first empty line ends the header; one with a comment does not.
            in_header = in_header and "#" in line
        elif in_header:
            _read_pragma(reader, content, number)
        else:
            _read_line(reader, content, _read_note(line), number)
    if not reader.project:
        raise reader.fail(1, "has no %project", "Write %project=NAME on a line of its head.")
    return Plan(reader.project, tuple(reader.changes))


def _read_pragma(reader: _Reader, content: str, number: int) -> None:
    found = _PRAGMA.fullmatch(content)
    if found is None:
        raise reader.fail(
            number, "has no pragma here", "Leave a line empty between the pragmas and the changes."
        )
    if found[1] == "project":
        reader.project = found[2] or ""
        if re.fullmatch(_NAME, reader.project) is None:
            raise reader.fail(number, f'names the project "{reader.project}", which is no name')
    elif found[1] == "uri":
        reader.uri = found[2]


def _read_note(line: str) -> str:
    found = _NOTE.search(line)
    note = "" if found is None else (found[1] or "").strip()
    return re.sub(r"\\[\\nr]", lambda m: _ESCAPES[m[0]], note)


def _read_line(reader: _Reader, content: str, note: str, number: int) -> None:
    found = _LINE.fullmatch(content)
    if found is None:
        raise reader.fail(
            number,
            "is neither a change nor a tag here",
            "Write it as Sqitch does: NAME [DEPENDENCIES] 2026-01-31T12:00:00Z Planner <e-mail> # note",
        )
    name = found["name"]
    if name in _RESERVED or _LIKE_AN_ID.match(name):
        raise reader.fail(number, f'uses the name "{name}", which Sqitch keeps for itself')
    if found["tag"]:
        _read_tag(reader, found, number)
    else:
        _read_change(reader, found, note, number)


def _read_tag(reader: _Reader, found: re.Match[str], number: int) -> None:
    name = found["name"]
    if "/" in name or found["dependencies"] or not reader.changes:
        raise reader.fail(number, f"has a tag @{name} that tags nothing as Sqitch would")
    if name in reader.tags:
        raise reader.fail(number, f"has the tag @{name} for the second time")
    reader.tags[name] = len(reader.changes) - 1
    reader.section.clear()
    last = reader.changes[-1]
    reader.changes[-1] = replace(last, tags=(*last.tags, name))


def _read_change(reader: _Reader, found: re.Match[str], note: str, number: int) -> None:
    name = found["name"]
    if found["operator"] == "-":
        raise reader.fail(
            number,
            f"plans to revert {name}, and Lockgate only goes forward through a plan",
            "Write a new change that undoes it.",
        )
    if name in reader.section:
        raise reader.fail(
            number,
            f"has {name} for the second time since the last tag",
            "Tag the plan before the change is reworked: sqitch tag, then sqitch rework.",
        )
    requires, conflicts = _read_dependencies(reader, found["dependencies"], number)
    earlier = reader.last_of.get(name)
    change = Change(
        name,
        _find_id(reader, found, requires, conflicts, note),
        number,
        1 if earlier is None else reader.changes[earlier].number + 1,
    )
    if earlier is not None:
        _mark_reworked(reader, earlier)
    reader.last_of[name] = reader.section[name] = len(reader.changes)
    reader.changes.append(change)


def _mark_reworked(reader: _Reader, place: int) -> None:
    """Note the tags behind a change: its scripts got the name of one of them, mostly the first."""
    behind = reader.changes[place + 1 :]
    tags = [tag for change in reversed(behind) for tag in change.tags]
    reworked = reader.changes[place]
    reader.changes[place] = replace(reworked, rework_tags=(*tags, *reworked.tags))


def _read_dependencies(
    reader: _Reader, text: str | None, number: int
) -> tuple[list[str], list[str]]:
    """Return what a change requires and what it conflicts with, as Sqitch writes them."""
    requires: list[str] = []
    conflicts: list[str] = []
    for word in re.split(rf"{_BLANK}+", (text or "").strip()):
        found = _DEPENDENCY.fullmatch(word)
        if not word and not text:
            continue
        key = "" if found is None else _key_of(found)
        if found is None or not key or key in (*requires, *conflicts):
            raise reader.fail(number, f'has the dependency "{word}", which is none, or there twice')
        if found["project"] not in {None, reader.project}:
            raise reader.fail(
                number,
                f"depends on another project: {word}",
                "Deploy that project first and take the dependency out: whether it is deployed"
                " is known to Sqitch alone.",
            )
        is_there = _is_planned(reader, found)
        if found["conflicts"]:
            if is_there:
                raise reader.fail(number, f"conflicts with {key}, which is deployed before it")
            conflicts.append(key)
        else:
            if not is_there:
                raise reader.fail(
                    number, f"requires {key}, which is not planned above", "Move it below that."
                )
            requires.append(key)
    return requires, conflicts


def _key_of(found: re.Match[str]) -> str:
    if found["id"]:
        return str(found["id"])
    return (found["change"] or "") + (f"@{found['tag']}" if found["tag"] else "")


def _is_planned(reader: _Reader, found: re.Match[str]) -> bool:
    if found["id"]:
        return any(change.change_id == found["id"] for change in reader.changes)
    tagged_at = reader.tags.get(found["tag"]) if found["tag"] else len(reader.changes)
    if tagged_at is None:
        return False
    if not found["change"]:
        return True
    return any(c.name == found["change"] for c in reader.changes[: tagged_at + 1])


def _find_id(
    reader: _Reader, found: re.Match[str], requires: list[str], conflicts: list[str], note: str
) -> str:
    """Return the SHA-1 over everything that the plan says of a change, its parent's id included."""
    planner = _PLANNER.fullmatch(found["planner"])
    assert planner is not None
    lines = [f"project {reader.project}"]
    if reader.uri is not None:
        lines.append(f"uri {canonical_uri(reader.uri)}")
    lines.append(f"change {found['name']}")
    if reader.changes:
        lines.append(f"parent {reader.changes[-1].change_id}")
    lines += [f"planner {planner[1]} {planner[2]}", f"date {found['date']}"]
    if requires:
        lines += ["requires", *(f"  + {key}" for key in requires)]
    if conflicts:
        lines += ["conflicts", *(f"  - {key}" for key in conflicts)]
    # To Perl the note "0" is none.
    if note not in {"", "0"}:
        lines += ["", note]
    content = "\n".join(lines).encode()
    head = f"change {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
