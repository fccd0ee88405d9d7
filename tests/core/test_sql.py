r"""Lexer, splitter, classifier and the texts derived from SQL, one theme per block."""

from __future__ import annotations

import pytest

from lockgate.core.sql.script import (
    Control,
    SqlTextInvalid,
    TokenKind,
    Transactionality,
    classify,
    find_own_transaction,
    line_and_column,
    normalize_tokens,
    redact_literals,
    sendable,
    split_statements,
    tokenize,
)


def split(sql: str) -> list[str]:
    """Return the texts of the statements."""
    return [sql[one.start : one.end] for one in split_statements(sql)]


def classes(sql: str) -> list[str]:
    """Return the class of each statement: its control if it has one, else its transactionality."""
    found = [classify(sql, one) for one in split_statements(sql)]
    return [str(one.control or one.transactionality) for one in found]


QUOTES = [
    ("select ';'; x", ["select ';'", "x"]),
    ("select 'it''s; '; x", ["select 'it''s; '", "x"]),
    (r"select 'a\'; x", [r"select 'a\'", "x"]),
    (r"select E'a\';'; x", [r"select E'a\';'", "x"]),
    (r"select e'\\'; x", [r"select e'\\'", "x"]),
    (r"select e'a'';'; x", [r"select e'a'';'", "x"]),
    (r"select name'a\'; x", [r"select name'a\'", "x"]),
    (r"select n'a\'; x", [r"select n'a\'", "x"]),
    (r"select U&'\0041;\'; x", [r"select U&'\0041;\'", "x"]),
    ("select u&';' uescape '!'; x", ["select u&';' uescape '!'", "x"]),
    ("select b'01;', X'1F;'; x", ["select b'01;', X'1F;'", "x"]),
    ("select'a;'from t; x", ["select'a;'from t", "x"]),
    ("select 'a'\n';b'; x", ["select 'a'\n';b'", "x"]),
    ("select 'a' -- ' \n ';b'; x", ["select 'a' -- ' \n ';b'", "x"]),
    ("select E'a'\r\n'\\';'; x", ["select E'a'\r\n'\\';'", "x"]),
    ("select 'a' '\\'; x", ["select 'a' '\\'", "x"]),
    ('select "a;""b"; x', ['select "a;""b"', "x"]),
    ("select U&\"d\\0061;\" uescape '!'; x", ["select U&\"d\\0061;\" uescape '!'", "x"]),
    ('select "it\'s"; x', ['select "it\'s"', "x"]),
    ("select 'say \"'; x", ["select 'say \"'", "x"]),
]


@pytest.mark.parametrize(("sql", "expected"), QUOTES)
def test_split_keeps_a_quoted_semicolon(sql: str, expected: list[str]) -> None:
    """A semicolon in a string or a quoted identifier does not end a statement, whatever the prefix."""
    assert split(sql) == expected


DOLLARS = [
    ("do $$ ; $$; x", ["do $$ ; $$", "x"]),
    ("do $a$ ; $b$ ; $$ ; $a$; x", ["do $a$ ; $b$ ; $$ ; $a$", "x"]),
    ("do $A$ ; $a$ ; $A$; x", ["do $A$ ; $a$ ; $A$", "x"]),
    ("do $é_1$ ; $é_1$; x", ["do $é_1$ ; $é_1$", "x"]),
    ("select a$b$; x", ["select a$b$", "x"]),
    ("select é$b$; x", ["select é$b$", "x"]),
    ("select $1; x", ["select $1", "x"]),
    ("select $1$a$;$a$; x", ["select $1$a$;$a$", "x"]),
    ("select 1$a$;$a$; x", ["select 1$a$;$a$", "x"]),
    ("do $a$ $ab$ $a $a$; x", ["do $a$ $ab$ $a $a$", "x"]),
    ("do $$$ ; $$; x", ["do $$$ ; $$", "x"]),
    ("do $a$;$b$a$; x", ["do $a$;$b$a$", "x"]),
    ("do $$ ' /* \" -- $$; x", ["do $$ ' /* \" -- $$", "x"]),
]


@pytest.mark.parametrize(("sql", "expected"), DOLLARS)
def test_split_finds_the_end_of_a_dollar_quote(sql: str, expected: list[str]) -> None:
    """A dollar quote ends at its own tag, and a dollar sign within a name does not open one."""
    assert split(sql) == expected


