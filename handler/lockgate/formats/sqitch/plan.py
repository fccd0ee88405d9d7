"""Reads ``sqitch.plan``: the changes of a project in order, and computes Sqitch's ids of them."""

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
# Some signs with digits at the end mean a change relative to the name.
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
    """One change. ``number`` counts the changes with this name, from 1; later ones are reworks.

    ``tags`` follow it. Once it was reworked, the names of its old scripts have one of ``rework_tags``,
    in the order in which Sqitch looks for them.
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
    """The state after some lines of a plan."""

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
        MigrationFileInvalid: Sqitch would not read the plan; or a line is a revert, or depends on
            another project, whose state only Sqitch knows.
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
        raise reader.fail(1, "has no %project", "Add the line %project=NAME at its top.")
    return Plan(reader.project, tuple(reader.changes))


def _read_pragma(reader: _Reader, content: str, number: int) -> None:
    found = _PRAGMA.fullmatch(content)
    if found is None:
        raise reader.fail(
            number,
            "has a line that is not a pragma",
            "Add an empty line between pragmas and changes.",
        )
    if found[1] == "project":
        reader.project = found[2] or ""
        if re.fullmatch(_NAME, reader.project) is None:
            raise reader.fail(
                number, f'has the project "{reader.project}", which is not a valid name'
            )
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
            "has a line that is neither a change nor a tag",
            "Write it as Sqitch does: NAME [DEPENDENCIES] 2026-01-31T12:00:00Z Planner <e-mail> # note",
        )
    name = found["name"]
    if name in _RESERVED or _LIKE_AN_ID.match(name):
        raise reader.fail(number, f'uses the name "{name}", which Sqitch reserves')
    if found["tag"]:
        _read_tag(reader, found, number)
    else:
        _read_change(reader, found, note, number)


def _read_tag(reader: _Reader, found: re.Match[str], number: int) -> None:
    name = found["name"]
    if "/" in name or found["dependencies"] or not reader.changes:
        raise reader.fail(number, f"has an invalid tag @{name}")
    if name in reader.tags:
        raise reader.fail(number, f"has the tag @{name} twice")
    reader.tags[name] = len(reader.changes) - 1
    reader.section.clear()
    last = reader.changes[-1]
    reader.changes[-1] = replace(last, tags=(*last.tags, name))


def _read_change(reader: _Reader, found: re.Match[str], note: str, number: int) -> None:
    name = found["name"]
    if found["operator"] == "-":
        raise reader.fail(
            number,
            f"plans to revert {name}, and Lockgate cannot revert within a plan",
            "Add a new change that undoes it.",
        )
    if name in reader.section:
        raise reader.fail(
            number,
            f"has {name} twice without a tag in between",
            "Tag the plan before reworking the change: sqitch tag, then sqitch rework.",
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
    """Record the tags after a change: its old scripts have the name of one, mostly the first."""
    following = reader.changes[place + 1 :]
    tags = [tag for change in reversed(following) for tag in change.tags]
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
            raise reader.fail(number, f'has the dependency "{word}", which is invalid or duplicate')
        if found["project"] not in {None, reader.project}:
            raise reader.fail(
                number,
                f"depends on another project: {word}",
                "Deploy that project first and remove the dependency: only Sqitch knows whether it is"
                " deployed.",
            )
        is_there = _is_planned(reader, found)
        if found["conflicts"]:
            if is_there:
                raise reader.fail(number, f"conflicts with {key}, which is deployed before it")
            conflicts.append(key)
        else:
            if not is_there:
                raise reader.fail(
                    number, f"requires {key}, which is not planned above it", "Move it below that."
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
    """Return the SHA-1 of everything in the plan about a change, including its parent's id."""
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
    # To Perl, the note "0" is empty.
    if note not in {"", "0"}:
        lines += ["", note]
    content = "\n".join(lines).encode()
    head = f"change {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
