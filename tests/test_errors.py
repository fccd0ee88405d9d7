"""The exception tree: the parts that callers may rely on."""

from __future__ import annotations

import re

import pytest

from lockgate import errors
from lockgate.errors import (
    CertificateUntrusted,
    DatabaseBusy,
    LockgateError,
    LockLost,
    MigrationFileInvalid,
    RequestRefused,
    UnexpectedFailure,
    public_class,
)

PUBLIC = {
    "RequestRefused",
    "DriftDetected",
    "DatabaseBusy",
    "MigrationFailed",
    "RunIncomplete",
    "CredentialsRejected",
    "DatabaseUnreachable",
    "UnexpectedFailure",
}


def find_classes() -> list[type[LockgateError]]:
    """Return every class of the tree except its root."""
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return [cls for cls in found if issubclass(cls, LockgateError) and cls is not LockgateError]


def test_public_classes_are_the_direct_children_of_the_root() -> None:
    """The public classes are frozen, because users' state machines name them."""
    assert PUBLIC == {cls.__name__ for cls in LockgateError.__subclasses__()}


@pytest.mark.parametrize("cls", find_classes(), ids=lambda cls: cls.__name__)
def test_public_class_of_every_error_is_public(cls: type[LockgateError]) -> None:
    """Every error has a public class, which is an ancestor of the raised class."""
    found = public_class(cls("x"))
    assert found.__name__ in PUBLIC
    assert issubclass(cls, found)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MigrationFileInvalid("x"), RequestRefused),
        (LockLost("x"), DatabaseBusy),
        (CertificateUntrusted("x"), errors.DatabaseUnreachable),
        (DatabaseBusy("x"), DatabaseBusy),
        (LockgateError("x"), UnexpectedFailure),
    ],
)
def test_public_class_is_the_nearest_one(
    error: LockgateError, expected: type[LockgateError]
) -> None:
    """An error without a public class gets its nearest public ancestor, the root UnexpectedFailure."""
    assert expected is public_class(error)


def test_public_class_of_a_subclass_elsewhere_is_its_parents() -> None:
    """A class derived in another module gets its parent's public class."""

    class _Local(MigrationFileInvalid):
        pass

    assert RequestRefused is public_class(_Local("x"))


def test_codes_are_unique_and_stable_in_form() -> None:
    """Every code is unique and consists of words with hyphens."""
    codes = [cls.code for cls in find_classes()]
    assert sorted(set(codes)) == sorted(codes)
    assert [] == [code for code in codes if re.fullmatch(r"[a-z]+(-[a-z]+)*", code) is None]


def test_every_class_has_its_own_code() -> None:
    """Every class defines its own code."""
    assert [] == [cls.__name__ for cls in find_classes() if "code" not in vars(cls)]


def test_error_keeps_message_hint_and_fields() -> None:
    """An error has message, hint and fields as attributes."""
    error = RequestRefused("It is wrong.", hint="Fix it.", setting="X")
    expected = ("It is wrong.", "It is wrong.", "Fix it.", {"setting": "X"})
    assert expected == (str(error), error.message, error.hint, error.fields)


def test_file_error_has_its_place() -> None:
    """File, line and column are attributes; other facts are fields."""
    error = MigrationFileInvalid("x", file="1.sql", line=2, column=3, word="y")
    assert ("1.sql", 2, 3, {"word": "y"}) == (error.file, error.line, error.column, error.fields)
