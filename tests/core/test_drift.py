"""Differences between history and files: drift, or the work of a newer package."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from lockgate.core.catalog import Catalog, make_catalog
from lockgate.core.checksum import text_checksum
from lockgate.core.drift import Drift, Severity, find_ahead, find_drift
from lockgate.core.history import Applied, History, State
from lockgate.core.migration import Direction, Kind, Language, Migration, Options, Script, Version
from lockgate.core.token_checksum import token_checksum

TABLE = "CREATE TABLE account (id int);"
AT = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class File:
    """A migration on disk: its id, text and language."""

    migration_id: str
    text: str = TABLE
    language: Language = Language.SQL
    down: str | None = None

    @property
    def version(self) -> Version | None:
        """The version, or None for a repeatable migration."""
        is_repeatable = self.migration_id.startswith("R__")
        return None if is_repeatable else Version.parse(self.migration_id)

    @property
    def name(self) -> str:
        """The name in the file name."""
        return self.migration_id.removeprefix("R__") if self.version is None else "x"


def make_files(*files: File) -> Catalog:
    """Return the catalog of these files."""
    return make_catalog([make_migration(file) for file in files], "migrations")


def make_migration(file: File) -> Migration:
    """Return a file as a migration."""
    kind = Kind.REPEATABLE if file.version is None else Kind.VERSIONED
    path = f"{file.migration_id}.sql"
    script = Script(file.text, path, 1, file.language, Options(), text_checksum(file.text))
    down = None
    if file.down is not None:
        checksum = text_checksum(file.down)
        down = Script(file.down, path, 9, file.language, Options(), checksum)
    return Migration(file.version, file.name, kind, script, down)


def make_row(file: File, *, token: int = 1, state: State = State.APPLIED) -> Applied:
    """Return the history row of a file that a run applied."""
    is_sql = file.language is Language.SQL
    return Applied(
        migration_id=file.migration_id,
        version=file.version,
        name=file.name,
        kind=Kind.REPEATABLE if file.version is None else Kind.VERSIONED,
        checksum=text_checksum(file.text),
        token_checksum=token_checksum(file.text) if is_sql else None,
        has_down=False,
        state=state,
        statements_done=1,
        statements_total=1,
        applied_at=AT,
        duration_ms=1,
        run_id="run",
        token=token,
        down_checksum=None if file.down is None else text_checksum(file.down),
    )


def find(catalog: Catalog, *rows: Applied) -> tuple[list[str], list[tuple[str | None, str]]]:
    """Return the ids that are ahead, and the version and severity of each drift."""
    history = History(rows)
    ahead = find_ahead(catalog, history)
    drift = find_drift(catalog, history, ahead)
    return [row.migration_id for row in ahead], [(d.version, d.severity.value) for d in drift]


def test_same_text_is_not_drift() -> None:
    """An applied migration with unchanged text is neither ahead nor drifted."""
    assert ([], []) == find(make_files(File("1"), File("2")), make_row(File("1")))


@pytest.mark.parametrize(
    ("on_disk", "tokens", "expected"),
    [
        # Above everything on disk.
        (["1", "2"], {"1": 1, "2": 1, "3": 1}, (["3"], [])),
        (["9"], {"9": 1, "10": 1}, (["10"], [])),
        # Below the latest on disk, applied by the same or an earlier run: the file was deleted.
        (["1", "3"], {"1": 1, "2": 1, "3": 1}, ([], [("2", "error")])),
        (["1", "3"], {"1": 1, "2": 2, "3": 3}, ([], [("2", "error")])),
        # Below the latest on disk, applied after everything known: from a newer package.
        (["1", "3"], {"1": 1, "3": 1, "2": 2}, (["2"], [])),
        (["1", "3"], {"1": 1, "3": 3, "2": 4, "4": 4}, (["2", "4"], [])),
        # A known repeatable ran in that later run too, so the run is not a newer package's.
        (["1", "3", "R__v"], {"1": 1, "3": 1, "2": 2, "R__v": 2}, ([], [("2", "error")])),
        # Nothing is known: all rows are from a newer package.
        (["5"], {"1": 1, "2": 2}, (["1", "2"], [])),
        (["R__v"], {"1": 1}, (["1"], [])),
        # A repeatable's file may be deleted at any time.
        (["1"], {"R__v": 1, "1": 2}, (["R__v"], [])),
        # Versions are compared as numbers.
        (["0007"], {"7": 1}, ([], [])),
    ],
)
def test_row_without_a_file_is_ahead_or_missing(
    on_disk: list[str],
    tokens: dict[str, int],
    expected: tuple[list[str], list[tuple[str | None, str]]],
) -> None:
    """A row without a file is ahead if a newer package applied it, else its file is missing."""
    rows = [make_row(File(one), token=token) for one, token in tokens.items()]
    assert expected == find(make_files(*map(File, on_disk)), *rows)


@pytest.mark.parametrize(
    ("recorded", "now", "expected"),
    [
        (TABLE, "CREATE TABLE account (id bigint);", [("1", "error")]),
        (TABLE, TABLE + "SELECT 1;", [("1", "error")]),
        (TABLE, "CREATE TABLE account (id int 'broken", [("1", "error")]),
        (TABLE, 'CREATE TABLE "Account" (id int);', [("1", "error")]),
        (TABLE, "-- why\ncreate table ACCOUNT\n( id INT )", [("1", "warning")]),
        (TABLE, f"{TABLE} -- why", [("1", "warning")]),
        (TABLE, f"\ufeff{TABLE}\r\n\r\n", []),
        ("SELECT 'a b';", "SELECT 'a  b';", [("1", "error")]),
        ("SELECT 'a';", "SELECT 'A';", [("1", "error")]),
    ],
)
def test_edit_is_judged_by_its_tokens(
    recorded: str, now: str, expected: list[tuple[str, str]]
) -> None:
    """An edit of tokens is an error, an edit of layout is a warning, another line ending is neither."""
    assert ([], expected) == find(make_files(File("1", now)), make_row(File("1", recorded)))


def test_python_edit_is_always_an_error() -> None:
    """Any edit of a Python file is an error, even of a comment: its effect cannot be determined."""
    before, after = "def up(c): pass\n", "def up(c): pass  # why\n"
    catalog = make_files(File("1", after, Language.PYTHON))
    assert ([], [("1", "error")]) == find(catalog, make_row(File("1", before, Language.PYTHON)))


@pytest.mark.parametrize(
    ("recorded", "now"),
    [(Language.SQL, Language.PYTHON), (Language.PYTHON, Language.SQL)],
)
def test_change_of_language_is_an_error(recorded: Language, now: Language) -> None:
    """Rewriting a migration in the other language is an error."""
    catalog = make_files(File("1", "a = 1\n", now))
    assert ([], [("1", "error")]) == find(catalog, make_row(File("1", "a = 2\n", recorded)))


def test_edited_repeatable_is_not_drift() -> None:
    """A changed repeatable migration is pending, not drifted."""
    catalog = make_files(File("1"), File("R__v", "SELECT 2;"))
    assert ([], []) == find(catalog, make_row(File("1")), make_row(File("R__v", "SELECT 1;")))


def test_broken_migration_can_be_corrected() -> None:
    """The file of a partly applied migration may be edited; deleting it is drift."""
    row = make_row(File("1", "SELECT 1/0;"), state=State.PARTIAL)
    assert ([], []) == find(make_files(File("1"), File("2")), row)
    assert ([], [("1", "error")]) == find(
        make_files(File("0"), File("2")), make_row(File("2")), row
    )


@pytest.mark.parametrize(
    ("recorded", "now", "expected"),
    [
        ("DROP TABLE a;", "DROP TABLE a;\r\n", []),
        ("DROP TABLE a;", "DROP TABLE b;", [Direction.DOWN]),
        ("DROP TABLE a;", None, [Direction.DOWN]),
        (None, "DROP TABLE a;", []),
        (None, None, []),
    ],
)
def test_edit_of_a_down_script_is_a_warning(
    recorded: str | None, now: str | None, expected: list[Direction]
) -> None:
    """An edited down script is a warning: an undo would run the stored script, not the file's."""
    catalog = make_files(File("1", down=now))
    found = find_drift(catalog, History((make_row(File("1", down=recorded)),)), ())
    assert expected == [drift.direction for drift in found]
    assert all(Severity.WARNING == drift.severity for drift in found)


