"""The exception tree: what callers may rely on."""

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
    """Return every class of the tree but its root, as the module defines them."""
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return [cls for cls in found if issubclass(cls, LockgateError) and cls is not LockgateError]


def test_public_classes_are_the_direct_children_of_the_root() -> None:
    """Their names are in users' state machines: one more is a feature, one less breaks them."""
    assert PUBLIC == {cls.__name__ for cls in LockgateError.__subclasses__()}


@pytest.mark.parametrize("cls", find_classes(), ids=lambda cls: cls.__name__)
def test_public_class_of_every_error_is_public(cls: type[LockgateError]) -> None:
    """A caller never sees a grandchild, and always an ancestor of what was raised."""
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
    """A grandchild goes by its parent's name, the root itself by the one for the unnamed."""
    assert expected is public_class(error)


def test_public_class_of_a_subclass_elsewhere_is_its_parents() -> None:
    """Classes that other modules derive are no part of the public names."""

    class _Local(MigrationFileInvalid):
        pass

    assert RequestRefused is public_class(_Local("x"))


def test_codes_are_unique_and_stable_in_form() -> None:
    """A code is a word with hyphens, and names one class."""
    codes = [cls.code for cls in find_classes()]
    assert sorted(set(codes)) == sorted(codes)
    assert [] == [code for code in codes if re.fullmatch(r"[a-z]+(-[a-z]+)*", code) is None]


def test_every_class_has_a_code_of_its_own() -> None:
    """A code is written at its class, never inherited."""
    assert [] == [cls.__name__ for cls in find_classes() if "code" not in vars(cls)]


def test_error_keeps_message_hint_and_fields() -> None:
    """What a log or a test needs is a field, what a person needs the text."""
    error = RequestRefused("It is wrong.", hint="Fix it.", setting="X")
    expected = ("It is wrong.", "It is wrong.", "Fix it.", {"setting": "X"})
    assert expected == (str(error), error.message, error.hint, error.fields)


def test_file_error_knows_its_place() -> None:
    """File, line and column are attributes; other facts are fields."""
    error = MigrationFileInvalid("x", file="1.sql", line=2, column=3, word="y")
    assert ("1.sql", 2, 3, {"word": "y"}) == (error.file, error.line, error.column, error.fields)
