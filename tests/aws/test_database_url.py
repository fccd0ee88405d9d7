"""A database URL is read as libpq reads it, or refused without quoting it."""

from __future__ import annotations

import traceback
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.aws.database_url import parse_database_url
from lockgate.aws.parts import ConnectionParts
from lockgate.core.policy import Tls
from lockgate.errors import SettingInvalid

WORD = "hunter2"
SSLMODE_REFUSED = (
    "has an sslmode other than verify-full, require and disable; allow and prefer fall back to an"
    " unencrypted connection, and verify-ca accepts a certificate of another host"
)

# Without NUL, which PostgreSQL rejects, and lone surrogates, which UTF-8 cannot encode.
URL_ENDS = st.tuples(
    st.text(max_size=3),
    st.sampled_from(["@h/d", "@h:1/d", "@/d", "@[::1]/d", "@h/d?sslmode=require"]),
).map("".join)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
# Including text that looks percent-encoded.
texts |= st.text("%2541:@/é", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://app:pw@db.example:6543/orders",
            ConnectionParts("app", "pw", "db.example", 6543, "orders"),
        ),
        ("postgres://app@db.example", ConnectionParts("app", None, "db.example")),
        ("postgres://app:@db.example:/", ConnectionParts("app", None, "db.example")),
        ("postgresql:///orders", ConnectionParts(dbname="orders")),
        (
            "postgresql://u%40corp:p%2Fw%3A@[::1]:5433/my%20db",
            ConnectionParts("u@corp", "p/w:", "::1", 5433, "my db"),
        ),
        ("postgresql://app@[::1]/orders", ConnectionParts("app", None, "::1", None, "orders")),
        ("postgresql:///d?host=/srv/Pg", ConnectionParts(host="/srv/Pg", dbname="d")),
        ("postgresql://a@/d?host=/srv&port=1", ConnectionParts("a", None, "/srv", 1, "d")),
        ("postgresql://a@%2Fsrv%2FPg:7/d", ConnectionParts("a", None, "/srv/Pg", 7, "d")),
        ("postgresql://a@%2fsrv/d", ConnectionParts("a", None, "/srv", None, "d")),
        ("postgresql:///d?host=db.example", ConnectionParts(host="db.example", dbname="d")),
        ("postgresql://a@h?sslmode=disable", ConnectionParts("a", None, "h", tls=Tls.OFF)),
        ("postgresql://a@h/?sslmode=require", ConnectionParts("a", None, "h", tls=Tls.REQUIRE)),
        (
            "  POSTGRESQL://a@h?sslmode=verify-full\n",
            ConnectionParts("a", None, "h", tls=Tls.VERIFY_FULL),
        ),
    ],
)
def test_url_is_read_into_its_parts(url: str, expected: ConnectionParts) -> None:
    """All parts of the URL are decoded, and missing parts are None."""
    assert expected == parse_database_url(url, "LOCKGATE_DATABASE_URL")