def test_edits_of_both_scripts_are_both_found() -> None:
    """An edited up script is an error and an edited down script a warning; both are reported."""
    catalog = make_files(File("1", "SELECT 2;", down="SELECT 3;"))
    row = make_row(File("1", "SELECT 1;", down="SELECT 1;"))
    assert ([], [("1", "error"), ("1", "warning")]) == find(catalog, row)


def test_down_script_of_a_resumed_migration_can_be_edited() -> None:
    """The down script of a partly applied migration may be edited: it is stored again at completion."""
    row = make_row(File("1", down="SELECT 1;"), state=State.PARTIAL)
    assert ([], []) == find(make_files(File("1", down="SELECT 2;")), row)


def test_edit_of_a_python_file_is_reported_once() -> None:
    """An edited Python file is reported once, because up and down are in one file."""
    before, after = "def up(c): pass\n", "def up(c): ...\n"
    catalog = make_files(File("1", after, Language.PYTHON, down=after))
    row = make_row(File("1", before, Language.PYTHON, down=before))
    assert ([], [("1", "error")]) == find(catalog, row)


def test_drift_of_a_down_script_is_described() -> None:
    """The message names the down script."""
    row = make_row(File("1", down="SELECT 1;"))
    (edited,) = find_drift(make_files(File("1", down="SELECT 2;")), History((row,)), ())
    (gone,) = find_drift(make_files(File("1")), History((row,)), ())
    assert (
        "The down script of migration 1 x was edited after it was applied. 1.sql: history has"
        f" sha256:17db4fd369ed…, the file has {text_checksum('SELECT 2;')[:19]}…."
    ) == edited.describe()
    assert (
        "The down script of migration 1 x was taken out after it was applied. 1.sql: history has"
        " sha256:17db4fd369ed…."
    ) == gone.describe()


