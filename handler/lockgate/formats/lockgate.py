"""The native format (``docs/formats.md``): a folder to a catalog.

Knows file names, marker lines and options. Knows no SQL beyond comment lines that begin with
``-- migrate:``, and no server.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.catalog import Catalog, make_catalog
from lockgate.core.checksum import text_checksum
from lockgate.core.listing import make_line
from lockgate.core.migration import NO_OPTIONS, Kind, Language, Migration, Options, Script, Version
from lockgate.duration import parse_duration_ms
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.folder import line_of, list_files, no_migrations, read_text
from lockgate.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lockgate.core.listing import Listing

_VERSIONED = re.compile(r"([0-9]+)(?:_(.*))?\.(sql|py)", re.DOTALL)
_REPEATABLE = re.compile(r"R__(.+)\.sql", re.DOTALL)
# Indented ones count too: a down marker that is taken for a comment would run its script as up.
_MARKER = re.compile(
    r"(?:^|(?<=\r))[ \t]*--[ \t]*(?a:migrate):([a-z_-]*)[ \t]*([^\r\n]*)",
    re.MULTILINE | re.IGNORECASE,
)
_SIGN = "migrate:"
_ENV_SWITCH = "migrate:env"
_DIRECTIVES = ("up", "down", "env", "verify")
_SECTIONS = frozenset({"up", "down"})
_PLAIN_UP, _PLAIN_DOWN = "-- migrate:up\n", "\n-- migrate:down\n"
# goose, sql-migrate, Liquibase, rambler, node-pg-migrate: what stands behind their markers undoes.
_OTHER_TOOLS = re.compile(
    r"^[ \t]*--[ \t]*(?:(?:\+[a-z]+[ \t]+(?:up|down)\b|liquibase formatted sql|rambler (?:up|down)\b)"
    r"[^\r\n]*|(?:up|down)[ \t]+migration[ \t]*$)",
    re.IGNORECASE | re.MULTILINE,
)
_OTHER_DOWN = (".down.sql", ".rollback.sql", ".undo.sql")
_OPTIONS = ("transaction", "lock_timeout", "statement_timeout")
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class _File:
    """One file under its path relative to the folder; the text without a byte order mark.

    ``version`` and ``name`` are what the file's name says; a repeatable one has no version.
    """

    path: str
    version: str | None
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class _Plain:
    """A file as `lockgate new` writes it, and as most are, cut in two; as `_File` has the rest.

    The marker of the down script, if there is one, is where the up script ends.
    """

    path: str
    version: str | None
    name: str
    up: str
    down: str | None


@dataclass(frozen=True, slots=True)
class _Section:
    """What stands behind one marker line, up to the next."""

    text: str
    first_line: int
    options: Options


def recognise(folder: Path) -> str | None:
    """Return what only this format has; `native_signs` knows what that is."""
    from lockgate.formats.native_signs import find_native_sign  # noqa: PLC0415 - where no format is named

    return find_native_sign(folder)


def list_folder(folder: Path, variables: Mapping[str, str]) -> Listing:
    """Read every file below ``folder``, and of each no more than it takes to know that it is right.

    ``variables`` are what ``${name}`` may stand for where a file turns substitution on.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, a name is no migration's, two files
            share a version, or a marker, an option or an encoding is wrong.
    """
    found: dict[int | str, _Plain | Migration] = {}
    lines: dict[int | str, str] = {}
    source = str(folder)
    for path in list_files(folder):
        one = _list_file(_read_file(source, path), variables)
        version = one.version
        key = one.name if version is None else int(str(version))
        lines[key] = make_line(f"R__{key}" if version is None else str(version), _digest_up(one))
        other = found.setdefault(key, one)
        if other is not one:
            raise _found_twice(other, one)
    if not found:
        raise no_migrations(folder)
    versions = sorted(key for key in found if isinstance(key, int))
    keys: list[int | str] = [*versions, *sorted(key for key in found if isinstance(key, str))]
    return _FolderListing(
        found=[found[key] for key in keys],
        lines=[lines[key] for key in keys],
        versioned=len(versions),
        source=source,
    )


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration below ``folder``; raises what `list_folder` does."""
    return list_folder(folder, variables).read()


