"""A description of all user objects, one entry for each, to compare a database at two moments.

Leaves out Lockgate's own relations (by oid), temporary and TOAST relations, and what PostgreSQL changes
by itself: sizes, statistics, freezing. For system objects, only the last writer of their rows is
compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.postgres.quoting import quote_literal

if TYPE_CHECKING:
    from lockgate.postgres.tables.table_names import Tables

# The oids of our own relations, as far as they exist.
OWN_RELATIONS = """
SELECT pg_catalog.to_regclass(name)::pg_catalog.oid
FROM (VALUES ({history}), ({run}), ({lock}), ({status})) AS names (name)
WHERE pg_catalog.to_regclass(name) IS NOT NULL
"""

# All parts of an object share class and oid. The entry is their digest, with their writers (xmin).
_DESCRIBE = """
WITH own AS ({own}),
spaces AS (
    SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_(temp|toast)'
),
relations AS MATERIALIZED (
    SELECT c.*, c.xmin AS written_by, s.nspname || '.' || c.relname AS label
    FROM pg_catalog.pg_class AS c
    JOIN spaces AS s ON s.oid = c.relnamespace
    WHERE c.oid >= 16384 AND c.relpersistence <> 't'
      AND c.oid NOT IN (TABLE own)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i
                      WHERE i.indexrelid = c.oid AND i.indrelid IN (TABLE own))
),
parts (class, oid, place, part, written_by, kind, label, columns, filenode) AS (
    SELECT 'pg_class', r.oid, 'class',
           ROW(r.relname, r.relnamespace, r.reltype, r.reloftype, r.relowner, r.relam,
               CASE WHEN r.relkind IN ('r', 'm', 'S') THEN r.relfilenode END, r.reltablespace,
               r.relpersistence, r.relkind, r.relchecks, r.relrowsecurity, r.relforcerowsecurity,
               r.relispopulated, r.relreplident, r.relispartition,
               coalesce(r.relacl, pg_catalog.acldefault(
                   CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", r.relowner)),
               r.reloptions, pg_catalog.pg_get_expr(r.relpartbound, r.oid))::text,
           r.written_by,
           CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view'
                WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type'
                WHEN 'f' THEN 'foreign table' ELSE 'index' END,
           r.label, r.relnatts, r.relfilenode::bigint
    FROM relations AS r
    UNION ALL
    SELECT 'pg_class', a.attrelid, 'column ' || a.attnum,
           ROW(a.attname, a.atttypid, a.atttypmod, a.attndims, a.attstorage, a.attcompression,
               a.attnotnull, a.atthasdef, a.attidentity, a.attgenerated, a.attislocal, a.attinhcount,
               a.attcollation, coalesce(a.attacl::text, '{{}}'), a.attoptions, a.attfdwoptions,
               a.attstattarget)::text, a.xmin, NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_attribute AS a
    JOIN relations AS r ON r.oid = a.attrelid AND r.relkind <> 'i' AND r.relkind <> 'I'
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'pg_class', d.adrelid, 'default ' || d.adnum, pg_catalog.pg_get_expr(d.adbin, d.adrelid),
           d.xmin, NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_attrdef AS d JOIN relations AS r ON r.oid = d.adrelid
    UNION ALL
    SELECT CASE WHEN o.conrelid = 0 THEN 'pg_type' ELSE 'pg_class' END,
           CASE WHEN o.conrelid = 0 THEN o.contypid ELSE o.conrelid END, 'constraint ' || o.oid,
           ROW(o.conname, o.contype, o.condeferrable, o.condeferred, o.convalidated,
               pg_catalog.pg_get_constraintdef(o.oid))::text, o.xmin, NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_constraint AS o
    WHERE o.oid >= 16384 AND (o.conrelid = 0 OR o.conrelid IN (SELECT oid FROM relations))
    UNION ALL
    SELECT 'pg_class', i.indrelid, 'index ' || i.indexrelid,
           ROW(i.indisunique, i.indisprimary, i.indisexclusion, i.indimmediate, i.indisclustered,
               i.indisvalid, i.indisready, i.indislive, i.indisreplident,
               pg_catalog.pg_get_indexdef(i.indexrelid))::text, i.xmin, NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_index AS i JOIN relations AS r ON r.oid = i.indrelid
    UNION ALL
    SELECT 'pg_class', t.tgrelid, 'trigger ' || t.oid,
           ROW(t.tgname, t.tgenabled, pg_catalog.pg_get_triggerdef(t.oid))::text, t.xmin,
           NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_trigger AS t JOIN relations AS r ON r.oid = t.tgrelid
    UNION ALL
    SELECT 'pg_class', w.ev_class, 'rule ' || w.oid,
           ROW(w.rulename, w.ev_enabled, pg_catalog.pg_get_ruledef(w.oid))::text, w.xmin,
           NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_rewrite AS w JOIN relations AS r ON r.oid = w.ev_class
    UNION ALL
    SELECT 'pg_class', p.polrelid, 'policy ' || p.oid,
           ROW(p.polname, p.polcmd, p.polpermissive, p.polroles,
               pg_catalog.pg_get_expr(p.polqual, p.polrelid),
               pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))::text, p.xmin,
           NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_policy AS p JOIN relations AS r ON r.oid = p.polrelid
    UNION ALL
    SELECT 'pg_class', h.inhrelid, 'parent ' || h.inhseqno, h::text, h.xmin, NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_inherits AS h JOIN relations AS r ON r.oid = h.inhrelid
    UNION ALL
    SELECT 'pg_class', k.partrelid, 'partition key',
           ROW(k.partstrat, k.partdefid, pg_catalog.pg_get_partkeydef(k.partrelid))::text, k.xmin,
           NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_partitioned_table AS k JOIN relations AS r ON r.oid = k.partrelid
    UNION ALL
    SELECT 'pg_class', q.seqrelid, 'sequence', q::text, q.xmin, NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_sequence AS q JOIN relations AS r ON r.oid = q.seqrelid
    UNION ALL
    SELECT 'pg_class', f.ftrelid, 'foreign', f::text, f.xmin, NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_foreign_table AS f JOIN relations AS r ON r.oid = f.ftrelid
    UNION ALL
    SELECT 'pg_class', d.objid, 'owned by', ROW(d.refobjid, d.refobjsubid, d.deptype)::text, d.xmin,
           NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_depend AS d
    JOIN relations AS r ON r.oid = d.objid AND r.relkind = 'S'
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0
    UNION ALL
    SELECT 'pg_proc', p.oid, 'function',
           ROW(p.proname, p.pronamespace, p.proowner, p.prolang, p.procost, p.prorows, p.provariadic,
               p.prosupport, p.prokind, p.prosecdef, p.proleakproof, p.proisstrict, p.proretset,
               p.provolatile, p.proparallel, p.prorettype, p.proargtypes, p.proallargtypes,
               p.proargmodes, p.proargnames, pg_catalog.pg_get_function_arguments(p.oid), p.protrftypes,
               p.prosrc, p.probin, pg_catalog.pg_get_function_sqlbody(p.oid), p.proconfig,
               coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)))::text,
           p.xmin, 'function', s.nspname || '.' || p.proname, NULL, NULL
    FROM pg_catalog.pg_proc AS p JOIN spaces AS s ON s.oid = p.pronamespace
    WHERE p.oid >= 16384
    UNION ALL
    SELECT 'pg_proc', g.aggfnoid, 'aggregate', g::text, g.xmin, NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_aggregate AS g WHERE g.aggfnoid::pg_catalog.oid >= 16384
    UNION ALL
    SELECT 'pg_type', t.oid, 'type',
           ROW(t.typname, t.typnamespace, t.typowner, t.typlen, t.typbyval, t.typtype, t.typcategory,
               t.typisdefined, t.typdelim, t.typrelid, t.typelem, t.typarray, t.typinput, t.typoutput,
               t.typalign, t.typstorage, t.typnotnull, t.typbasetype, t.typtypmod, t.typndims,
               t.typcollation, t.typdefault,
               coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner)))::text,
           t.xmin, 'type', s.nspname || '.' || t.typname, NULL, NULL
    FROM pg_catalog.pg_type AS t JOIN spaces AS s ON s.oid = t.typnamespace
    WHERE t.oid >= 16384
      AND (t.typrelid = 0
           OR EXISTS (SELECT FROM relations AS r WHERE r.oid = t.typrelid AND r.relkind = 'c'))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS b WHERE b.typarray = t.oid)
    UNION ALL
    SELECT 'pg_type', e.enumtypid, 'label ' || e.enumsortorder, e.enumlabel, e.xmin,
           NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_enum AS e WHERE e.enumtypid >= 16384
    UNION ALL
    SELECT 'pg_type', g.rngtypid, 'range', g::text, g.xmin, NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_range AS g WHERE g.rngtypid >= 16384
    UNION ALL
    SELECT 'pg_namespace', n.oid, 'schema',
           ROW(n.nspname, n.nspowner,
               coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)))::text,
           n.xmin, 'schema', n.nspname, NULL, NULL
    FROM pg_catalog.pg_namespace AS n JOIN spaces AS s ON s.oid = n.oid
    UNION ALL
    SELECT 'pg_ts_config', m.mapcfg, 'map', m::text, m.xmin, NULL, NULL, NULL, NULL
    FROM pg_catalog.pg_ts_config_map AS m WHERE m.mapcfg >= 16384
    UNION ALL
    SELECT 'comment ' || d.classoid, d.objoid, 'comment ' || d.objsubid, d.description, d.xmin,
           'comment', coalesce((SELECT r.label FROM relations AS r WHERE r.oid = d.objoid),
                               'on object ' || d.objoid), NULL, NULL
    FROM pg_catalog.pg_description AS d
    WHERE (d.objoid >= 16384 OR d.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass)
      AND d.objoid NOT IN (TABLE own)
    UNION ALL
    SELECT 'label ' || l.classoid, l.objoid, 'label ' || l.objsubid, l::text, l.xmin,
           'security label', 'on object ' || l.objoid, NULL, NULL
    FROM pg_catalog.pg_seclabel AS l
    UNION ALL
    SELECT 'extension ' || d.classid, d.objid, 'extension',
           ROW(d.refclassid, d.refobjid, d.deptype)::text, d.xmin,
           'extension', 'of object ' || d.objid, NULL, NULL
    FROM pg_catalog.pg_depend AS d
    WHERE d.deptype IN ('e', 'x') AND d.objid >= 16384
    {small}{system}
)
SELECT coalesce(pg_catalog.json_agg(entry ORDER BY entry ->> 0, (entry ->> 1)::bigint)::text, '[]')
FROM (
    SELECT pg_catalog.json_build_array(
               class, oid::bigint, max(kind), max(label),
               left(pg_catalog.md5(pg_catalog.string_agg(
                   place || E'\\x1f' || coalesce(part, ''), E'\\x1e'
                   ORDER BY place COLLATE "C", part COLLATE "C")), 20),
               max(columns), max(filenode), pg_catalog.array_agg(DISTINCT written_by::text::bigint))
    FROM parts
    GROUP BY class, oid
    HAVING max(kind) IS NOT NULL
) AS entries (entry)
"""

# Catalogs whose rows are compared whole: catalog, kind of object, and the name of a row.
_SMALL = (
    ("pg_extension", "extension", "extname"),
    ("pg_event_trigger", "event trigger", "evtname"),
    ("pg_publication", "publication", "pubname"),
    ("pg_publication_rel", "publication", "'of a table'"),
    ("pg_statistic_ext", "statistics", "stxname"),
    ("pg_cast", "cast", "a.oid::text"),
    ("pg_operator", "operator", "oprname"),
    ("pg_opclass", "operator class", "opcname"),
    ("pg_opfamily", "operator family", "opfname"),
    ("pg_amop", "operator family", "a.oid::text"),
    ("pg_amproc", "operator family", "a.oid::text"),
    ("pg_am", "access method", "amname"),
    ("pg_language", "language", "lanname"),
    ("pg_collation", "collation", "collname"),
    ("pg_conversion", "conversion", "conname"),
    ("pg_ts_config", "text search configuration", "cfgname"),
    ("pg_ts_dict", "text search dictionary", "dictname"),
    ("pg_ts_parser", "text search parser", "prsname"),
    ("pg_ts_template", "text search template", "tmplname"),
    ("pg_foreign_data_wrapper", "foreign-data wrapper", "fdwname"),
    ("pg_foreign_server", "foreign server", "srvname"),
    ("pg_transform", "transform", "a.oid::text"),
    ("pg_default_acl", "default privileges", "a.oid::text"),
)
_PUBLISHES_SCHEMAS = 150000
_SMALL_SINCE_15 = (("pg_publication_namespace", "publication", "'of a schema'"),)
_SMALL_PART = """
    UNION ALL
    SELECT '{catalog}', a.oid, 'row', a::text, a.xmin, '{kind}', {name}, NULL, NULL
    FROM pg_catalog.{catalog} AS a WHERE a.oid >= 16384"""

# A changed row of a system catalog has another writer than before.
_SYSTEM = (
    "pg_class",
    "pg_proc",
    "pg_type",
    "pg_operator",
    "pg_cast",
    "pg_language",
    "pg_collation",
)
_SYSTEM_PART = """
    UNION ALL
    SELECT 'system', 'pg_catalog.{catalog}'::pg_catalog.regclass::pg_catalog.oid, 'rows',
           pg_catalog.string_agg(a.oid || ' ' || a.xmin, ',' ORDER BY a.oid), NULL,
           'system catalog', '{catalog}', NULL, NULL
    FROM pg_catalog.{catalog} AS a WHERE a.oid < 16384"""


def own_relations_sql(tables: Tables) -> str:
    """Return the query for the oids of our own relations."""
    return OWN_RELATIONS.format(
        history=quote_literal(tables.history),
        run=quote_literal(tables.run),
        lock=quote_literal(tables.lock),
        status=quote_literal(tables.status),
    )


def description_sql(tables: Tables, server_version: int) -> str:
    """Return the query for the description, as JSON for `core.undo_facts.read_description`.

    Run it with Lockgate's own search path, so that names are qualified.
    """
    since = _SMALL_SINCE_15 if server_version >= _PUBLISHES_SCHEMAS else ()
    small = "".join(
        _SMALL_PART.format(catalog=catalog, kind=kind, name=name)
        for catalog, kind, name in (*_SMALL, *since)
    )
    system = "".join(_SYSTEM_PART.format(catalog=catalog) for catalog in _SYSTEM)
    return _DESCRIBE.format(own=own_relations_sql(tables), small=small, system=system)
