"""Fill the slugs of the existing products. Plain SQL cannot remove accents from letters."""

import re
import unicodedata

import sqlalchemy as sa

products = sa.table(
    "products", sa.column("id"), sa.column("name"), sa.column("slug"), schema="shop"
)


def up(connection: sa.Connection) -> None:
    """Set a slug for every product without one, made of its name and its id, which makes it unique."""
    missing = sa.select(products.c.id, products.c.name).where(products.c.slug.is_(None))
    filled = [
        {"product_id": row.id, "new_slug": make_slug(row.name, row.id)}
        for row in connection.execute(missing)
    ]
    if filled:
        update = sa.update(products).where(products.c.id == sa.bindparam("product_id"))
        connection.execute(update.values(slug=sa.bindparam("new_slug")), filled)


def down(connection: sa.Connection) -> None:
    """Do nothing: the down script of the earlier migration drops the column."""
    connection.execute(sa.text("SELECT 1"))


def make_slug(name: str, product_id: int) -> str:
    """Return the name in lower-case ASCII letters and digits, and the id: ``creme-brulee-7``."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", ascii_name.lower())
    return "-".join([*words, str(product_id)])
