r"""A script with COPY data, run statement by statement and disturbed at each message and in its data.

No table has a key, so duplicated rows stay and lost rows are noticed. One COPY is larger than a
chunk of COPY data, so a fault can leave a part of it on the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.database import temporary_database
from tests.support.disturbed import (
    FAULT_STRIDE,
    choose_points,
    count_sessions,
    finish,
    kill,
    run_disturbed,
    run_killed,
)
from tests.support.project import Project
from tests.support.proxy import Link, Moment, Proxy

from lockgate.core.deadline import Deadline
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.database import Database

    from lockgate.local.server import EmbeddedServer

LARGE_ROWS = 3_000
LARGE = "".join(f"{number}\t{'x' * 60}\n" for number in range(LARGE_ROWS))
BODY = f"""CREATE TABLE t (id int, x text);
{{copy}} t FROM stdin{{end}}
1\ta;b
2\t\\N
\\.
INSERT INTO t VALUES (3, 'between');
CREATE TABLE large (id int, x text);
{{copy}} large FROM stdin{{end}}
{LARGE}\\.
BEGIN;
{{copy}} t FROM stdin{{end}}
4\tin a block
\\.
INSERT INTO t VALUES (5, 'in a block');
COMMIT;
VACUUM large;
{{copy}} t FROM stdin{{end}}
6\tlast
\\.
INSERT INTO t VALUES (7, 'last');
"""
STATEMENTS = BODY.format(copy="COPY", end=";")
FORMATS = {
    "lockgate": {"1_a.sql": f"-- migrate:up transaction:false\n{STATEMENTS}"},
    "sqlx": {"1_a.sql": f"-- no-transaction\n{STATEMENTS}"},
    "sqitch": {
        "sqitch.plan": "%syntax-version=1.0.0\n%project=p\n\na 2026-01-01T12:00:00Z P <p@example.com>\n",
        "deploy/a.sql": BODY.format(copy="\\copy", end=""),
    },
}
FACTS = """
SELECT (SELECT string_agg(id::text, ' ' ORDER BY id) FROM t),
       (SELECT count(*)::int FROM large), (SELECT sum(id)::int FROM large),
       (SELECT array_agg(state) FROM lockgate.migration_history)
"""
WHOLE = ["1 2 3 4 5 6 7", LARGE_ROWS, sum(range(LARGE_ROWS)), ["applied"]]


def terminate(database: Database) -> Callable[[Link], None]:
    """End the session on the server."""

    def end(link: Link) -> None:
        database.run("SELECT pg_terminate_backend(:pid, 60000)", pid=link.pid)

    return end


def reset(_database: Database) -> Callable[[Link], None]:
    """Reset the connection."""
    return Link.reset


FAULTS = {"terminate": terminate, "reset": reset, "kill": None}


def make_project(folder: Path, database: Database, name: str) -> Project:
    """Return a project in the given format, with nothing applied."""
    project = Project(folder, database, settings={"LOCKGATE_FORMAT": name})
    project.write(FORMATS[name])
    return project


def disturb(project: Project, proxy: Proxy, victim: list[int] | None) -> None:
    """Run up through the proxy; a run that only lost its connection completes by itself."""
    if victim is not None:
        assert -9 == run_killed(project, proxy, victim)
        return
    report = run_disturbed(project, proxy, Deadline(lambda: 600_000, 1_000))
    assert (Status.APPLIED, None) == (report.status, report.error), f"at {proxy.count}"


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", FORMATS)
def test_copied_rows_exist_once_after_any_disturbance(
    server: EmbeddedServer,
    tmp_path: Path,
    name: str,
    fault: str,
    moment: Moment,
    record_property: Callable[[str, object], None],
) -> None:
    """After a lost connection or a kill at any message, each copied row is there exactly once."""
    counts_copies = moment is Moment.BEFORE
    with temporary_database(server) as database:
        project = make_project(tmp_path, database, name)
        with Proxy(server.host, server.port, copies=counts_copies) as proxy:
            disturb(project, proxy, None)
        assert WHOLE == database.run(FACTS)[0]
    # The other formats run the script in the same way.
    stride = FAULT_STRIDE if name == "lockgate" else 2 * FAULT_STRIDE
    points = choose_points(proxy.count, moment, list(FAULTS).index(fault), stride)
    for at in points:
        with temporary_database(server) as database:
            project = make_project(tmp_path, database, name)
            make_strike = FAULTS[fault]
            victim: list[int] | None = [] if make_strike is None else None
            strike = make_strike(database) if make_strike else lambda _link, v=victim: kill(v)
            with Proxy(
                server.host,
                server.port,
                at=at,
                moment=moment,
                fault=strike,
                copies=counts_copies,
            ) as proxy:
                disturb(project, proxy, victim)
            where = f"message {at}, {moment}"
            assert proxy.has_struck, where
            report = finish(project)
            assert report.is_success, f"{where}: {report.error}"
            assert WHOLE == database.run(FACTS)[0], where
            assert 0 == count_sessions(project), where
    record_property("points", len(points))