COMMENTS = [
    ("-- a;\nselect 1; x", ["select 1", "x"]),
    ("select 1 -- a;\n; x", ["select 1", "x"]),
    ("select 1 -- a;\r; x", ["select 1", "x"]),
    ("/* a; */ select 1 /* ; */; x", ["select 1", "x"]),
    ("/* a /* b; */ c; */ select 1; x", ["select 1", "x"]),
    ("/*/*/ */*/ select 1; x", ["select 1", "x"]),
    ("/***/ select 1; x", ["select 1", "x"]),
    ("/* -- */ select 1; x", ["select 1", "x"]),
    ("/* ' */ select 1; x", ["select 1", "x"]),
    ("/* //* */ */ select 1; x", ["select 1", "x"]),
    ("select 1 /* */ + /* /* */ */ 2; x", ["select 1 /* */ + /* /* */ */ 2", "x"]),
    ("select 1 +-- ;\n 2; x", ["select 1 +-- ;\n 2", "x"]),
    ("select 1 */* ; */ 2; x", ["select 1 */* ; */ 2", "x"]),
    ("select 1 @-/* ; */ 2; x", ["select 1 @-/* ; */ 2", "x"]),
    ("select 'a' /* ' */; x", ["select 'a'", "x"]),
    ("-- only a comment", []),
    ("/* only a comment */ -- and another", []),
]


@pytest.mark.parametrize(("sql", "expected"), COMMENTS)
def test_split_passes_over_comments(sql: str, expected: list[str]) -> None:
    """Comments nest, end operators, and are not part of a statement at its edges."""
    assert split(sql) == expected


EDGES = [
    ("", []),
    (" \t\r\n\f\v", []),
    (";;; ;\n;", []),
    ("select 1", ["select 1"]),
    (";select 1;;select 2;", ["select 1", "select 2"]),
    ("\ufeffselect 1; x", ["select 1", "x"]),
    ("\ufeff", []),
    ("select 1;\r\nx;\rselect 2", ["select 1", "x", "select 2"]),
    ("select\u00a01; x", ["select\u00a01", "x"]),
    (
        "create rule r as on insert to t do (a; b); x",
        ["create rule r as on insert to t do (a; b)", "x"],
    ),
    ("select (1, (2; 3)); x", ["select (1, (2; 3))", "x"]),
    ("select (')', $$)$$ /*)*/); x", ["select (')', $$)$$ /*)*/)", "x"]),
    ("select a[1]; x", ["select a[1]", "x"]),
]


@pytest.mark.parametrize(("sql", "expected"), EDGES)
def test_split_leaves_out_empty_statements(sql: str, expected: list[str]) -> None:
    """Empty statements, white space and the BOM are dropped; semicolons in parentheses do not split."""
    assert split(sql) == expected


HEAD = "create or replace function f(case_ int default case when true then 1 end) returns int"
BODIES = [
    f"{HEAD} begin atomic select 1; select 2; end",
    f"{HEAD} BEGIN /* ; */ ATOMIC select case when true then 1 else 2 end; END",
    f"{HEAD} begin atomic select case when true then case when a then 1 end end; end",
    f"{HEAD} begin atomic select 1 end; select 2 as end; select t.end from t; end",
    f"{HEAD} begin atomic select 1 case; select 2 as begin; end",
    f"{HEAD} begin atomic select (select 'end; '); end",
    f"{HEAD} begin atomic ;; select 1; ; end",
    "create procedure p() begin atomic end",
    "create procedure p() language sql begin atomic insert into t values (1); end",
    "create function begin_atomic() returns int as $$begin; atomic; $$ language plpgsql",
    "create function f() returns text as 'begin atomic' language sql",
    'create function "begin"(begin atomic) returns int return 1',
]


@pytest.mark.parametrize("body", BODIES)
def test_split_keeps_the_body_of_a_routine_together(body: str) -> None:
    """BEGIN ATOMIC ends at an END after a semicolon, not at CASE … END or a column named "end"."""
    assert split(f"{body}; x") == [body, "x"]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("begin; select 1; end; x", ["begin", "select 1", "end", "x"]),
        ("create table begin(atomic int); end; x", ["create table begin(atomic int)", "end", "x"]),
        ("select begin atomic; end; x", ["select begin atomic", "end", "x"]),
    ],
)
def test_split_reads_bodies_only_in_routines(sql: str, expected: list[str]) -> None:
    """Outside CREATE FUNCTION and CREATE PROCEDURE, BEGIN and ATOMIC have no special meaning."""
    assert split(sql) == expected


