"""A script that sets its session, disturbed at every message: completed or refused.

After the SET, each script refers to tables of a schema that only its own session has in its
search_path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.claim import Claims, read_contents
from tests.support.database import temporary_database
from tests.support.disturbed import FAULT_STRIDE, finish, kill, run_disturbed, run_killed
from tests.support.project import Project
from tests.support.proxy import Moment, Proxy

from lockgate.core.deadline import Deadline
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.database import Database
    from tests.support.proxy import Link

    from lockgate.local.server import EmbeddedServer

BEFORE = """
CREATE SCHEMA s1; CREATE TABLE public.t (i int); CREATE TABLE s1.t (i int);
CREATE TABLE s1.p (i int) PARTITION BY RANGE (i);
CREATE TABLE s1.p1 PARTITION OF s1.p FOR VALUES FROM (1) TO (9);
CREATE TABLE public.p (LIKE s1.p) PARTITION BY RANGE (i);
CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES FROM (1) TO (9);
CREATE FUNCTION public.enter() RETURNS void LANGUAGE sql
    AS $$ SELECT set_config('search_path', 's1', false) $$;
"""
REST = """
INSERT INTO t VALUES (1);
CREATE INDEX CONCURRENTLY ON t (i);
BEGIN;
INSERT INTO t VALUES (2);
COMMIT;
ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;
DROP INDEX CONCURRENTLY t_i_idx;
INSERT INTO t VALUES (3);
"""
# True if plain SETs describe the session, so that no fault may end in a refusal.
SETTERS = {
    "set": ("SET search_path = s1;", True),
    "function": ("SELECT public.enter();", False),
    "block": ("BEGIN;\nSET search_path = s1;\nCOMMIT;", False),
    "two": ("SELECT set_config('search_path', 's1', false), set_config('a.b', 'c', false);", False),
}
FACTS = """
SELECT (SELECT count(*)::int FROM public.t),
       (SELECT coalesce(string_agg(i::text, ' ' ORDER BY i), '') FROM s1.t),
       (SELECT count(*)::int FROM pg_inherits WHERE inhrelid = 'public.p1'::regclass),
       (SELECT count(*)::int FROM pg_index WHERE indrelid = 'public.t'::regclass),
       (SELECT count(*)::int FROM pg_index WHERE NOT indisvalid)
"""
WHOLE = [0, "1 2 3", 1, 0, 0]


def make_project(folder: Path, database: Database, setter: str) -> Project:
    """Return a project with its first migration applied."""
    project = Project(folder, database)
    (folder / "2_steps.sql").unlink(missing_ok=True)
    project.write({"1_t.sql": BEFORE})
    assert Status.APPLIED == project.run(target="1").status
    project.write({"2_steps.sql": f"-- migrate:up transaction:false\n{setter}{REST}"})
    return project


def assert_whole_or_refused(project: Project, *, is_plain: bool, where: str) -> bool:
    """Finish the work, require that no other table was changed, and return whether it was refused."""
    report = finish(project)
    rows, own, attached, indexes, invalid = project.database.run(FACTS)[0]
    assert (0, 1, 0, 0) == (rows, attached, indexes, invalid), where
    if report.is_success:
        assert "1 2 3" == own, where
        return False
    assert report.error is not None
    assert "outcome-unknown" == report.error.code, f"{where}: {report.error}"
    assert not is_plain, where
    assert own in {"", "1", "1 2", "1 2 3"}, where
    return True


def choose_middle(messages: int) -> range:
    """Return messages that every stride includes: the script is half done there, so it is refused."""
    return range(messages // 2, messages // 2 + 4)


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize(("setter", "is_plain"), SETTERS.values(), ids=SETTERS)
def test_script_that_set_its_session_never_continues_in_another(
    server: EmbeddedServer,
    tmp_path: Path,
    setter: str,
    moment: Moment,
    record_property: Callable[[str, object], None],
    *,
    is_plain: bool,
) -> None:
    """After a broken connection or a kill at any message, the script never changes another schema."""
    with temporary_database(server) as database:
        project = make_project(tmp_path, database, setter)
        before = read_contents(database)
        with Proxy(server.host, server.port) as proxy:
            report = run_disturbed(project, proxy, Deadline(None, 1_000))
        assert Status.APPLIED == report.status, report.error
        assert WHOLE == database.run(FACTS)[0]
        claims = Claims([before, before, read_contents(database)], start=1)
    middle = choose_middle(proxy.count)
    points = sorted({*range(1, proxy.count + 1, max(1, FAULT_STRIDE // 2)), *middle})
    refused = 0
    for at in points:
        with temporary_database(server) as database:
            project = make_project(tmp_path, database, setter)
            victim: list[int] = []
            is_kill = at % 4 == 1

            def break_off(link: Link, victim: list[int] = victim, *, kills: bool = is_kill) -> None:
                if kills:
                    kill(victim)
                else:
                    link.reset()

            with Proxy(server.host, server.port, at=at, moment=moment, fault=break_off) as proxy:
                if is_kill:
                    run_killed(project, proxy, victim)
                else:
                    report = run_disturbed(project, proxy, Deadline(lambda: 600_000, 1_000))
                    claims.check(report, database, f"message {at}, {moment}")
            assert proxy.has_struck
            where = f"message {at}, {moment}"
            refused += assert_whole_or_refused(project, is_plain=is_plain, where=where)
    record_property("points", len(points))
    record_property("refused", refused)
    assert is_plain or refused >= len(middle)
