"""Properties of the splitter: compared with libpg_query's parser, with itself, and in time."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import postgast
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.core.sql.script import (
    SqlTextInvalid,
    Statement,
    normalize_tokens,
    redact_literals,
    sendable,
    split_statements,
    tokenize,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# The oracle is `postgast.split(method="parser")`, the server's own grammar. The "scanner" is not
# used: it splits BEGIN ATOMIC bodies at their semicolons and drops statements. Known differences:
#
# * The parser refuses invalid SQL, so the oracle's statements are valid.
# * Its pieces include a comment in front of a statement, so token texts are compared.
# * It does not support psql's COPY data, \restrict or a BOM, so these texts contain none.
# * It always reads strings with standard_conforming_strings on, so no text turns it off.
# * It refuses a string that continues after a line comment ('a' -- x, newline, 'b'): its lexer
#   turns comments into tokens. Servers 14 to 18 read one string. See BEYOND_THE_ORACLE.
# * Deep nesting crashes its process, so expressions here are shallow.

BEYOND_THE_ORACLE = "'a' -- '\n  ';b'"

SPACES = st.sampled_from(
    [" ", "\n", "\t", "\r\n", "\r", " -- ; ' $$ (\n", " -- \r", " /* ; ' */ ", "/* /* ; */ ' */"]
)
STRINGS = st.sampled_from(
    [
        "';'",
        "''''",
        "'\\'",
        "'--'",
        "'/*'",
        "'(\n'",
        "'$$'",
        "E'\\';'",
        "e'\\\\'",
        "E';'''",
        "U&'\\0041;'",
        "N';\\'",
        "B'01'",
        "X'1F'",
        "'a'\n';b'",
        BEYOND_THE_ORACLE,
        "E'a'\r'\\';'",
        "$$;'$$",
        "$a$ $b$ ; $$ $a$",
        "$é$;$é$",
        "$_1$(;$_1$",
        "$$$a;$$",
    ]
)
ATOMS = st.one_of(
    STRINGS,
    st.sampled_from(
        [
            "1",
            "1.5e3",
            ".5",
            "a",
            'a."b;"',
            'U&"d\\0061;"',
            "é$b$",
            "a$b",
            "$1",
            "CASE WHEN true THEN 1 END",
            "(SELECT ';')",
            "ARRAY[1,2]",
            "a::text",
            "1 AS end",
            "1 end",
            "t.end",
        ]
    ),
)
OPERATORS = st.sampled_from([",", "  ,", "\n,"])


@st.composite
def queries(draw: st.DrawFn) -> str:
    """Return a SELECT made of everything that can hide a semicolon."""
    items = draw(st.lists(ATOMS, min_size=1, max_size=4))
    text = "SELECT"
    for place, item in enumerate(items):
        comma = draw(OPERATORS) if place else ""
        text += comma + draw(SPACES) + item
    return text + draw(st.sampled_from(["", " FROM t", "/* ; */", " -- ;\n"]))


@st.composite
def routines(draw: st.DrawFn) -> str:
    """Return a function with a body in one of its three forms."""
    create = draw(st.sampled_from(["CREATE", "create or replace", "CREATE/*;*/"]))
    kind = draw(st.sampled_from(["FUNCTION f() RETURNS int", "PROCEDURE p(a int)"]))
    inner = draw(st.lists(queries(), min_size=1, max_size=3))
    body = draw(
        st.sampled_from(
            [
                "BEGIN ATOMIC " + "".join(f"{one};\n" for one in inner) + "END",
                "begin" + draw(SPACES) + "atomic " + "".join(f"{one};" for one in inner) + " end",
                "LANGUAGE plpgsql AS $f$BEGIN ATOMIC; END; $f$",
                "LANGUAGE sql AS 'SELECT 1; BEGIN ATOMIC'",
            ]
        )
    )
    return f"{create} {kind} {body}"


STATEMENTS = st.one_of(
    queries(),
    routines(),
    st.sampled_from(
        [
            "BEGIN",
            "END",
            "COMMIT",
            "DO $do$BEGIN PERFORM ';'; END$do$",
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT ';')",
            "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM u; NOTIFY x;)",
            "COPY t TO STDOUT",
            "CREATE TABLE begin (atomic int, \"end\" text DEFAULT ';')",
            "COMMENT ON TABLE t IS E'\\';'",
            "INSERT INTO t VALUES (1, $$;$$), (2, ')')",
            "SELECT 1 *-/* ; */ 2",
            "SELECT 1 <>--;\n 2",
        ]
    ),
)
SCRIPTS = st.lists(st.tuples(STATEMENTS, st.sampled_from([";", ";;", "; -- ;\n", "\n;/* ; */"])))


def join(parts: list[tuple[str, str]]) -> str:
    """Join statements and separators to a script."""
    return "".join(f"{text}\n{end}" for text, end in parts)


def note_reach(parts: list[tuple[str, str]]) -> None:
    """Count the difficult scripts: several statements, semicolons within one, routines."""
    reached("several", when=len(parts) > 1)
    reached("hidden", when=any(";" in text for text, _ in parts))
    reached("routine", when=any("atomic" in text.lower() for text, _ in parts))


def spell(sql: str) -> list[str]:
    """Return the tokens' texts."""
    return [sql[token.start : token.end] for token in tokenize(sql)]