@dataclass(frozen=True, slots=True)
class _FolderListing:
    """The files of a folder, of which those that are plain are not yet made migrations."""

    found: list[_Plain | Migration]
    lines: list[str]
    versioned: int
    source: str

    def version(self, place: int) -> Version:
        return Version.parse(str(self.found[place].version))

    def down_lines(self, known: int) -> Iterator[str]:
        for one in self.found[:known]:
            checksum = _digest_down(one)
            if checksum is not None:
                yield make_line(str(one.version), checksum)

    def read(self, known: int = 0) -> Catalog:
        found = self.found[known : self.versioned] if known else self.found
        return make_catalog([_make_migration(one) for one in found], self.source)


def _read_file(folder: str, path: str) -> _File:
    name = path.rpartition("/")[2]
    versioned = _VERSIONED.fullmatch(name)
    repeatable = None if versioned is not None else _REPEATABLE.fullmatch(name)
    if versioned is None and repeatable is None:
        raise MigrationFileInvalid(
            f"{path} is no migration's name. Nothing was changed.",
            hint="Name it VERSION_name.sql, VERSION_name.py or R__name.sql (VERSION is digits), "
            "or move it out of the migrations folder.",
            file=path,
        )
    if name.count(".") > 1 and name.lower().endswith(_OTHER_DOWN):
        raise MigrationFileInvalid(
            f"{path} is another tool's down script by its name. Nothing was changed.",
            hint="Name the tool with LOCKGATE_FORMAT (or --format); or put the script behind"
            " -- migrate:down in its migration's file.",
            file=path,
        )
    text = read_text(folder, path).removeprefix(_BOM)
    if versioned is not None:
        return _File(path, versioned[1], versioned[2] or "", text)
    assert repeatable is not None
    return _File(path, None, repeatable[1], text)


def _list_file(file: _File, variables: Mapping[str, str]) -> _Plain | Migration:
    return _cut_plain(file) or _read_migration(file, variables)


def _read_migration(file: _File, variables: Mapping[str, str]) -> Migration:
    if file.version is None:
        return _read_repeatable(file, variables)
    if file.path.endswith(".py"):
        up, down = _read_python(file)
    else:
        up, down = _read_sql(file, variables)
    return Migration(Version.parse(file.version), file.name, Kind.VERSIONED, up, down)


def _read_repeatable(file: _File, variables: Mapping[str, str]) -> Migration:
    up, down = _read_sql(file, variables)
    if down is not None:
        raise MigrationFileInvalid(
            f"{file.path} is repeatable and has a down script. Nothing was changed.",
            hint="A repeatable migration is undone by an edit of its text; take the down part out.",
            file=file.path,
        )
    return Migration(None, file.name, Kind.REPEATABLE, up, None)


def _found_twice(other: _Plain | Migration, one: _Plain | Migration) -> MigrationFileInvalid:
    what = f"the name {one.name}" if one.version is None else f"version {one.version}"
    return MigrationFileInvalid(
        f"Two files have {what}: {other.path} and {one.path}. Nothing was changed.",
        hint="Give one of them a version of its own.",
        file=one.path,
    )


# Plain files.


def _cut_plain(file: _File) -> _Plain | None:
    """Cut a file that has no more than its two markers, or none; ``None`` for any other.

    No option or comment stands on their lines, and up begins the file.

    Raises:
        MigrationFileInvalid: it is another tool's.
    """
    path, text = file.path, file.text
    if path.endswith(".py") or "\r" in text:
        return None
    lowered = text.lower()
    _refuse_other_tools(path, text, lowered)
    markers = lowered.count(_SIGN)
    if markers == 0:
        return _Plain(path, file.version, file.name, text, None)
    if not text.startswith(_PLAIN_UP):
        return None
    up = len(_PLAIN_UP) - 1
    if markers == 1:
        return _Plain(path, file.version, file.name, text[up:], None)
    down = text.find(_PLAIN_DOWN, up)
    if markers > len(_SECTIONS) or down < 0 or file.version is None:
        return None
    return _Plain(
        path,
        file.version,
        file.name,
        text[up : down + 1],
        text[down + len(_PLAIN_DOWN) - 1 :],
    )


def _digest_up(one: _Plain | Migration) -> str:
    return text_checksum(one.up) if isinstance(one, _Plain) else one.up.checksum


