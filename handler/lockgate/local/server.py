"""An embedded PostgreSQL server, for `--local`, the demo and the tests.

A migration cannot tell it from a real one: TLS with verification, SCRAM, any major version. It
listens only on 127.0.0.1, needs neither root nor an installation, and ends with this process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import quote

from lockgate.errors import DatabaseUnreachable
from lockgate.fast_start.dataclass import dataclass
from lockgate.local.binaries import Binaries, find_binaries
from lockgate.local.cluster import SUPERUSER, Cluster, prepare_cluster
from lockgate.local.dump import dump_schema
from lockgate.local.postmaster import Postmaster
from lockgate.local.privileges import choose_run_as

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOST = "127.0.0.1"
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
ALWAYS = {"listen_addresses": HOST, "unix_socket_directories": ""}
# Temporary data need not survive a power cut.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "16MB"}
RESTART_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
PORT_ATTEMPTS = 5
# On Linux, a bound socket that does not listen reserves a port for a server that allows its reuse, as
# PostgreSQL does: no other program gets the port while the server starts or restarts.
CAN_KEEP_PORT = sys.platform.startswith("linux")


@dataclass(frozen=True, slots=True)
class _Running:
    cluster: Cluster
    postmaster: Postmaster
    port: int
    kept_port: socket.socket | None
    owner_pid: int


class EmbeddedServer:
    """A PostgreSQL server that lives at most as long as this process.

    ::

        with EmbeddedServer() as server:
            connect(server.url("postgres"))

    Without ``data_dir`` its data are in a temporary folder, which is removed at the end. With it, the
    data, password and certificates stay, and the next start uses them.

    Args:
        root: an installation, or a folder that `pip install --target` filled with one of the
            server wheels; by default the wheel of the ``local`` extra, else the system's server.
        major: the required major version.
        data_dir: the folder for the data.
        port: a fixed port; by default a free one.
        settings: further server settings, which override ours.
        tls: whether the server offers TLS; clients without TLS are accepted too.
        durable: for benchmarks: write commits of temporary data to the disk, and use PostgreSQL's
            default buffers. Data in ``data_dir`` are always durable.

    Raises:
        SettingInvalid: there is no such PostgreSQL on this machine.
    """

    def __init__(
        self,
        *,
        root: Path | None = None,
        major: int | None = None,
        data_dir: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] = NO_SETTINGS,
        tls: bool = True,
        durable: bool = False,
    ) -> None:
        self.binaries: Binaries = find_binaries(() if root is None else (root,), major=major)
        self._data_dir = data_dir
        self._fixed_port = port
        is_thrown_away = data_dir is None and not durable
        self._settings = ALWAYS | (NOT_DURABLE if is_thrown_away else {}) | dict(settings)
        self._tls = tls
        self._running: _Running | None = None

    @property
    def host(self) -> str:
        """The address that it listens on; the certificate is for it and for localhost."""
        return HOST

    @property
    def user(self) -> str:
        """The superuser."""
        return SUPERUSER

    @property
    def version(self) -> str:
        """The version, such as 18.6."""
        return self.binaries.version

    @property
    def major(self) -> int:
        """The major version, such as 18."""
        return self.binaries.major

    @property
    def psql(self) -> Path | None:
        """The path of psql, or None if the installation has none."""
        return self.binaries.find_program("psql")

    @property
    def pg_dump(self) -> Path | None:
        """The path of pg_dump, or None if the installation has none."""
        return self.binaries.find_program("pg_dump")

    @property
    def port(self) -> int:
        """The port, while the server runs."""
        return self._state.port

    @property
    def password(self) -> str:
        """The superuser's password, while the server runs."""
        return self._state.cluster.password

    @property
    def ca_file(self) -> Path | None:
        """The authority to verify the server with; None without TLS."""
        return self._state.cluster.ca_file if self._tls else None

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._state.cluster.log

    def url(self, dbname: str) -> str:
        """Return the URL of a database, with the password.

        It does not contain the CA file, which is a setting; see `lockgate_environment`.
        """
        sslmode = "verify-full" if self._tls else "disable"
        place = f"{self.host}:{self.port}/{quote(dbname, safe='')}"
        return f"postgresql://{self.user}:{quote(self.password)}@{place}?sslmode={sslmode}"

    def lockgate_environment(self, dbname: str) -> dict[str, str]:
        """Return the settings with which Lockgate connects to a database of this server."""
        environment = {"LOCKGATE_DATABASE_URL": self.url(dbname)}
        if self.ca_file is not None:
            environment["LOCKGATE_CA_FILE"] = str(self.ca_file)
        return environment

    def client_environment(self, dbname: str) -> dict[str, str]:
        """Return the whole environment for psql, pg_dump and other users of libpq."""
        environment = self.binaries.environment | {
            # The name, because libpq compares addresses with certificates only from version 15 on.
            "PGHOST": "localhost",
            "PGHOSTADDR": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": dbname,
            "PGSSLMODE": "disable",
        }
        if self.ca_file is not None:
            environment |= {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(self.ca_file)}
        return environment

    def start(self) -> Self:
        """Start the server and return when it accepts connections.

        Raises:
            SettingInvalid: the folder cannot be used; see `prepare_cluster`.
            DatabaseUnreachable: the server did not start; the message quotes its log.
        """
        if self._running is not None:
            return self
        is_temporary = self._data_dir is None
        home = self._data_dir or Path(tempfile.mkdtemp(prefix="lockgate-postgres-"))
        try:
            self._running = self._launch(home, is_temporary=is_temporary)
        except BaseException:
            if is_temporary:
                shutil.rmtree(home, ignore_errors=True)
            raise
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Stop the server and remove its data if they are temporary; a second call does nothing."""
        running = self._running
        # A forked child that calls sys.exit comes here too, but does not own the server.
        if running is None or running.owner_pid != os.getpid():
            return
        self._running = None
        atexit.unregister(self.stop)
        running.postmaster.close()
        if running.kept_port is not None:
            running.kept_port.close()
        if self._data_dir is None:
            shutil.rmtree(running.cluster.home, ignore_errors=True)

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server and start it on the same port; ``immediate`` simulates a crash.

        Raises:
            DatabaseUnreachable: it did not start again; the message quotes its log.
        """
        running = self._state
        running.postmaster.halt(RESTART_SIGNALS[mode])
        running.postmaster.start(self._command(running.cluster, running.port))

    def dump_schema(self, dbname: str, *, exclude_schemas: Sequence[str] = ()) -> str:
        """Return the schema as SQL, without parts that differ between dumps of the same schema.

        Raises:
            SettingInvalid: this installation has no pg_dump.
            DatabaseUnreachable: pg_dump failed; the message quotes it.
        """
        environment = self.client_environment(dbname)
        return dump_schema(self.binaries, environment, exclude_schemas=exclude_schemas)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _state(self) -> _Running:
        if self._running is None:
            raise DatabaseUnreachable(
                "The embedded PostgreSQL is not running. Call start(), or use it as a context "
                "manager."
            )
        return self._running

    def _launch(self, home: Path, *, is_temporary: bool) -> _Running:
        run_as = choose_run_as()
        cluster = prepare_cluster(home, self.binaries, run_as, tls=self._tls)
        postmaster = Postmaster(
            cluster.data,
            log=cluster.log,
            run_as=run_as,
            environment=self.binaries.environment,
            # Temporary data need no orderly shutdown.
            stop_signal=signal.SIGQUIT if is_temporary else signal.SIGINT,
            remove=cluster.home if is_temporary else None,
        )
        try:
            port, kept_port = self._start_on_port(postmaster, cluster)
        except BaseException:
            postmaster.close()
            raise
        return _Running(cluster, postmaster, port, kept_port, os.getpid())

    def _start_on_port(
        self, postmaster: Postmaster, cluster: Cluster
    ) -> tuple[int, socket.socket | None]:
        """Start on the fixed port, or on a free one; return it and the socket that reserves it."""
        if self._fixed_port is not None:
            postmaster.start(self._command(cluster, self._fixed_port))
            return self._fixed_port, None
        for attempt in range(1, PORT_ATTEMPTS + 1):
            kept = _bind_free_port()
            port: int = kept.getsockname()[1]
            if not CAN_KEEP_PORT:
                kept.close()
            try:
                postmaster.start(self._command(cluster, port))
            except BaseException as error:
                kept.close()
                is_lost = isinstance(error, DatabaseUnreachable) and _is_taken(port)
                if not is_lost or attempt == PORT_ATTEMPTS:
                    raise
            else:
                break
        return port, kept if CAN_KEEP_PORT else None

    def _command(self, cluster: Cluster, port: int) -> list[str | Path]:
        settings = self._settings | {"port": str(port)}
        if self._tls:
            settings |= {
                "ssl": "on",
                "ssl_cert_file": str(cluster.certificate_file),
                "ssl_key_file": str(cluster.key_file),
            }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [self.binaries.folder / "postgres", "-D", cluster.data, *options]


def _bind_free_port() -> socket.socket:
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind((HOST, 0))
    return kept


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False
