"""Which comment lines look like a migration tool's markers, and which are prose."""

from __future__ import annotations

import time

import pytest

from lockgate.core.catalog import NATIVE_MARKERS
from lockgate.core.marker import find_markers
from lockgate.core.migration import (
    NO_OPTIONS,
    Direction,
    Kind,
    Language,
    Migration,
    Script,
    Version,
)
from lockgate.core.unrecognized_marker import find_unrecognized_marker

# Scanning the comment again for each line took minutes.
_MOST_SECONDS = 20

DOWNS = """\
--- migrate:down
-- migrate;down
-- migrate :down
--migrate:down
-- migrate: down
-- migrate:\u00a0down
-- migrate\uff1adown
\u2013\u2013 migrate:down
\u2014 migrate:down
- migrate:down
# migrate:down
// migrate:down
-- \u200bmigrate:down
-- MIGRATE:DOWN
-- Migrate:Down
-- migrate::down
-- migrate-down
-- migrate_down
-- migrate=down
-- migrate/down
-- migrate.down
-- migratedown
-- migrate:dwon
-- migrate:donw
-- migrate:doun
-- migrate:downn
-- migrate:don
-- migarte:down
-- mirgate:down
-- migrat:down
-- migration:down
-- migrations:down
-- migrate:rollback
-- migrate:roll back
-- migrate:undo
-- migrate:down transaction:false
-- migrate:down (drops the table)
-- migrate: down;
-- migrate down
-- migration down
-- down migration
-- Down Migration
-- DOWN MIGRATION:
-- undo migration
-- goose down
-- dbmate down
-- rambler down
-- +goose Down
--+goose down
-- + goose down
-- +migrate Down
-- +micrate Down
/* +goose Down */
-- down
-- Down:
-- DOWN
--- DOWN ---
-- ===== DOWN =====
-- [down]
-- <down>
-- {down}
-- %% down %%
/* down */
/*down*/
-- undo
-- rollback
-- ROLLBACK:
-- rolback
-- rollbak
-- roll back
-- down (undo)
-- Down script below
-- rollback starts here
-- ## migrate:down
-- > migrate:down
-- migrate:dn
-- migrate:d
-- migr\u0430te:down
-- db:rollback
-- revert
-- downgrade
-- @DOWN
-- @undo
-- //@UNDO
-- !Downs
# --- !Downs
-- down script
-- Rollback script
-- SQL DOWN
---- create above / drop below ----
-- Revert flipr:appschema from pg
--rollback DROP TABLE x;
-- rollback drop table x
/* migrate:down */"""
UPS = """\
--- migrate:up
-- migrate;up
-- migrate:pu
-- imgrate:up
-- migrate up
-- migrate:UP
-- migration:up
-- up
-- @UP
-- +migrate Up notransaction
-- +micrate Up
-- rambler up
-- Up Migration
# --- !Ups
/* migrate:up */
--changeset bob:1
--liquibase formatted sql"""
PROSE = """\
-- Down migration is a no-op
-- roll back the old name later
-- up to 10 rows
-- ROLLBACK;
-- rollback;
-- This migration sets up the schema
-- sign up
-- To rollback:
-- To roll back:
-- 1. up
-- -1 down
-- a down
-- part d
-- section u
-- @param up the direction
-- @author down
-- back up the table
-- Undo the change made in 0003
-- undo this later
-- Revert to the old behaviour
-- Revert "Add users"
-- revert commit 123abc
-- rollback is not possible
-- rollback the transaction if it fails
-- Rollback plan: restore from a snapshot
-- rollback on delete of users
-- clean up
-- set up
-- drop down menu
-- Down payment
-- down payments
-- Downtime: none
-- migrate users
-- migrate data up front
-- migration: up to date rows only
-- migrate: down payments to the new table
-- up and running
-- This cannot be undone
-- upsert
-- Step up
-- scale up
-- ups and downs
-- SQL in section 'Up' is executed when this migration is applied
-- SQL in section 'Down' is executed when this migration is rolled back
-- Your SQL goes here
-- This file should undo anything in `up.sql`
-- Add up migration script here
-- Add down migration script here
-- XXX Add DDLs here.
-- Deploy flipr:appschema to pg
-- start
-- end
-- done
-- own
-- town
-- dawn
-- donor
-- do
-- markdown
-- countdown
-- group
-- lookup
-- rollup
-- roll up
-- reverse
-- setup
-- migration
-- data migration
-- section 1
-- apply
-- migrate:env on
-- migrate:verify SELECT true
-- +goose StatementBegin
-- no-transaction
SELECT 1; -- down
SELECT '-- down' AS a"""


@pytest.mark.parametrize("line", DOWNS.split("\n"))
def test_line_that_opens_a_down_script_to_any_tool_is_found(line: str) -> None:
    """Markers of any tool, misspelled markers and synonyms are recognised as opening a down script."""
    assert [Direction.DOWN] == [one.direction for one in find_markers(f"SELECT 1;\n{line}\n")]


@pytest.mark.parametrize("line", UPS.split("\n"))
def test_line_that_opens_an_up_script_to_any_tool_is_found(line: str) -> None:
    """Markers of any tool and misspelled markers are recognised as opening an up script."""
    assert [Direction.UP] == [one.direction for one in find_markers(f"\t{line} \r\n")]


@pytest.mark.parametrize("line", PROSE.split("\n"))
def test_prose_is_not_a_marker(line: str) -> None:
    """A comment that only mentions a direction is not a marker."""
    assert [] == find_markers(f"{line}\n")


def test_many_lines_take_a_time_that_grows_with_their_number() -> None:
    """A comment with many marker-like lines is scanned once."""
    text = "/*\n" + "-- down\n" * 20_000 + "*/\nSELECT 1;"
    script = Script(text, "1.sql", 1, Language.SQL, NO_OPTIONS, "")
    migration = Migration(Version.parse("1"), "a", Kind.VERSIONED, script, None)
    begun = time.monotonic()
    assert find_unrecognized_marker(migration, NATIVE_MARKERS) is None
    assert time.monotonic() - begun < _MOST_SECONDS


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; -- migrate:down\n" * 20_000,
        "SELECT '" + " -- migrate:down\n" * 20_000 + "';",
        "SELECT 1; -- migrate:down" + " a:b" * 100_000 + " c",
        "SELECT 1; " + "-- " * 200_000 + "migrate:down",
        "SELECT 1; " + "--" + " " * 400_000 + "migrate:up\n",
    ],
    ids=["lines", "string", "options", "signs", "spaces"],
)
def test_markers_after_sql_take_a_time_that_grows_with_the_text(text: str) -> None:
    """Many markers after SQL, and lines that are nearly such markers, are scanned once."""
    begun = time.monotonic()
    script = Script(text, "1.sql", 1, Language.SQL, NO_OPTIONS, "")
    find_unrecognized_marker(
        Migration(Version.parse("1"), "a", Kind.VERSIONED, script, None), NATIVE_MARKERS
    )
    assert time.monotonic() - begun < _MOST_SECONDS


def test_line_of_many_options_is_read_at_once() -> None:
    """A line that almost matches a marker's options does not cause backtracking."""
    begun = time.monotonic()
    find_markers("-- migration:down a" + ":bbbb" * 35 + ":\n")
    assert time.monotonic() - begun < _MOST_SECONDS
