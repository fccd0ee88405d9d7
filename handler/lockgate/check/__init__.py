"""`lockgate check`: examines a folder of migrations, and asks no database."""
