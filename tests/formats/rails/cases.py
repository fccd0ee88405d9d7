"""Rails: the SQL migrations of a project and its history table; Ruby migrations are not run."""

from __future__ import annotations

from tests.formats.kit import Adoption, Cases, History, Place, Read, Recognised, Stub, Table

from lockgate.formats.tool import ForeignHistory, ForeignRow

CREATE = (
    "CREATE TABLE ar_internal_metadata (key varchar);"
    "CREATE TABLE schema_migrations (version varchar PRIMARY KEY);"
)
MARKED = "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"
# A Ruby migration with an SQL file of the same version is ignored.
FILES = {"20240102_b.sql": MARKED, "20240101_a.sql": "a", "20240101_a.rb": "", "x.rb": ""}

CASES = Cases(
    "rails",
    example={"20240101000000_a.rb": "class A", "20240102000000_b.sql": "CREATE TABLE a ();\n"},
    places=[Place({"1_a.sql": "SELECT 1;\n"}, "2_b.sql")],
    table=Table(
        "schema_migrations",
        "version varchar",
        "'1'",
        beside="CREATE TABLE {schema}.ar_internal_metadata (key varchar, value varchar)",
        chosen_in=[
            {
                "../../config/application.rb": "schema_migrations_table_name ="
                " 'app.schema_migrations'\n"
            }
        ],
    ),
    read=[
        Read(
            "A folder is read as a native one.",
            FILES,
            {"migration_id": ["20240101", "20240102"], "name": ["a", "b"]},
        ),
    ],
    recognised=[
        Recognised({"1_a.rb": "", "1_a.sql": ""}, "Ruby migrations such as 1_a.rb"),
        Recognised({"1_a.sql": ""}, None),
    ],
    stubs=[
        # As structure.sql does.
        Stub({"1_a.sql": "INSERT INTO schema_migrations VALUES ('1')"}, "schema_migrations", rows=1)
    ],
    histories=[
        History(
            "Versions are text but sorted as numbers.",
            f"{CREATE}INSERT INTO schema_migrations VALUES ('20240101000000'), ('9'), ('10')",
            ForeignHistory(
                "public.schema_migrations",
                (ForeignRow("9"), ForeignRow("10"), ForeignRow("20240101000000")),
            ),
        ),
    ],
    adoptions=[
        Adoption(
            "A Ruby migration that Rails applied is adopted, and a pending one is refused.",
            {"20240101_a.rb": "class A", "sub/20240102_b.engine.rb": "", "schema.rb": ""},
            f"{CREATE}INSERT INTO schema_migrations VALUES ('20240101'), ('20240102')",
            before="20240101_a.rb:1: the script is a Ruby migration, and Lockgate cannot run Ruby."
            " Nothing was changed.",
            adopted=["20240101", "20240102"],
            later={"20240103_c.sql": "CREATE TABLE c ();\n"},
            applied=["20240103"],
        ),
    ],
)