COPIES = [
    ("copy t from stdin;\n1\t;\n\\.\nx", "1\t;\n"),
    ("COPY t (a, b) FROM STDIN WITH (FORMAT csv);\r\n'\r\n\\.\r\nx", "'\r\n"),
    ("copy t from stdin; -- the data\n(\n\\.\nx", "(\n"),
    ("copy t from stdin;\n\\.\nx", ""),
    ("copy t from /* here */ stdin;\n\\.x\n\\\\.\n\\.\nx", "\\.x\n\\\\.\n"),
    ("copy t from stdout;\n1\n\\.\nx", "1\n"),
    ("copy binary t from stdin;\r1\r\\.\rx", "1\r"),
]


@pytest.mark.parametrize(("sql", "expected"), COPIES)
def test_split_includes_the_data_of_copy(sql: str, expected: str) -> None:
    r"""The data of COPY … FROM STDIN are the lines up to ``\.``, whatever they contain."""
    copy, after = split_statements(sql)
    assert copy.copy_data is not None
    assert expected == sql[slice(*copy.copy_data)]
    assert ("X",) == after.words


@pytest.mark.parametrize(
    "sql",
    [
        "copy t to stdin",
        "copy (select a from stdin) to stdout",
        "copy t from 'stdin'",
        'copy t from "stdin"',
        "copy t from program 'cat'",
        "select * from stdin",
    ],
)
def test_split_includes_no_data_where_none_is_sent(sql: str) -> None:
    """A COPY to the client, from a file or from a query has no data."""
    assert [None] == [one.copy_data for one in split_statements(f"{sql};\n")]


REFUSED = [
    ("select 'a", "unterminated quoted string", 7),
    ("select 'a'\n'b", "unterminated quoted string", 11),
    (r"select E'a\'", "unterminated quoted string", 7),
    ("select u&'a", "unterminated quoted string", 7),
    ("select x'a", "unterminated quoted string", 7),
    ('select "a', "unterminated quoted identifier", 7),
    ('select U&"a', "unterminated quoted identifier", 7),
    ("do $body$ $body", "unterminated dollar-quoted string $body$", 3),
    ("do $$ $a$", "unterminated dollar-quoted string $$", 3),
    ("x /* /* */", "unterminated /* comment", 2),
    ("x /*/", "unterminated /* comment", 2),
    ("select (1; x", "unbalanced parenthesis", 7),
    ("select (1)); x", "unbalanced parenthesis", 10),
    ("x;\n\\set a 1\n", r"psql meta-command \set is not SQL", 3),
    ("select 1 \\gexec\n", r"psql meta-command \gexec is not SQL", 9),
    ("select 1\\; select 2", r"psql meta-command \; is not SQL", 8),
    ("x \\restrict a", r"psql meta-command \restrict is not SQL", 2),
    ("\\restrict\n", r"psql meta-command \restrict is not SQL", 0),
    ("x \\", "psql meta-command \\ is not SQL", 2),
    ("copy t from stdin;\n1\n", r"COPY data without \.", 0),
    ("copy t from stdin", r"COPY data without \.", 0),
    ("copy t from stdin;\n1\n\\. \n", r"COPY data without \.", 0),
    ("copy t from stdin; x\n1\n\\.\n", "COPY data must begin on the line after the statement", 18),
    ("create function f() returns int begin atomic select 1;", "BEGIN ATOMIC without END", 32),
    ("create function f() begin atomic select 1 end; x", "BEGIN ATOMIC without END", 20),
    ("select '\0'", "NUL character", 8),
]


@pytest.mark.parametrize(("sql", "message", "offset"), REFUSED)
def test_split_refuses_what_has_no_end(sql: str, message: str, offset: int) -> None:
    """An unterminated token or a psql command is refused with its position."""
    with pytest.raises(SqlTextInvalid) as refused:
        split_statements(sql)
    assert (message, offset) == (refused.value.message, refused.value.offset)
    assert line_and_column(sql, offset) == (refused.value.line, refused.value.column)


STRING_SETTINGS = [
    "set standard_conforming_strings = off",
    "SET SESSION Standard_Conforming_Strings TO 'off'",
    "set local standard_conforming_strings to false",
    "set standard_conforming_strings = 0",
    "select set_config('standard_conforming_strings', 'off', false)",
    "select pg_catalog.set_config('standard_conforming_strings', 'no', true)",
]