def test_drift_of_an_edit_is_described() -> None:
    """The message contains both checksums, shortened."""
    now = "SELECT 2;"
    catalog = make_files(File("0007", now))
    row = make_row(File("0007", "SELECT 1;"))
    (drift,) = find_drift(catalog, History((row,)), ())
    expected = Drift(
        version="0007",
        label="0007 x",
        name="x",
        file="0007.sql",
        recorded=text_checksum("SELECT 1;"),
        actual=text_checksum(now),
        severity=Severity.ERROR,
    )
    assert expected == drift
    assert (
        "Migration 0007 x was edited after it was applied. 0007.sql: history has"
        " sha256:17db4fd369ed…, the file has sha256:"
        f"{text_checksum(now).removeprefix('sha256:')[:12]}…."
    ) == drift.describe()


def test_drift_of_a_layout_edit_is_described() -> None:
    """The message names an edit of layout only."""
    row = make_row(File("1", "SELECT 1;"))
    (drift,) = find_drift(make_files(File("1", "select 1")), History((row,)), ())
    assert drift.describe().startswith(
        "Migration 1 x was edited in layout only after it was applied."
    )


def test_edit_possibly_made_by_a_newer_package_is_a_warning() -> None:
    """If the database is ahead, an edit is a warning: a stack rollback must not fail on a newer text."""
    rows = (make_row(File("1", "SELECT 1;")), make_row(File("2", "SELECT 2;"), token=2))
    catalog = make_files(File("1", "SELECT 0;"))
    ahead = find_ahead(catalog, History(rows))
    (refused,) = find_drift(catalog, History(rows), ahead)
    assert Severity.ERROR == refused.severity
    (drift,) = find_drift(catalog, History(rows), ahead, is_older=True)
    assert Severity.WARNING == drift.severity
    assert drift.describe().startswith(
        "Migration 1 x differs from what was applied; the database is ahead of this package, so"
        " the file may be older. 1.sql: history has sha256:17db4fd369ed…, the file has sha256:"
    )


def test_drift_of_a_missing_file_is_described() -> None:
    """Drift of a missing file has no path and no current checksum."""
    rows = (make_row(File("1", "SELECT 1;")), make_row(File("2")))
    (drift,) = find_drift(make_files(File("2")), History(rows), ())
    assert (None, None) == (drift.file, drift.actual)
    assert (
        "Migration 1 x was applied, and its file is missing. History has sha256:17db4fd369ed…."
    ) == drift.describe()