@must_reach(several=20, hidden=20, routine=10)
@given(SCRIPTS.filter(lambda parts: BEYOND_THE_ORACLE not in join(parts)))
@settings(max_examples=300)
def test_split_equals_the_parsers_split(parts: list[tuple[str, str]]) -> None:
    """Valid SQL is split where PostgreSQL's own grammar splits it."""
    sql = join(parts)
    ours = [spell(sql[one.start : one.end]) for one in split_statements(sql)]
    note_reach(parts)
    assert ours == [spell(text) for text in postgast.split(sql, method="parser")]


@must_reach(several=20, hidden=20, routine=10)
@given(SCRIPTS)
@settings(max_examples=200)
def test_split_returns_what_was_joined(parts: list[tuple[str, str]]) -> None:
    """Each statement is returned with its own tokens, in order."""
    sql = join(parts)
    ours = [spell(sql[one.start : one.end]) for one in split_statements(sql)]
    note_reach(parts)
    assert ours == [spell(text) for text, _ in parts]


@must_reach(several=20, hidden=20, routine=10)
@given(SCRIPTS)
@settings(max_examples=200)
def test_pieces_give_the_text_back(parts: list[tuple[str, str]]) -> None:
    """Only semicolons, space and comments are between the statements."""
    sql = join(parts)
    position, between = 0, ""
    for one in split_statements(sql):
        assert position <= one.start < one.end
        between += sql[position : one.start] + "\n"
        position = one.end
    between += sql[position:]
    note_reach(parts)
    assert {";"} >= set(spell(between))


NASTY = st.lists(
    st.sampled_from(
        [
            *"'\"$();\\-/*\n\r \t\0\v.,:[]{}+=@",
            "''",
            "$$",
            "$a$",
            "/*",
            "*/",
            "--",
            "E'",
            "U&'",
            'U&"',
            "B'",
            "\\'",
            "\\.\n",
            "\\restrict a\n",
            "\ufeff",
            "begin",
            "atomic",
            "end",
            "case",
            "create function f ",
            "copy t from stdin;\n",
            "set standard_conforming_strings=off;",
            "do ",
            "reindex (concurrently",
            "select set_config(",
            "é",
            "1",
            "1.",
            "0x",
            "$1",
            "a$b",
        ]
    ),
    max_size=30,
).map("".join)
# Mostly text that can be split: random characters are nearly always one statement or refused.
DECENT = st.lists(
    st.sampled_from(
        [
            *(
                "SELECT ';'",
                ";",
                ";\n",
                " ",
                "\n",
                "-- ;\n",
                "/* ; */",
                "\ufeff",
                "E'\\';'",
                "$a$;$a$",
            ),
            *("COPY t FROM STDIN;\n1\t2\n\\.\n", "COPY t FROM STDIN;\n\\.\n", "BEGIN", "COMMIT"),
            *(
                "\\restrict a\n",
                "\\unrestrict a\n",
                "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END",
            ),
            *("DO $$;$$", "set standard_conforming_strings = off;", "'\\';'", "(", ")", "a", "1"),
        ]
    ),
    max_size=12,
).map("".join)
# Text that is not sent as it is, with anything after it.
CUT_OUT = st.tuples(
    st.sampled_from(["COPY t FROM STDIN;\n1\t2\n\\.\n", "\\restrict a\n", "a;\n\\unrestrict a\n"]),
    st.sampled_from(["", "b", "b; c;", "-- ;\n", "'x';"]) | DECENT,
).map("".join)
ANYTHING = st.one_of(NASTY, DECENT, CUT_OUT, st.text(max_size=60))