@pytest.mark.parametrize("setting", STRING_SETTINGS)
def test_split_follows_standard_conforming_strings(setting: str) -> None:
    r"""After a statement turns the setting off, ``\'`` does not end a string."""
    sql = rf"select '\'; {setting}; select '\';'; select B'\'; x"
    assert [r"select '\'", setting, r"select '\';'", r"select B'\'", "x"] == split(sql)
    kept = [one.standard_conforming_strings for one in split_statements(sql)]
    assert [True, True, False, False, False] == kept


@pytest.mark.parametrize(
    "setting",
    [
        "set standard_conforming_strings = on",
        "set standard_conforming_strings to default",
        "reset standard_conforming_strings",
        "reset all",
        "discard all",
    ],
)
def test_split_follows_the_setting_back(setting: str) -> None:
    """A later SET, RESET or DISCARD ALL restores the standard."""
    sql = rf"set standard_conforming_strings = off; {setting}; select '\'; x"
    assert [r"select '\'", "x"] == split(sql)[2:]


@pytest.mark.parametrize(
    "setting",
    [
        "set search_path = standard_conforming_strings, off",
        "select 'set standard_conforming_strings = off'",
        "-- set standard_conforming_strings = off\nselect 1",
        "show standard_conforming_strings",
    ],
)
def test_split_is_not_misled_by_the_settings_name(setting: str) -> None:
    """The setting's name alone does not change the setting."""
    assert [r"select '\'", "x"] == split(rf"{setting}; select '\'; x")[1:]


def test_split_starts_with_the_setting_it_is_given() -> None:
    r"""If the session has the setting off, ``\'`` does not end a string from the first one on."""
    sql = r"select '\';'; x"
    kept = split_statements(sql, standard_conforming_strings=False)
    assert [r"select '\';'", "x"] == [sql[one.start : one.end] for one in kept]


def test_split_and_sendable_accept_restrict_lines() -> None:
    r"""Lines with pg_dump's ``\restrict`` are white space to the splitter and are sent as blanks."""
    sql = "\ufeff\\restrict aB1\r\nselect '\n\\restrict x\n';\r\n\\unrestrict aB1\r\n"
    assert ["select '\n\\restrict x\n'"] == split(sql)
    blank = " " * 14
    assert f"{blank}\r\nselect '\n\\restrict x\n';\r\n{' ' * 15}\r\n" == sendable(sql)


@pytest.mark.parametrize(
    "sql", ["select 1;\n", "copy t from stdin;\n\\restrict a\n\\.\n", "x '\n\\restrict a\n'"]
)
def test_sendable_changes_nothing_else(sql: str) -> None:
    """Text without restrict lines, and data that look like them, are sent unchanged."""
    assert sql == sendable(sql)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("create unique index concurrently if not exists i", 5),
        ("Create /* a /* b */ */ Table t (a int)", 3),
        ('alter table "T" add a int', 2),
        ("(select 1)", 0),
        ("select 1", 1),
    ],
)
def test_words_are_the_leading_unquoted_ones(sql: str, expected: int) -> None:
    """A statement has up to five leading words, in upper case."""
    plain = sql.replace("/* a /* b */ */ ", "").upper().split()
    assert tuple(plain[:expected]) == split_statements(sql)[0].words


def test_words_beyond_ascii_are_no_keywords() -> None:
    """The long s is not an S to PostgreSQL, although Python's upper case of it is."""
    assert ("\u017fET", "É") == split_statements("\u017fet É = 1")[0].words


@pytest.mark.parametrize(
    ("sql", "offset", "expected"),
    [
        ("abc", 0, (1, 1)),
        ("a\nb", 2, (2, 1)),
        ("a\r\nb\rc\nd", 7, (4, 1)),
        ("a\r\nb", 2, (1, 3)),
        ("é\n\nüx", 4, (3, 2)),
        ("a\n", 2, (2, 1)),
    ],
)
def test_line_and_column_count_characters(sql: str, offset: int, expected: tuple[int, int]) -> None:
    r"""Lines end at \n, \r\n or \r; line and column count from 1."""
    assert expected == line_and_column(sql, offset)


