"""A database of a test's own, and plain connections to it that share no code with Lockgate."""

from __future__ import annotations

import functools
import secrets
import socket
import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pg8000.native

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lockgate.local.server import EmbeddedServer


@dataclass(frozen=True, slots=True)
class Database:
    """Where a test's database is, and how to look into it from outside."""

    server: EmbeddedServer = field(repr=False)
    name: str
    _opened: list[pg8000.native.Connection] = field(default_factory=list, repr=False)

    @property
    def host(self) -> str:
        """The server's address."""
        return self.server.host

    @property
    def port(self) -> int:
        """The server's port."""
        return self.server.port

    @property
    def user(self) -> str:
        """The superuser."""
        return self.server.user

    @property
    def password(self) -> str:
        """The superuser's password."""
        return self.server.password

    @property
    def ca_file(self) -> Path:
        """What to verify the server with."""
        assert self.server.ca_file is not None
        return self.server.ca_file

    @property
    def url(self) -> str:
        """The address, with the password in it; the CA file is `environment`'s."""
        return self.server.url(self.name)

    @property
    def environment(self) -> dict[str, str]:
        """The settings that point Lockgate here: LOCKGATE_DATABASE_URL and LOCKGATE_CA_FILE."""
        return self.server.lockgate_environment(self.name)

    def connect(
        self, *, user: str | None = None, password: str | None = None
    ) -> pg8000.native.Connection:
        """Return a new autocommit connection over verified TLS; the fixture closes it."""
        connection = open_connection(self.server, self.name, user=user, password=password)
        self._opened.append(connection)
        return connection

    def run(self, sql: str, **parameters: Any) -> list[list[Any]]:
        """Run SQL on a connection of its own and return its rows.

        Without parameters the text goes verbatim in one message, as many statements as it has.
        """
        connection = open_connection(self.server, self.name)
        try:
            rows: list[list[Any]] | None = connection.run(sql, **parameters)
        finally:
            connection.close()
        return rows or []

    def dump(self, *, without: tuple[str, ...] = ("lockgate",)) -> str:
        """Return the whole schema as SQL, Lockgate's own left out unless asked for."""
        return self.server.dump_schema(self.name, exclude_schemas=without)

    def close(self) -> None:
        """Close what `connect` opened, also where the server has hung up."""
        for connection in self._opened:
            # Closed by the test already, or by a server that was restarted.
            with suppress(pg8000.native.InterfaceError):
                connection.close()


def open_connection(
    server: EmbeddedServer,
    dbname: str,
    *,
    user: str | None = None,
    password: str | None = None,
) -> pg8000.native.Connection:
    """Connect over verified TLS.

    The socket is made here for TCP_NODELAY (a connect takes 10 ms instead of 50), and to be closed
    when the server says no, which pg8000 leaves to the garbage collector.
    """
    assert server.ca_file is not None
    plain = socket.create_connection((server.host, server.port), timeout=30)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    kept = _KeepSocket(_trust(server.ca_file))
    try:
        connection = pg8000.native.Connection(
            user or server.user,
            password=server.password if password is None else password,
            host=server.host,
            database=dbname,
            ssl_context=kept,
            sock=plain,
        )
    except BaseException:
        kept.close()
        plain.close()
        raise
    kept.wrapped_socket.settimeout(None)
    return connection


class _KeepSocket:
    """An SSL context that remembers the socket it wrapped."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._wrapped: ssl.SSLSocket | None = None

    @property
    def wrapped_socket(self) -> ssl.SSLSocket:
        assert self._wrapped is not None
        return self._wrapped

    def wrap_socket(self, sock: socket.socket, *, server_hostname: str) -> ssl.SSLSocket:
        self._wrapped = self._context.wrap_socket(sock, server_hostname=server_hostname)
        return self._wrapped

    def close(self) -> None:
        if self._wrapped is not None:
            self._wrapped.close()


@functools.cache
def _trust(ca_file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file))


@contextmanager
def temporary_database(
    server: EmbeddedServer, *, template: str = "template0"
) -> Iterator[Database]:
    """Copy a template database, and drop the copy at the end whoever is still connected."""
    database = Database(server, f"test_{secrets.token_hex(6)}")
    admin = Database(server, "postgres")
    admin.run(f'CREATE DATABASE "{database.name}" TEMPLATE "{template}"')
    try:
        yield database
    finally:
        database.close()
        admin.run(f'DROP DATABASE IF EXISTS "{database.name}" WITH (FORCE)')
