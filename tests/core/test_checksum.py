"""Both checksums are frozen: any change to them would report drift in every database in use.

The vectors are also in ``docs/formats.md``, where `tests/docs/test_formats.py` reads them.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.core.checksum import text_checksum
from lockgate.core.token_checksum import TokenDigest, token_checksum

TABLE = "CREATE TABLE account (id bigint);"

GOLDEN = [
    (
        "",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256-tokens:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    (
        "SELECT 1;",
        "sha256:17db4fd369edb9244b9f91d9aeed145c3d04ad8ba6e95d06247f07a63527d11a",
        "sha256-tokens:21f6040596e4730b81fa8c173244154b0517deec8e96dd3cf16071a3f6bb8027",
    ),
    (
        "select  1 -- one",
        "sha256:c39a5899c1de6e43cb4745954254e8f4c507707886ce1f3b90553ddb1361efe5",
        "sha256-tokens:21f6040596e4730b81fa8c173244154b0517deec8e96dd3cf16071a3f6bb8027",
    ),
    (
        TABLE,
        "sha256:aebdc986c90c0ec9dec2a28f1e4afe800a5512a310aa3adca4227b99ccb8a933",
        "sha256-tokens:9c44bf701c7adef9491ab2b4797458af8977cb3be23f2cc60c2c97e5777def87",
    ),
]


@pytest.mark.parametrize(("text", "text_digest", "token_digest"), GOLDEN)
def test_checksums_of_known_texts_never_change(
    text: str, text_digest: str, token_digest: str
) -> None:
    """The golden vectors match, so checksums in existing histories stay valid."""
    assert (text_digest, token_digest) == (text_checksum(text), token_checksum(text))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffSELECT 1;\nSELECT 2;\n",
        "SELECT 1;\r\nSELECT 2;\r\n",
        "SELECT 1;\rSELECT 2;\r",
        "SELECT 1;\nSELECT 2;",
        "SELECT 1;\nSELECT 2;\n\n\n",
        "\ufeffSELECT 1;\r\nSELECT 2;\r\n\r\n",
    ],
)
def test_text_checksum_of_another_checkout_is_the_same(text: str) -> None:
    """A byte order mark, the kind of line ending and newlines at the end do not change the checksum."""
    assert text_checksum("SELECT 1;\nSELECT 2;\n") == text_checksum(text)


@pytest.mark.parametrize(
    "text", [f"\n{TABLE}", f"{TABLE} ", f"{TABLE}\n\ufeff", TABLE.lower(), f"{TABLE} -- why"]
)
def test_text_checksum_of_any_other_edit_differs(text: str) -> None:
    """Spaces, comments and case change the text checksum."""
    assert text_checksum(TABLE) != text_checksum(text)


@pytest.mark.parametrize(
    "text",
    [
        "create table ACCOUNT (ID bigint)",
        "/* the accounts */ CREATE TABLE account(id bigint);",
        "CREATE TABLE account (\r\n\tid bigint -- the key\r\n);\r\n",
        "\ufeffCREATE TABLE account (id bigint);;",
        "\\restrict abc\nCREATE TABLE account (id bigint);\n\\unrestrict abc\n",
    ],
)
def test_token_checksum_of_layout_edit_is_the_same(text: str) -> None:
    """Comments, space, word case, empty statements and restrict lines keep the token checksum."""
    assert token_checksum(TABLE) == token_checksum(text)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE account (id integer);",
        'CREATE TABLE "account" (id bigint);',
        "CREATE TABLE account (id bigint); SELECT 1;",
        "CREATE TABLE account (id bigint DEFAULT 1);",
        "CREATE TABLE accountid (bigint);",
    ],
)
def test_token_checksum_of_another_meaning_differs(text: str) -> None:
    """Adding, removing or changing a token changes the checksum, as do quotes and word boundaries."""
    assert token_checksum(TABLE) != token_checksum(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT 'a b'", "SELECT 'a  b'"),
        ("SELECT 'A'", "SELECT 'a'"),
        ("SELECT $$ x $$", "SELECT $$ y $$"),
        ('SELECT "A"', 'SELECT "a"'),
        ("COPY t FROM stdin;\n1\n\\.\n", "COPY t FROM stdin;\n2\n\\.\n"),
    ],
)
def test_token_checksum_reads_quoted_text_verbatim(one: str, other: str) -> None:
    """Space and case matter in quoted text and in COPY data."""
    assert token_checksum(one) != token_checksum(other)


ENDINGS = st.sampled_from(["\n", "\r\n", "\r"])


@must_reach(line_ending=20)
@given(st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), ENDINGS)).map("".join))
def test_text_checksum_ignores_line_endings_of_any_text(text: str) -> None:
    """Any text has the same checksum with all three line endings."""
    lines = text.removeprefix("\ufeff").replace("\r", "\n")
    reached("line_ending", when="\n" in lines)
    forms = {text_checksum(lines.replace("\n", ending)) for ending in ("\n", "\r\n", "\r")}
    assert 1 == len(forms)


SCRIPT = """CREATE TABLE t (id int); -- one
INSERT INTO t VALUES (1);
CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;
SELECT 'a'
  'b';
"""


def test_digest_of_a_part_is_that_of_its_text() -> None:
    """The digest after n statements is the token checksum of the text up to there."""
    digest = TokenDigest(SCRIPT)
    ends = ["", "int);", "(1);", "END;", "'b';"]
    expected = [token_checksum(SCRIPT[: SCRIPT.index(end) + len(end)]) for end in ends]
    assert expected == [digest.after(count) for count in range(5)]
    assert expected[1] == digest.after(1)
    assert expected[4] == digest.after()


def test_digest_of_a_part_counts_copy_data() -> None:
    """The digest after a COPY statement includes its data lines."""
    one, other = (TokenDigest(f"SELECT 1;\nCOPY t FROM stdin;\n{x}\n\\.\nSELECT 2;") for x in "ab")
    assert one.after(1) == other.after(1)
    assert one.after(2) != other.after(2)
    assert one.after(2) == token_checksum("SELECT 1;\nCOPY t FROM stdin;\na\n\\.\n")