TOKENS = [
    ("a=-1", "word operator operator number"),
    ("a@-1", "word operator number"),
    ("a<=+-1", "word operator operator operator number"),
    ("1..2", "number punctuation number"),
    ("1.5e-3 .5 1_000 0xFF 0b1 1e", "number number number number number number word"),
    (
        "a.b::c[1]:=$1",
        "word punctuation word punctuation word punctuation number punctuation punctuation parameter",
    ),
    ("E'a' b'1' 'x'\n'y' $$d$$", "string bits string dollar_string"),
    ('"a" u&"b"', "quoted_identifier quoted_identifier"),
    ("(a;b)", "open word semicolon word close"),
    ("{ $", "other other"),
    ("\\gset x", "meta_command word"),
    ("a 'b", "word unfinished"),
    ("a /* b /* */", "word unfinished"),
]


@pytest.mark.parametrize(("sql", "expected"), TOKENS)
def test_tokenize_names_every_token(sql: str, expected: str) -> None:
    """Each token has the kind that PostgreSQL's lexer gives it; the last may be unfinished."""
    assert expected.split() == [str(token.kind) for token in tokenize(sql)]


def test_tokenize_reaches_to_the_end_of_an_unfinished_text() -> None:
    """An unfinished token extends to the end of the text."""
    (word, rest) = tokenize("a 'b c")
    assert (TokenKind.UNFINISHED, 2, 6) == (rest.kind, rest.start, rest.end)
    assert (TokenKind.WORD, 0, 1) == (word.kind, word.start, word.end)