@must_reach(reserved=5, beyond_ascii=20)
@given(user=texts, password=texts, dbname=texts)
def test_encoded_parts_come_back_as_they_were(user: str, password: str, dbname: str) -> None:
    """Any percent-encoded text is decoded to the same text."""
    encoded = [quote(part, safe="") for part in (user, password, dbname)]
    url = f"postgresql://{encoded[0]}:{encoded[1]}@db.example:5432/{encoded[2]}"
    reached("reserved", when=set(user + password + dbname) & set("/?#[]@:%+"))
    reached("beyond_ascii", when=not (user + password + dbname).isascii())
    expected = ConnectionParts(user, password, "db.example", 5432, dbname)
    assert expected == parse_database_url(url, "here")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"mysql://app:{WORD}@h/d", "does not begin with postgresql:// or postgres://"),
        (f"postgresql://app:{WORD}#x@h/d", "cannot be read as a URL"),
        (f"postgresql://app:[{WORD}@h/d", "cannot be read as a URL"),
        (f"postgresql://app:{WORD}\u2100@h/d", "cannot be read as a URL"),
        (f"postgresql://app:{WORD}/x@h/d", "has an unescaped / or @"),
        (
            f"postgresql://app:{WORD}?x",
            "has no valid port, or an unescaped character before it",
        ),
        (f"postgresql://app:1234/{WORD}@h/d", "has an unescaped / or @"),
        (f"postgresql://a:b@h/d/{WORD}", "has an unescaped / or @"),
        (f"postgresql://a:b@h:{WORD}/d", "has no valid port, or an unescaped character before it"),
        ("postgresql://a:b@h:70000/d", "has no valid port, or an unescaped character before it"),
        ("postgresql://a:b@::1:5432/d", "has no valid port, or an unescaped character before it"),
        (f"postgresql://a:{WORD}%ff@h/d", "has a percent-encoding that is not valid UTF-8"),
        (f"postgresql://a:{WORD}%00@h/d", "has a percent-encoding that is not valid UTF-8"),
        ("postgresql://a:b@h1,h2/d", "contains several hosts; use only the writer's endpoint"),
        (f"postgresql://a:b@h/d?{WORD}=1", "has a parameter other than sslmode, host and port"),
        (
            f"postgresql://a@h?user=b&password={WORD}",
            "has the parameter user; set LOCKGATE_USERNAME instead",
        ),
        (
            "postgresql://a@h/d?sslrootcert=x",
            "has the parameter sslrootcert; set LOCKGATE_CA_FILE instead",
        ),
        *(
            (f"postgresql://a:{WORD}@h/d?sslmode={mode}", SSLMODE_REFUSED)
            for mode in ("allow", "prefer", "verify-ca", "", WORD)
        ),
    ],
)
def test_url_that_cannot_be_honoured_is_refused_unquoted(url: str, problem: str) -> None:
    """Neither the message nor a traceback contains any part of the URL."""
    with pytest.raises(SettingInvalid) as caught:
        parse_database_url(url, "LOCKGATE_DATABASE_URL")
    expected = f"The database URL in LOCKGATE_DATABASE_URL {problem}."
    assert expected == str(caught.value)
    assert WORD not in "".join(traceback.format_exception(caught.value)).replace(repr(url), "")
    assert caught.value.__context__ is None


@must_reach(read=5, refused=5)
@given(st.one_of(st.text(max_size=60), st.text("@:/?#[]%h1=&", max_size=12), URL_ENDS))
def test_any_url_is_read_or_refused_unquoted(rest: str) -> None:
    """Any text after the password is read or refused, and the password is never shown."""
    try:
        shown = repr(parse_database_url(f"postgresql://app:{WORD}{rest}", "here"))
        reached("read")
    except SettingInvalid as error:
        shown = f"{error} {error.__context__}"
        reached("refused")
    assert WORD not in shown


@pytest.mark.parametrize(
    ("url", "hint", "followed"),
    [
        ("a:p@h/d?sslmode=prefer", "Write ?sslmode=verify-full", "a:p@h/d?sslmode=verify-full"),
        (
            "a:p@h/d?sslmode=verify-ca",
            "?sslmode=require to encrypt without verifying",
            "a:p@h/d?sslmode=require",
        ),
        ("a:p@h/d?connect_timeout=3", "Remove connect_timeout from the URL, and set", "a:p@h/d"),
        ("a:p@h/d?target_session_attrs=any", "Keep sslmode, host, port, and remove", "a:p@h/d"),
        ("a:p/q@h/d", "percent-encoded: @ is %40, / is %2F, % is %25.", "a:p%2Fq@h/d"),
        ("a:%zz%ff@h/d", "To encode: python3 -c 'import urllib.parse;", "a:%25zz%25ff@h/d"),
        ("a:p@h/d?host=/srv", "Write the host and the port either before", "a:p@/d?host=/srv"),
    ],
)
def test_hint_gives_a_url_that_works(url: str, hint: str, followed: str) -> None:
    """The hint is about the part of the URL that was wrong, and the corrected URL is read."""
    with pytest.raises(SettingInvalid) as caught:
        parse_database_url(f"postgresql://{url}", "LOCKGATE_DATABASE_URL")
    assert hint in (caught.value.hint or "")
    parse_database_url(f"postgresql://{followed}", "LOCKGATE_DATABASE_URL")
