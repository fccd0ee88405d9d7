"""Checking deferred constraints before the transaction ends. Holds SQL; sends nothing."""

from __future__ import annotations

# For the last script of a transaction: nobody comes after it to whom the setting could matter.
CHECK_ALL = "SET CONSTRAINTS ALL IMMEDIATE"

# For all others. ALL would also change constraints that are created later, and no statement takes
# that back; so the constraints are named. Only those of tables that this transaction wrote to can
# have work waiting, which keeps the cost of many constraints low. A name is unique only in a table:
# where another constraint of the name is not INITIALLY DEFERRED, naming it would change that one too,
# so the check is made in a subtransaction, whose end takes the setting back.
CHECK_DEFERRED = """DO $lockgate$
DECLARE
    clear text;
    shared text;
BEGIN
    SELECT pg_catalog.string_agg(name, ', ') FILTER (WHERE NOT is_shared),
           pg_catalog.string_agg(name, ', ') FILTER (WHERE is_shared)
    INTO clear, shared
    FROM (
        SELECT DISTINCT
            pg_catalog.format('%s.%I', one.connamespace::pg_catalog.regnamespace, one.conname) AS name,
            EXISTS (
                SELECT FROM pg_catalog.pg_constraint AS other
                WHERE other.conname OPERATOR(pg_catalog.=) one.conname
                  AND other.connamespace OPERATOR(pg_catalog.=) one.connamespace
                  AND NOT other.condeferred
            ) AS is_shared
        FROM pg_catalog.pg_constraint AS one,
             pg_catalog.unnest(ARRAY[one.conrelid, one.confrelid]) AS relation
        WHERE one.condeferred
          AND pg_catalog.has_schema_privilege(one.connamespace, 'USAGE')
          AND (pg_catalog.pg_stat_get_xact_tuples_inserted(relation) OPERATOR(pg_catalog.>) 0
            OR pg_catalog.pg_stat_get_xact_tuples_updated(relation) OPERATOR(pg_catalog.>) 0
            OR pg_catalog.pg_stat_get_xact_tuples_deleted(relation) OPERATOR(pg_catalog.>) 0
            OR NOT pg_catalog.current_setting('track_counts')::pg_catalog.bool)
    ) AS named;
    IF clear IS NOT NULL THEN
        EXECUTE pg_catalog.concat('SET CONSTRAINTS ', clear, ' IMMEDIATE');
        EXECUTE pg_catalog.concat('SET CONSTRAINTS ', clear, ' DEFERRED');
    END IF;
    IF shared IS NOT NULL THEN
        BEGIN
            EXECUTE pg_catalog.concat('SET CONSTRAINTS ', shared, ' IMMEDIATE');
            RAISE SQLSTATE 'LG000';
        EXCEPTION WHEN SQLSTATE 'LG000' THEN
            NULL;
        END;
    END IF;
END
$lockgate$"""