CLASSES = [
    ("create table t (a int)", "shared"),
    ("create index on t (a)", "shared"),
    ('create index "concurrently" on t (a)', "shared"),
    ("create index i on concurrently (a)", "shared"),
    ("create index i on t (a) where b = 'concurrently' -- concurrently", "shared"),
    ("create index concurrently on t (a)", "alone"),
    ("CREATE UNIQUE /* x */ INDEX\nCONCURRENTLY IF NOT EXISTS i ON t (a)", "alone"),
    ("create unique index i on t (a)", "shared"),
    ("drop index i", "shared"),
    ("drop index concurrently if exists i", "alone"),
    ("reindex table t", "shared"),
    ("reindex table concurrently t", "alone"),
    ("reindex (concurrently) table t", "alone"),
    ("reindex (verbose, concurrently on) index i", "alone"),
    ("reindex (concurrently false) table t", "shared"),
    ("reindex (concurrently, concurrently 0) table t", "shared"),
    ("reindex (concurrently 'OFF') table concurrently t", "alone"),
    ('reindex ("concurrently" 1) table t', "alone"),
    ('reindex table "concurrently"', "shared"),
    ("reindex schema s", "alone"),
    ("reindex (verbose) database", "alone"),
    ("reindex system d", "alone"),
    ("vacuum", "alone"),
    ("vacuum (analyze) t", "alone"),
    ("analyze t", "shared"),
    ("cluster", "alone"),
    ("cluster verbose", "alone"),
    ("cluster (verbose)", "alone"),
    ("cluster t using i", "shared"),
    ("cluster verbose t", "shared"),
    ("repack", "alone"),
    ("repack (verbose)", "alone"),
    ("repack using index", "alone"),
    ("repack (verbose) using index", "alone"),
    ("repack t", "shared"),
    ("repack t using index i", "shared"),
    ("repack (verbose) s.t (a, b)", "shared"),
    ('repack "using"', "shared"),
    ("repack (concurrently) t", "alone"),
    ("REPACK (VERBOSE, CONCURRENTLY) t USING INDEX i", "alone"),
    ("repack (concurrently true) t", "alone"),
    ("repack (concurrently 'on') t", "alone"),
    ("repack (concurrently off) t", "shared"),
    ("repack (analyze) t", "alone"),
    ("repack (analyze false, verbose) t", "shared"),
    ("repack/* ; */(concurrently)t", "alone"),
    ("wait for lsn '0/306EE20'", "shared"),
    ("wait for lsn '0/306EE20' with (mode 'primary_flush', timeout '1s', no_throw)", "shared"),
    ("alter table p detach partition s.p1 concurrently", "alone"),
    ("alter table p detach partition p1", "shared"),
    ("alter table p detach partition p1 finalize", "shared"),
    ('alter table p detach partition "concurrently"', "shared"),
    ("create database d", "alone"),
    ("drop database if exists d", "alone"),
    ("alter database d set tablespace s", "alone"),
    ("alter database d with tablespace s", "alone"),
    ("alter database d tablespace s", "alone"),
    ("alter database d set work_mem = '1MB'", "shared"),
    ("alter database tablespace owner to o", "shared"),
    ("create tablespace s location '/d'", "alone"),
    ("drop tablespace s", "alone"),
    ("alter tablespace s owner to o", "shared"),
    ("alter system reset all", "alone"),
    ("create subscription s connection 'c' publication p", "alone"),
    ("create subscription s connection 'c' publication p with (connect = false)", "shared"),
    ("create subscription s connection 'c' publication p with (create_slot = off)", "shared"),
    ("create subscription s connection 'c' publication p with (enabled = false)", "alone"),
    ("alter subscription s refresh publication", "alone"),
    ("alter subscription s set publication p", "alone"),
    ("alter subscription s add publication p with (refresh = false)", "shared"),
    ("alter subscription s set (failover = false)", "alone"),
    ("alter subscription s set (two_phase = false)", "alone"),
    ("alter subscription s set (two_phase)", "shared"),
    ("alter subscription s set (slot_name = none)", "shared"),
    ("alter subscription s disable", "shared"),
    ("drop subscription s", "alone"),
    ("commit prepared 'x'", "alone"),
    ("rollback prepared 'x'", "alone"),
    ("discard all", "alone"),
    ("discard plans", "shared"),
    ("refresh materialized view concurrently v", "shared"),
    ("alter type t add value 'x'", "enum_value"),
    ('alter type s."T" add value if not exists $$x$$ before $$y$$', "enum_value"),
    ("alter type t add attribute value int", "shared"),
    ("alter type t rename value 'a' to 'b'", "shared"),
    ("call p()", "shared"),
    ("do $$begin perform 1; end$$", "shared"),
    ("do $$begin perform 1; commit; end$$", "alone"),
    ("do 'begin if true then rollback and no chain; end if; end'", "alone"),
    ("do language plpgsql E'begin\\ncommit;end'", "alone"),
    ("do $$<<l>> begin loop commit; exit; end loop; end$$ language plpgsql", "alone"),
    ("do $$declare commit int; begin select 1 into commit; end$$", "shared"),
    ("do $$begin raise 'commit;'; -- commit;\nend$$", "shared"),
    ("do $a$begin execute $b$ ; commit; $b$; end$a$", "shared"),
    ("do language plpython3u $$plpy.commit()$$", "alone"),
    ("do language plpython3u $$commit = 1$$", "shared"),
    ("do language pltcl $$\n  commit\n$$", "alone"),
    ("select pg_create_logical_replication_slot('a', 'b')", "alone"),
    ("select 'pg_create_logical_replication_slot'", "shared"),
    ("set search_path = a", "session"),
    ("set session authorization a", "session"),
    ("set role a", "session"),
    ("reset all", "session"),
    ("set local search_path = a", "shared"),
    ("set transaction isolation level serializable", "shared"),
    ("set constraints all deferred", "shared"),
    ("select pg_catalog.set_config('search_path', '', false)", "session"),
    ("select set_config('a.b', 'c', true)", "shared"),
    ("select set_config('a.b', c, false) from t", "shared"),
    ("select set_config('a.b', f(), false)", "shared"),
    ("begin isolation level serializable", "begin"),
    ("start transaction", "begin"),
    ("commit work", "commit"),
    ("end", "commit"),
    ("commit and no chain", "commit"),
    ("commit and chain", "chain"),
    ("rollback", "rollback"),
    ("abort transaction", "rollback"),
    ("rollback work and chain", "chain"),
    ("rollback to s", "savepoint"),
    ("rollback transaction to savepoint s", "savepoint"),
    ("savepoint s", "savepoint"),
    ("release s", "savepoint"),
    ("prepare transaction 'x'", "prepare"),
    ("prepare transaction as select 1", "shared"),
    ("prepare p as select 1", "shared"),
    ("(select 1)", "shared"),
]


@pytest.mark.parametrize(("sql", "expected"), CLASSES)
def test_classify_reads_the_tokens(sql: str, expected: str) -> None:
    """The class of a statement depends on its tokens, not on words in quotes or comments."""
    assert [expected] == classes(sql)


