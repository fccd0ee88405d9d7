"""Divides one file of the native format into its scripts, and reads the options on its markers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.checksum import text_checksum
from lockgate.core.migration import NO_OPTIONS, Language, Options, Script
from lockgate.core.similar import find_similar
from lockgate.duration import parse_duration_ms
from lockgate.errors import MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.folder import line_of
from lockgate.formats.shared.python_file import read_python_options
from lockgate.formats.shared.substitution import substitute_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

# Indented markers count too: if a down marker were taken for a comment, up would run its script.
_MARKER = re.compile(
    r"(?:^|(?<=\r))[ \t]*--[ \t]*(?a:migrate):([a-z_-]*)[ \t]*([^\r\n]*)",
    re.MULTILINE | re.IGNORECASE,
)
_SIGN = "migrate:"
_ENV_SWITCH = "migrate:env"
_DIRECTIVES = ("up", "down", "env", "verify")
_SECTIONS = frozenset({"up", "down"})
_OPTIONS = ("transaction", "lock_timeout", "statement_timeout")


@dataclass(frozen=True, slots=True)
class NativeFile:
    """One file with its path relative to the folder, and its text without a byte order mark.

    ``version`` and ``name`` come from the file's name. A repeatable migration has no version.
    """

    path: str
    version: str | None
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class _Section:
    """The text between one marker line and the next."""

    text: str
    first_line: int
    options: Options


def read_python(file: NativeFile) -> tuple[Script, Script | None]:
    """Return the up and down scripts of a Python file; both have the text of the whole file.

    Raises:
        MigrationFileInvalid: the file is not a valid migration (see `read_python_options`).
    """
    found = read_python_options(file.text, file.path)
    script = Script(
        text=file.text,
        path=file.path,
        first_line=1,
        language=Language.PYTHON,
        options=Options(transaction=found.transaction),
        checksum=text_checksum(file.text),
    )
    down = replace(script, obstacle=found.down_obstacle, is_empty=found.is_down_empty)
    return replace(script, obstacle=found.up_obstacle), down if found.has_down else None


def read_sql(file: NativeFile, variables: Mapping[str, str]) -> tuple[Script, Script | None]:
    """Return the up script and, if there is one, the down script of a file of SQL.

    Raises:
        MigrationFileInvalid: a marker or an option is wrong.
    """
    text, lowered = file.text, file.text.lower()
    filled = variables if _ENV_SWITCH in lowered else None
    if _SIGN not in lowered:
        return _script(file, _Section(text, 1, NO_OPTIONS), filled), None
    sections = _read_sections(file, lowered)
    down = sections.get("down")
    up = sections.get("up")
    if up is None:
        if down is not None:
            raise MigrationFileInvalid(
                f"{file.path} has a down script but no up script.",
                hint="Put -- migrate:up on a line above the up script.",
                file=file.path,
            )
        up = _Section(text, 1, NO_OPTIONS)
    return _script(file, up, filled), None if down is None else _script(file, down, filled)


def _script(file: NativeFile, section: _Section, variables: Mapping[str, str] | None) -> Script:
    """Return a section as a script; without ``variables`` nothing is filled in."""
    substituted = None
    if variables is not None and _ENV_SWITCH in section.text.lower():
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
    """Return the matches of ``_MARKER``. Faster than a search: only lines with ``migrate:`` are tried.

    ``lowered`` is the text in lower case. If its length differs, offsets do too: then search.
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


def _read_sections(file: NativeFile, lowered: str) -> dict[str, _Section]:
    """Divide the text at its up and down markers; each may occur once."""
    markers = [m for m in _find_markers(file.text, lowered) if _is_section(m, file)]
    if markers:
        _refuse_above(file, markers[0].start())
    sections: dict[str, _Section] = {}
    for index, marker in enumerate(markers):
        line = line_of(file.text, marker.start())
        if marker[1] in sections:
            raise MigrationFileInvalid(
                f"{file.path}:{line}: a second -- migrate:{marker[1]}.",
                hint="Split the file into two migrations, or remove the second marker.",
                file=file.path,
                line=line,
            )
        end = markers[index + 1].start() if index + 1 < len(markers) else len(file.text)
        options = _read_options(marker[2], file.path, line)
        if marker[1] == "up" and "down" in sections:
            raise MigrationFileInvalid(
                f"{file.path}:{line}: -- migrate:up is below -- migrate:down.",
                hint="Put the up script first, and check that the two markers are not swapped.",
                file=file.path,
                line=line,
            )
        sections[marker[1]] = _Section(file.text[marker.end() : end], line, options)
    return sections


def _refuse_above(file: NativeFile, first_marker: int) -> None:
    """Refuse everything but comments above the first marker: it would not run."""
    header = file.text[:first_marker]
    if not header or header.isspace():
        return
    from lockgate.core.sql.script import tokenize  # 3 ms, and most files have no header

    lost = next(tokenize(header), None)
    switch = _MARKER.search(header)
    if lost is not None:
        what, line = "there is SQL", line_of(header, lost.start)
    elif switch is not None:
        what, line = f"-- migrate:{switch[1]} is", line_of(header, switch.start())
    else:
        return
    raise MigrationFileInvalid(
        f"{file.path}:{line}: {what} above the first marker.",
        hint="Move it below -- migrate:up. Only comments may be above the first marker.",
        file=file.path,
        line=line,
    )


def _is_section(marker: re.Match[str], file: NativeFile) -> bool:
    directive = marker[1]
    if directive not in _DIRECTIVES:
        line = line_of(file.text, marker.start())
        raise MigrationFileInvalid(
            f"{file.path}:{line}: unknown marker -- migrate:{directive}"
            f"{_suggest(directive.lower(), _DIRECTIVES)}",
            hint="Valid markers: -- migrate:up, -- migrate:down, -- migrate:env on|off,"
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
                f"{path}:{line}: unknown option {word}{_suggest(key, _OPTIONS)}",
                hint=f"Write options as key:value. Valid options: {', '.join(_OPTIONS)}.",
                file=path,
                line=line,
            )
        if key in seen:
            raise MigrationFileInvalid(
                f"{path}:{line}: {key} is set twice.",
                hint="Remove one of them.",
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
            f'{place}: {key} cannot be "{value}"; it takes {accepted}.',
            hint=f"Correct the option on line {line}.",
            file=path,
            line=int(line),
        ) from None


def _suggest(word: str, known: tuple[str, ...]) -> str:
    near = find_similar(word, known)
    return "." if near is None else f"; did you mean {near}?"
