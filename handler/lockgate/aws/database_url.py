"""Reads a database URL into its parts.

No message quotes any part of the URL: the parser takes half of a password with an unescaped
character for the host, the port or the query, and a message would print it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from lockgate.aws.parts import ConnectionParts, parse_port
from lockgate.core.policy import Tls
from lockgate.errors import SettingInvalid

_SCHEMES = ("postgresql://", "postgres://")
_HINT = (
    "Write postgresql://user:password@host:5432/dbname, with every character of the user and the"
    " password that is not a letter, a digit, - . _ or ~ percent-encoded: @ is %40, / is %2F, % is %25."
    """ To encode: python3 -c 'import urllib.parse; print(urllib.parse.quote(input(), safe=""))'"""
)

# libpq's sslmode (manual, section 32.19.3). The modes not listed here can fall back to less security.
_SSL_MODES = {"disable": Tls.OFF, "require": Tls.REQUIRE, "verify-full": Tls.VERIFY_FULL}

# Parameters of libpq's URLs, and the setting that does the same.
_SETTINGS_INSTEAD = {
    "sslrootcert": "LOCKGATE_CA_FILE",
    "connect_timeout": "LOCKGATE_CONNECT_TIMEOUT",
    "dbname": "LOCKGATE_DBNAME",
    "user": "LOCKGATE_USERNAME",
}


_UNDERSTOOD = ("sslmode", "host", "port")


def is_database_url(text: str) -> bool:
    """Return whether the text is meant as the URL of a PostgreSQL database."""
    return text.strip().lower().startswith(_SCHEMES)


def parse_database_url(text: str, source: str) -> ConnectionParts:
    """Return the parts of a ``postgresql://`` or ``postgres://`` URL, percent-decoded.

    ``source`` is the origin of the URL for messages, such as ``LOCKGATE_DATABASE_URL``.

    Raises:
        SettingInvalid: the text is not such a URL, or it has an unsupported parameter.
    """
    if not is_database_url(text):
        raise _invalid(source, "does not begin with postgresql:// or postgres://")
    parts = _split(text.strip())
    if parts is None or parts.fragment:
        raise _invalid(source, "cannot be read as a URL")
    # In u:1234/word@host the parser takes u for the host and half the password for the database.
    if "@" in parts.path or "/" in parts.path.removeprefix("/"):
        raise _invalid(source, "has an unescaped / or @")
    address = _read_address(parts, source)
    query = _read_query(parts.query, source)
    host, port = _merge_address(address, query, source)
    return ConnectionParts(
        username=_decode(parts.username, source),
        password=_decode(parts.password, source),
        host=host,
        port=port,
        dbname=_decode(parts.path.removeprefix("/"), source),
        tls=_read_tls(query, source),
    )


def _split(text: str) -> SplitResult | None:
    # The parser's own errors quote the text, so none of them may become a cause or a context.
    try:
        return urlsplit(text)
    except ValueError:
        return None


def _read_address(parts: SplitResult, source: str) -> tuple[str | None, int | None]:
    address = parts.netloc.rpartition("@")[2]
    if "," in address:
        raise _invalid(source, "contains several hosts; use only the writer's endpoint")
    host, colon, port_text = address.rpartition(":")
    if address.lower().startswith("%2f"):
        # The folder of a Unix socket, which the parser would turn into lower case.
        return _decode(host if colon else address, source), parse_port(port_text) if colon else None
    if not colon or port_text.endswith("]"):
        return _decode(parts.hostname, source), None
    port = parse_port(port_text) if port_text else None
    if (port_text and port is None) or (":" in host and not host.startswith("[")):
        raise _invalid(source, "has no valid port, or an unescaped character before it")
    return _decode(parts.hostname, source), port


def _decode(part: str | None, source: str) -> str | None:
    if not part:
        return None
    decoded = _unquote(part)
    if decoded is None or "\0" in decoded:
        raise _invalid(source, "has a percent-encoding that is not valid UTF-8")
    return decoded


def _unquote(part: str) -> str | None:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        return None


def _read_query(query: str, source: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _SETTINGS_INSTEAD:
            setting = _SETTINGS_INSTEAD[name]
            hint = f"Remove {name} from the URL, and set {setting} to its value."
            raise _invalid(source, f"has the parameter {name}; set {setting} instead", hint)
        if name not in _UNDERSTOOD:
            hint = f"Keep {', '.join(_UNDERSTOOD)}, and remove every other parameter from the URL."
            raise _invalid(source, "has a parameter other than sslmode, host and port", hint)
        found[name] = value
    return found


def _merge_address(
    address: tuple[str | None, int | None], query: dict[str, str], source: str
) -> tuple[str | None, int | None]:
    """Return host and port, which may be parameters: the only unencoded way to name a socket."""
    host, port = query.get("host") or None, None
    if query.get("port"):
        port = parse_port(query["port"])
        if port is None:
            raise _invalid(
                source, "has no valid port", "Write ?port=5432, or remove the parameter."
            )
    for one, other in zip(address, (host, port), strict=True):
        if one is not None and other is not None and one != other:
            hint = "Write the host and the port either before the database, or after the ?."
            raise _invalid(source, "contains two addresses", hint)
    return _first(address[0], host), _first(address[1], port)


def _first(one: Any, other: Any) -> Any:
    return other if one is None else one


def _read_tls(query: dict[str, str], source: str) -> Tls | None:
    value = query.get("sslmode")
    if value is None:
        return None
    if value not in _SSL_MODES:
        raise _invalid(
            source,
            "has an sslmode other than verify-full, require and disable; allow and prefer fall back to"
            " an unencrypted connection, and verify-ca accepts a certificate of another host",
            "Write ?sslmode=verify-full, with LOCKGATE_CA_FILE for an authority of your own; or"
            " ?sslmode=require to encrypt without verifying; or, on this machine, ?sslmode=disable.",
        )
    return _SSL_MODES[value]


def _invalid(source: str, problem: str, hint: str = _HINT) -> SettingInvalid:
    return SettingInvalid(f"The database URL in {source} {problem}.", hint=hint, source=source)