@must_reach(refused=5, several=4, copy_data=2)
@given(ANYTHING)
@settings(max_examples=1000)
def test_split_refuses_or_places_every_statement(sql: str) -> None:
    """Any text gives either one error with a position in the text, or statements in order."""
    found: tuple[Statement, ...] = ()
    offset = 0
    try:
        found = split_statements(sql)
    except SqlTextInvalid as refused:
        offset = refused.offset
        reached("refused")
    reached("several", when=len(found) > 1)
    reached("copy_data", when=any(one.copy_data for one in found))
    assert 0 <= offset <= len(sql)
    places = [place for one in found for place in (one.start, one.end, *(one.copy_data or ()))]
    assert places == sorted(places)


@must_reach(statement=15, changed=3)
@given(ANYTHING)
@settings(max_examples=500)
def test_sendable_keeps_every_offset(sql: str) -> None:
    """The text to send has the same length and the same statements."""
    with suppress(SqlTextInvalid):
        found = split_statements(sql)
        reached("statement", when=found)
        reached("changed", when=sendable(sql) != sql)
        assert found == split_statements(sendable(sql))
        assert normalize_tokens(sql) == normalize_tokens(sendable(sql))


@must_reach(several=30, gap=4)
@given(ANYTHING, st.booleans())
@settings(max_examples=1000)
def test_tokens_cover_the_text(sql: str, strings: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
    """Tokens are in order and not empty, and only space and comments are between them."""
    end = 0
    for token in tokenize(sql, standard_conforming_strings=strings):
        gap = sql[end : token.start].lstrip("\ufeff").strip(" \t\n\r\f\v")
        reached("several", when=end)
        reached("gap", when=gap)
        assert gap == "" or gap.startswith(("--", "/*", "\\restrict", "\\unrestrict"))
        assert token.end > token.start >= end
        end = token.end


@must_reach(hidden=30)
@given(ANYTHING)
@settings(max_examples=500)
def test_redact_never_raises(sql: str) -> None:
    """Any text can be redacted, and grows by no more than the mark of the omitted part."""
    shown = redact_literals(sql)
    reached("hidden", when=shown != sql)
    assert len(shown) <= len(sql) + len(" …")


@must_reach(quote=8, backslash=8)
@given(st.lists(st.sampled_from("abc'\\;\n \"$-"), max_size=12).map("".join))
@settings(max_examples=300)
def test_redact_hides_quoted_text(text: str) -> None:
    """A secret is never shown, with any quoting, cut off at any place, and with any string setting."""
    quoted = text.replace("'", "''")
    reached("quote", when="'" in text)
    reached("backslash", when="\\" in text)
    for literal in (f"'{quoted}SECRET{quoted}'", f"$q${text}SECRET{text}$q$"):
        query = f"select a from t where b = {literal} and c = 1"
        for length in range(len(query) + 1):
            assert "SECRET" not in redact_literals(query[:length])


LARGE = 500_000
SLOW = [
    "'",
    '"',
    "(",
    "/*",
    "*/",
    "$a$",
    "$",
    "$a$ $",
    "e'",
    "E'\\",
    "'a'\n",
    "'\n--\n",
    "--\n",
    "/* /* */ */",
    "/**",
    "/",
    "+",
    "+-",
    " ",
    ";",
    "\\restrict a\n",
    "1_",
    "1.",
    "$1$",
    "a.",
    "copy t from stdin;\n\\.\n",
    "(;)",
    "a -- b\n",
    "a /* b */ ",
    "create function f() begin atomic select 1;end;",
    "create function f() begin atomic;",
    "create function f() atomic;",
    "set standard_conforming_strings=off;",
    "do $$commit;$$;",
]
READERS: list[Callable[[str], object]] = [split_statements, redact_literals, normalize_tokens]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fragment", SLOW)
def test_reading_takes_linear_time(reader: Callable[[str], object], fragment: str) -> None:
    """Eight times the text takes about eight times as long, even if nothing in it is closed."""
    small = fragment * (LARGE // 8 // len(fragment))
    large = small * 8

    def measure(text: str) -> float:
        start = time.process_time()
        with suppress(SqlTextInvalid):
            reader(text)
        return time.process_time() - start

    assert measure(large) < 24 * measure(small) + 0.1
