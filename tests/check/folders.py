"""Folders that a run refuses, in the native and in other formats."""

from __future__ import annotations

MAKE, DROP = "CREATE TABLE made ();\n", "DROP TABLE made;\n"
SCAFFOLD = "-- migrate:up\n-- This part runs in one transaction.\n\n"
MIXED = "CREATE TABLE a (id int);\nCREATE INDEX CONCURRENTLY i ON a (id);\n"
CHANGESET = "--liquibase formatted sql\n--changeset ada:1\n"
REVISION = (
    'from alembic import op\n\nrevision = "{name}"\ndown_revision = {before}\n\n\n'
    "def upgrade():\n    op.{call}\n\n\ndef downgrade():\n    op.execute('SELECT 1')\n"
)

# Of each format, a folder with two files that cannot be read, and their names.
UNREADABLE = [
    ("lockgate", {"1_a.sql": "-- migrate:up x:1\n", "2_b.sql": MAKE, "c.sql": MAKE}, "1_a.sql c.sql"),
    ("dbmate", {"1_a.sql": MAKE, "2_b.sql": MAKE}, "1_a.sql 2_b.sql"),
    ("goose", {"1_a.sql": MAKE, "2_b.sql": MAKE}, "1_a.sql 2_b.sql"),
    ("diesel", {"1_a/up.sql": "", "2_b/up.sql": ""}, "1_a/up.sql 2_b/up.sql"),
    ("prisma", {"1_a/x.sql": MAKE, "2_b/x.sql": MAKE}, "1_a 2_b"),
    ("sqlx", {"a_a.sql": MAKE, "b_b.sql": MAKE}, "a_a.sql b_b.sql"),
    ("postgres-migrations", {"a.sql": MAKE, "b.sql": MAKE}, "a.sql b.sql"),
    ("yoyo", {"a.py": "(", "b.py": "("}, "a.py b.py"),
    ("alembic", {"a.py": "(", "b.py": "("}, "a.py b.py"),
    ("graphile-migrate", {"committed/000001.sql": "x", "committed/000002.sql": "x"},
     "committed/000001.sql committed/000002.sql"),
    ("sqitch", {"sqitch.plan": "%syntax-version=1.0.0\n%project=p\n\n"
                "a 2024-01-01T00:00:00Z A <a@b.c> # a\nb 2024-01-01T00:00:00Z A <a@b.c> # b\n"},
     "sqitch.plan sqitch.plan"),
]  # fmt: skip

# Of each format, a folder with two files that can be read and cannot run.
UNRUNNABLE = [
    ("lockgate", {"1_a.sql": MIXED, "2_b.sql": MAKE, "3_c.sql": f"\n{MIXED}"}),
    ("dbmate", {"1_a.sql": f"-- migrate:up\n{MIXED}", "3_c.sql": f"-- migrate:up\n{MIXED}"}),
    ("goose", {"1_a.sql": f"-- +goose Up\n{MIXED}", "3_c.sql": f"-- +goose Up\n{MIXED}"}),
    ("flyway", {"V1__a.sql": "BEGIN;", "V2__b.sql": "SELECT '"}),
    ("golang-migrate", {"1_a.up.sql": "SELECT '", "2_b.up.sql": "SELECT '"}),
    ("knex", {"1_a.js": "", "2_b.js": ""}),
    ("rails", {"1_a.rb": "", "2_b.rb": ""}),
    ("liquibase", {"a.sql": f"{CHANGESET}SELECT '", "b.sql": f"{CHANGESET}SELECT '"}),
]