def _digest_down(one: _Plain | Migration) -> str | None:
    if isinstance(one, _Plain):
        return None if one.down is None else text_checksum(one.down)
    return None if one.down is None else one.down.checksum


def _make_migration(one: _Plain | Migration) -> Migration:
    if isinstance(one, Migration):
        return one
    up = _make_script(one.path, 1, one.up)
    if one.version is None:
        return Migration(None, one.name, Kind.REPEATABLE, up, None)
    down = None
    if one.down is not None:
        down = _make_script(one.path, one.up.count("\n") + 1, one.down)
    return Migration(Version.parse(one.version), one.name, Kind.VERSIONED, up, down)


def _make_script(path: str, line: int, text: str) -> Script:
    return Script(text, path, line, Language.SQL, NO_OPTIONS, text_checksum(text))


# Any file.


def _read_python(file: _File) -> tuple[Script, Script | None]:
    from lockgate.formats.python_file import read_python_options  # noqa: PLC0415 - few folders have one

    found = read_python_options(file.text, file.path)
    script = Script(
        text=file.text,
        path=file.path,
        first_line=1,
        language=Language.PYTHON,
        options=Options(transaction=found.transaction),
        checksum=text_checksum(file.text),
    )
    return script, script if found.has_down else None


def _refuse_other_tools(path: str, text: str, lowered: str) -> None:
    """Refuse a file whose directions another tool tells apart: all of it would run as up."""
    # Each has one of these in it; searching for them is quick.
    if not (
        "+" in lowered or "migration" in lowered or "rambler" in lowered or "liquibase" in lowered
    ):
        return
    found = _OTHER_TOOLS.search(text)
    if found is not None:
        line = line_of(text, found.start())
        raise MigrationFileInvalid(
            f"{path}:{line}: this is a migration of another tool: {found[0].strip()}."
            " Nothing was changed.",
            hint="Name the tool with LOCKGATE_FORMAT (or --format); or write -- migrate:up and"
            " -- migrate:down in place of its own markers. Without either, both of its scripts would"
            " run as one.",
            file=path,
            line=line,
        )


def _read_sql(file: _File, variables: Mapping[str, str]) -> tuple[Script, Script | None]:
    text, lowered = file.text, file.text.lower()
    _refuse_other_tools(file.path, text, lowered)
    filled = variables if _ENV_SWITCH in lowered else None
    if _SIGN not in lowered:
        return _script(file, _Section(text, 1, NO_OPTIONS), filled), None
    sections = _read_sections(file, lowered)
    down = sections.get("down")
    up = sections.get("up")
    if up is None:
        if down is not None:
            raise MigrationFileInvalid(
                f"{file.path} has a down script and no up script. Nothing was changed.",
                hint="Put -- migrate:up on a line above the up script.",
                file=file.path,
            )
        up = _Section(text, 1, NO_OPTIONS)
    return _script(file, up, filled), None if down is None else _script(file, down, filled)


def _script(file: _File, section: _Section, variables: Mapping[str, str] | None) -> Script:
    """Return a section as a script; without ``variables`` the file asks for none."""
    substituted = None
    if variables is not None and _ENV_SWITCH in section.text.lower():
        from lockgate.formats.substitution import substitute_variables  # noqa: PLC0415 - few files ask

        substituted = substitute_variables(
            section.text, variables, path=file.path, first_line=section.first_line
        )
    return Script(
        text=section.text,
        path=file.path,
        first_line=section.first_line,
        language=Language.SQL,
        options=section.options,
        checksum=text_checksum(section.text),
        substituted=None if substituted is None else substituted.text,
        hidden=() if substituted is None else substituted.hidden,
    )


def _find_markers(text: str, lowered: str) -> list[re.Match[str]]:
    """Return what ``_MARKER`` finds: only lines with ``migrate:`` in them are looked at.

    ``lowered`` is the text in lower case; where that has another length, places differ.
    """
    if len(lowered) != len(text):
        return list(_MARKER.finditer(text))
    found: list[re.Match[str]] = []
    place = lowered.find(_SIGN)
    while place >= 0:
        line = max(text.rfind("\n", 0, place), text.rfind("\r", 0, place)) + 1
        marker = _MARKER.match(text, line)
        if marker is not None:
            found.append(marker)
            place = marker.end()
        place = lowered.find(_SIGN, place + 1)
    return found


