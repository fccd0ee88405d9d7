"""Everything that talks to PostgreSQL. The only package with SQL of Lockgate itself."""
