"""A minimal migrator in Python with pg8000: file names, a table of versions, messages.

``python bare_pg8000.py FOLDER COUNT`` sends COUNT pending files per message, each as a transaction. It
stores no checksums, takes no lock, does not read applied files, and does not report failures.
"""

import os
import sys

import pg8000.native


def main(folder: str, count: int) -> None:
    """Apply pending migrations."""
    connection = pg8000.native.Connection(
        os.environ["PGUSER"],
        host=os.environ["PGHOST"],
        port=int(os.environ["PGPORT"]),
        database=os.environ["PGDATABASE"],
        password=os.environ["PGPASSWORD"],
        ssl_context=False,
    )
    connection.run("CREATE TABLE IF NOT EXISTS schema_migrations (version text PRIMARY KEY)")
    applied = {row[0] for row in connection.run("SELECT version FROM schema_migrations")}
    names = sorted(name for name in os.listdir(folder) if name.endswith(".sql"))  # noqa: PTH208 - as short as it can be
    pending = [name for name in names if name.partition("_")[0] not in applied]
    for first in range(0, len(pending), count):
        texts = ["BEGIN"]
        for name in pending[first : first + count]:
            with open(f"{folder}/{name}", encoding="utf-8") as file:  # noqa: PTH123 - as short as it can be
                texts.append(file.read())
            version = name.partition("_")[0]
            texts.append(f"INSERT INTO schema_migrations (version) VALUES ('{version}')")
        connection.run(";\n".join([*texts, "COMMIT"]))
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