def _read_sections(file: _File, lowered: str) -> dict[str, _Section]:
    """Cut the text at its up and down markers; each may stand once."""
    markers = [m for m in _find_markers(file.text, lowered) if _is_section(m, file)]
    if markers:
        _refuse_above(file, markers[0].start())
    sections: dict[str, _Section] = {}
    for index, marker in enumerate(markers):
        line = line_of(file.text, marker.start())
        if marker[1] in sections:
            raise MigrationFileInvalid(
                f"{file.path}:{line}: a second -- migrate:{marker[1]}. Nothing was changed.",
                hint="Split the file in two migrations, or take the second marker out.",
                file=file.path,
                line=line,
            )
        end = markers[index + 1].start() if index + 1 < len(markers) else len(file.text)
        options = _read_options(marker[2], file.path, line)
        if marker[1] == "up" and "down" in sections:
            raise MigrationFileInvalid(
                f"{file.path}:{line}: -- migrate:up stands below -- migrate:down. Nothing was changed.",
                hint="Put the up script first; were the markers swapped, up would undo.",
                file=file.path,
                line=line,
            )
        sections[marker[1]] = _Section(file.text[marker.end() : end], line, options)
    return sections


def _refuse_above(file: _File, first_marker: int) -> None:
    """Refuse what stands above the first marker and is no comment: it would be lost."""
    header = file.text[:first_marker]
    if not header or header.isspace():
        return
    from lockgate.core.sql import tokenize  # noqa: PLC0415 - most files have no header

    lost = next(tokenize(header), None)
    switch = _MARKER.search(header)
    if lost is not None:
        what, line = "there is SQL", line_of(header, lost.start)
    elif switch is not None:
        what, line = f"-- migrate:{switch[1]} stands", line_of(header, switch.start())
    else:
        return
    raise MigrationFileInvalid(
        f"{file.path}:{line}: {what} above the first marker. Nothing was changed.",
        hint="Move it below -- migrate:up; above the first marker only comments may stand.",
        file=file.path,
        line=line,
    )


def _is_section(marker: re.Match[str], file: _File) -> bool:
    directive = marker[1]
    if directive not in _DIRECTIVES:
        line = line_of(file.text, marker.start())
        raise MigrationFileInvalid(
            f"{file.path}:{line}: -- migrate:{directive} is not known"
            f"{_nearest(directive.lower(), _DIRECTIVES)}"
            " Nothing was changed.",
            hint="Known are -- migrate:up, -- migrate:down, -- migrate:env on|off and"
            " -- migrate:verify QUERY.",
            file=file.path,
            line=line,
        )
    return directive in _SECTIONS


def _read_options(text: str, path: str, line: int) -> Options:
    options = NO_OPTIONS
    seen: set[str] = set()
    for word in text.split():
        key, colon, value = word.partition(":")
        if not colon or key not in _OPTIONS:
            raise MigrationFileInvalid(
                f"{path}:{line}: {word} is no option{_nearest(key, _OPTIONS)} Nothing was changed.",
                hint=f"Options are written key:value; there are {', '.join(_OPTIONS)}.",
                file=path,
                line=line,
            )
        if key in seen:
            raise MigrationFileInvalid(
                f"{path}:{line}: {key} stands there twice. Nothing was changed.",
                hint="Take one of the two out.",
                file=path,
                line=line,
            )
        seen.add(key)
        options = _with_option(options, key, value, f"{path}:{line}")
    return options


def _with_option(options: Options, key: str, value: str, place: str) -> Options:
    path, _, line = place.rpartition(":")
    try:
        if key == "transaction":
            return replace(options, transaction={"true": True, "false": False}[value])
        if key == "lock_timeout":
            return replace(options, lock_timeout_ms=parse_duration_ms(value))
        return replace(options, statement_timeout_ms=parse_duration_ms(value))
    except (KeyError, ValueError):
        accepted = "true or false" if key == "transaction" else "a duration such as 5s or 10min"
        raise MigrationFileInvalid(
            f'{place}: {key} cannot be "{value}"; it takes {accepted}. Nothing was changed.',
            hint=f"Correct the option on line {line}.",
            file=path,
            line=int(line),
        ) from None


def _nearest(word: str, known: tuple[str, ...]) -> str:
    import difflib  # noqa: PLC0415 - for who has mistyped

    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else "."
