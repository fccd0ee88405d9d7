"""A database for each test, and connections to it that share no code with Lockgate."""

from __future__ import annotations

import functools
import secrets
import shutil
import socket
import ssl
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pg8000.native

from lockgate.local.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

# A new database is 300 files. In memory, creating and removing them takes an eighth of the CPU time.
_MEMORY = Path("/dev/shm")  # noqa: S108 - the servers make private folders in it
# Several servers run at once, each with some databases; a container's 64 MB would not do.
_ENOUGH_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True)
class Database:
    """The address of a test's database, and ways to inspect it."""

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
        """The CA file that verifies the server."""
        assert self.server.ca_file is not None
        return self.server.ca_file

    @property
    def url(self) -> str:
        """The address with the password; `environment` has the CA file."""
        return self.server.url(self.name)

    @property
    def environment(self) -> dict[str, str]:
        """The settings for Lockgate: LOCKGATE_DATABASE_URL and LOCKGATE_CA_FILE."""
        return self.server.lockgate_environment(self.name)

    def connect(
        self, *, user: str | None = None, password: str | None = None
    ) -> pg8000.native.Connection:
        """Return a new autocommit connection over verified TLS; the fixture closes it."""
        connection = open_connection(self.server, self.name, user=user, password=password)
        self._opened.append(connection)
        return connection

    def run(self, sql: str, **parameters: Any) -> list[list[Any]]:
        """Run SQL on a new connection and return its rows.

        Without parameters, the whole text is sent in one message and may have several statements.
        """
        connection = open_connection(self.server, self.name)
        try:
            rows: list[list[Any]] | None = connection.run(sql, **parameters)
        finally:
            connection.close()
        return rows or []

    def dump(self, *, without: tuple[str, ...] = ("lockgate",)) -> str:
        """Return the schema as SQL, by default without Lockgate's own schema."""
        return self.server.dump_schema(self.name, exclude_schemas=without)

    def close(self) -> None:
        """Close the connections of `connect`, even if the server already closed them."""
        for connection in self._opened:
            # Already closed by the test, or by a server restart.
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

    The socket is created here to set TCP_NODELAY (a connect takes 10 ms instead of 50), and to close
    it if the server refuses: pg8000 leaves that to the garbage collector.
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
    """An SSL context that keeps a reference to the wrapped socket."""

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
def running_server(root: Path | None) -> Iterator[EmbeddedServer]:
    """Give a running server on which databases can be created."""
    with _start_in_memory(root) as server:
        _makers[server] = maker = _Maker(server)
        try:
            yield server
        finally:
            del _makers[server]
            maker.close()


def _start_in_memory(root: Path | None) -> EmbeddedServer:
    """Start a server whose files are in memory, if there is enough of it."""
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES
    with mock.patch.object(tempfile, "tempdir", str(_MEMORY) if has_room else tempfile.tempdir):
        return EmbeddedServer(root=root).start()


@contextmanager
def temporary_database(
    server: EmbeddedServer, template: Database | None = None
) -> Iterator[Database]:
    """Give a database on a `running_server`, empty or copied from one without connections.

    It is dropped at the end, even if sessions are still connected.
    """
    maker = _makers[server]
    database = Database(server, f"test_{secrets.token_hex(6)}")
    maker.make(database.name, None if template is None else template.name)
    try:
        yield database
    finally:
        database.close()
        maker.drop(database.name)


class _Maker:
    """Creates and drops the databases of one server, over one session.

    A handshake for each would cost more than the rest. The template has been connected to once, so it
    already contains the cache file that a first connection would write.
    """

    _TEMPLATE = "test_template"
    _HAS_STRATEGY = 15

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._session = open_connection(server, "postgres")
        # With the other strategy, the WAL of a copied database is larger than its files.
        is_choice = server.binaries.major >= self._HAS_STRATEGY
        self._strategy = "STRATEGY file_copy" if is_choice else ""
        self._run(f"CREATE DATABASE {self._TEMPLATE} TEMPLATE template0 {self._strategy}")
        open_connection(server, self._TEMPLATE).close()

    def make(self, name: str, template: str | None = None) -> None:
        self._run(
            f'CREATE DATABASE "{name}" TEMPLATE {template or self._TEMPLATE} {self._strategy}'
        )

    def drop(self, name: str) -> None:
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def close(self) -> None:
        with suppress(pg8000.native.InterfaceError):
            self._session.close()

    def _run(self, sql: str) -> None:
        try:
            self._session.run(sql)
        except pg8000.native.InterfaceError:
            # The server was restarted meanwhile.
            self.close()
            self._session = open_connection(self._server, "postgres")
            self._session.run(sql)


_makers: dict[EmbeddedServer, _Maker] = {}
