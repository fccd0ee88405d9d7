"""SQL that checks deferred constraints before the transaction ends."""

from __future__ import annotations

# For the last script of a transaction: no other script follows that the setting could affect.
CHECK_ALL = "SET CONSTRAINTS ALL IMMEDIATE"

# For all other scripts. ALL would also change constraints that are created later, which no statement
# can revert, so the constraints are named. Only constraints of tables that were written since the last
# check need one; otherwise a thousand constraints would be set a thousand times. A constraint's name is
# unique only within its table. If another constraint with the same name is not INITIALLY DEFERRED,
# naming it would change that one too, so the check runs in a subtransaction, whose rollback restores
# the setting.
CHECK_DEFERRED = """DO $lockgate$
DECLARE
    note pg_catalog.text := pg_catalog.current_setting('lockgate.checked', true);
    former pg_catalog.jsonb := '{}';
    written pg_catalog.jsonb;
    recent pg_catalog.oid[];
    clear pg_catalog.text;
    shared pg_catalog.text;
BEGIN
    IF note OPERATOR(pg_catalog.<>) '' THEN
        former := note;
    END IF;
    SELECT pg_catalog.jsonb_object_agg(relation, rows)
               FILTER (WHERE rows OPERATOR(pg_catalog.>) 0),
           pg_catalog.array_agg(relation)
               FILTER (WHERE rows::pg_catalog.text OPERATOR(pg_catalog.<>)
                             coalesce(former OPERATOR(pg_catalog.->>) relation::pg_catalog.text, '0')
                          OR NOT pg_catalog.current_setting('track_counts')::pg_catalog.bool)
    INTO written, recent
    FROM (
        SELECT relation, pg_catalog.pg_stat_get_xact_tuples_inserted(relation)
            OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_updated(relation)
            OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_deleted(relation)
        FROM (
            SELECT conrelid FROM pg_catalog.pg_constraint WHERE condeferred
            UNION SELECT confrelid FROM pg_catalog.pg_constraint WHERE condeferred
        ) AS constrained (relation)
    ) AS counted (relation, rows);
    IF recent IS NULL THEN
        RETURN;
    END IF;
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
        FROM pg_catalog.pg_constraint AS one
        WHERE one.condeferred
          AND (one.conrelid OPERATOR(pg_catalog.=) ANY (recent)
            OR one.confrelid OPERATOR(pg_catalog.=) ANY (recent))
          AND pg_catalog.has_schema_privilege(one.connamespace, 'USAGE')
    ) AS named;
    PERFORM pg_catalog.set_config('lockgate.checked', written::pg_catalog.text, true);
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

# RESET ALL, but remember the last check until the end of the transaction.
RESET_ALL_BUT_CHECKED = """DO $lockgate$
DECLARE
    checked pg_catalog.text := pg_catalog.current_setting('lockgate.checked', true);
BEGIN
    RESET ALL;
    PERFORM pg_catalog.set_config('lockgate.checked', checked, true);
END
$lockgate$"""