def test_classify_gives_the_reason_why_a_statement_runs_alone() -> None:
    """The reason is PostgreSQL's own sentence."""
    sql = "create unique index concurrently on t (a)"
    found = classify(sql, split_statements(sql)[0])
    assert Transactionality.ALONE is found.transactionality
    assert "CREATE INDEX CONCURRENTLY cannot run inside a transaction block" == found.reason
    assert found.control is None


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("begin; create table t (); commit;", (0, 2)),
        ("start transaction; end", (0, 1)),
        ("set a.b = 1; begin; savepoint s; rollback to s; commit; reset all", (1, 4)),
        ("begin; create table t (); commit; select 1", None),
        ("select 1; begin; commit", None),
        ("begin; commit; begin; commit", None),
        ("begin; rollback", None),
        ("begin; commit and chain; commit", None),
        ("begin; prepare transaction 'x'", None),
        ("begin; select 1", None),
        ("commit; begin", None),
        ("select 1", None),
        ("", None),
    ],
)
def test_own_transaction_finds_one_wrapper(sql: str, expected: tuple[int, int] | None) -> None:
    """A script has its own transaction if only session settings are outside its one BEGIN … COMMIT."""
    found = [classify(sql, one) for one in split_statements(sql)]
    assert expected == find_own_transaction(found)


def test_control_has_a_word_for_every_kind() -> None:
    """The names of the controls are frozen, because plans and reports contain them."""
    expected = ["begin", "commit", "rollback", "chain", "savepoint", "prepare"]
    assert expected == [str(one) for one in Control]


REDACTIONS = [
    ("select  'secret',\n 5, 1.5e3, x'1f' -- 'c'\n from \"T\"", 'select ?, ?, ?, ? from "T"'),
    ("alter role r password $$secret$$", "alter role r password ?"),
    ("select E'it\\'s' 'x'", "select ? ?"),
    ("update t set a = 'sec", "update t set a = ?"),
    ("do $body$ secret", "do ?"),
    ('select "sec', "select ?"),
    ("select 1 /* sec", "select ? ?"),
    ("select $1, a-1", "select $1, a-?"),
    (r"select a, 'it\'s secret', b from t", "select a, …"),
    (r"select a, E'\'', b from t", "select a, ?, b from t"),
    ("\\copy t (", "\\copy t ("),
    ("", ""),
]


@pytest.mark.parametrize(("sql", "expected"), REDACTIONS)
def test_redact_shows_no_literal(sql: str, expected: str) -> None:
    """Literals become question marks, even if the text is cut off or the string setting is unknown."""
    assert expected == redact_literals(sql)


SAME_STREAM = [
    ("SELECT a FROM t", "select A -- c\n from/* /* */ */T;;\n"),
    ("select a=-1", "select a = - 1"),
    ("create table t (a int);", "\ufeffcreate table t(a int)\r\n"),
    ("\\restrict a\nselect 1;\n\\unrestrict a\n", "\\restrict b\nselect 1;\n\\unrestrict b\n"),
]


@pytest.mark.parametrize(("one", "other"), SAME_STREAM)
def test_spell_tokens_is_blind_to_layout(one: str, other: str) -> None:
    """Case of words, comments, space and a final semicolon do not change the normalized tokens."""
    assert normalize_tokens(one) == normalize_tokens(other)


OTHER_STREAM = [
    ("select 'a'", "select 'A'"),
    ('select "a"', "select a"),
    ("select É", "select é"),
    ("select a; b", "select a b"),
    ("select a : : b", "select a::b"),
    ("do $$a -- b\n$$", "do $$a $$"),
    ("copy t from stdin;\n1\n\\.\n", "copy t from stdin;\n2\n\\.\n"),
]


@pytest.mark.parametrize(("one", "other"), OTHER_STREAM)
def test_spell_tokens_sees_a_change(one: str, other: str) -> None:
    """Strings, quoted identifiers, bodies, COPY data and statement boundaries change them."""
    assert normalize_tokens(one) != normalize_tokens(other)


def test_normalized_text_contains_each_token_once() -> None:
    """The normalized text is frozen, because stored checksums depend on it."""
    sql = "INSERT INTO T VALUES (E'A', 1.50) -- c\n; copy T from STDIN;\n1\tX\n\\.\n"
    expected = ["insert", "into", "t", "values", "(", "E'A'", ",", "1.50", ")", ";"]
    expected += ["copy", "t", "from", "stdin", ";", "1\tX\n"]
    assert "".join(f"{one}\0" for one in expected) == normalize_tokens(sql)
