"""The migrations that every tool gets: many small ones, as in a growing project.

They contain no text that a tool interprets: no ``%``, ``:``, ``?`` or ``${``.
"""

from __future__ import annotations

from dataclasses import dataclass

_FIRST_VERSION = 20_240_101_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """One migration. ``number`` counts from 1; ``up`` and ``down`` are whole scripts.

    ``is_outside``: each statement of ``up`` is committed separately.
    """

    number: int
    name: str
    up: str
    down: str
    is_outside: bool = False

    @property
    def version(self) -> str:
        """The version: a timestamp of 14 digits."""
        return str(_FIRST_VERSION + self.number)


def make_changes(count: int) -> list[Change]:
    """Return ``count`` migrations: ten per module; each module has two tables and their changes."""
    return [_make_change(number) for number in range(1, count + 1)]


def make_long_change(statements: int) -> Change:
    """Return one migration of ``count`` statements, to run outside a transaction."""
    rows = "".join(f"INSERT INTO long VALUES ({n}, 'row {n}');\n" for n in range(1, statements))
    up = f"CREATE TABLE long (id int, name text);\n{rows}"
    return Change(1, "fill_long", up, "DROP TABLE long;\n", is_outside=True)


def _make_change(number: int) -> Change:
    module, place = divmod(number - 1, len(_TEMPLATES))
    name, up, down = _TEMPLATES[place]
    table = f"m{module:04d}"
    return Change(number, f"{table}_{name}", up.replace("@", table), down.replace("@", table))


_TEMPLATES = (
    (
        "create_customers",
        """CREATE TABLE @_customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL,
    name text NOT NULL DEFAULT '',
    balance numeric(12, 2) NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);
""",
        "DROP TABLE @_customers;\n",
    ),
    (
        "create_orders",
        """CREATE TABLE @_orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL,
    status text NOT NULL DEFAULT 'new',
    total numeric(12, 2) NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE @_orders IS 'What customers have ordered.';
""",
        "DROP TABLE @_orders;\n",
    ),
    (
        "refer_to_customers",
        """ALTER TABLE @_orders
    ADD CONSTRAINT @_orders_customer FOREIGN KEY (customer_id) REFERENCES @_customers (id);
""",
        "ALTER TABLE @_orders DROP CONSTRAINT @_orders_customer;\n",
    ),
    (
        "index_orders",
        """CREATE INDEX @_orders_by_customer ON @_orders (customer_id, placed_at);
""",
        "DROP INDEX @_orders_by_customer;\n",
    ),
    (
        "unique_emails",
        """-- One account per address, however it is written.
CREATE UNIQUE INDEX @_customers_email ON @_customers (lower(email));
""",
        "DROP INDEX @_customers_email;\n",
    ),
    (
        "add_phone",
        """ALTER TABLE @_customers
    ADD COLUMN phone text,
    ADD COLUMN is_active boolean NOT NULL DEFAULT true;
""",
        "ALTER TABLE @_customers DROP COLUMN phone, DROP COLUMN is_active;\n",
    ),
    (
        "check_totals",
        """ALTER TABLE @_orders
    ADD CONSTRAINT @_orders_total CHECK (total >= 0),
    ADD CONSTRAINT @_orders_status CHECK (status IN ('new', 'paid', 'sent', 'returned'));
""",
        "ALTER TABLE @_orders DROP CONSTRAINT @_orders_total, DROP CONSTRAINT @_orders_status;\n",
    ),
    (
        "fold_emails",
        """CREATE FUNCTION @_fold_email() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.email = lower(NEW.email);
    IF NEW.name IS NULL THEN
        NEW.name = '';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER @_fold_email BEFORE INSERT OR UPDATE ON @_customers
    FOR EACH ROW EXECUTE FUNCTION @_fold_email();
""",
        """DROP TRIGGER @_fold_email ON @_customers;
DROP FUNCTION @_fold_email();
""",
    ),
    (
        "seed_customers",
        """INSERT INTO @_customers (email, name) VALUES
    ('Ada@example.com', 'Ada'),
    ('grace@example.com', 'Grace');
UPDATE @_customers SET balance = 10 WHERE name = 'Ada';
""",
        "DELETE FROM @_customers;\n",
    ),
    (
        "view_balances",
        """CREATE VIEW @_balances AS
    SELECT c.id, c.name, c.balance, count(o.id) AS orders
    FROM @_customers AS c
    LEFT JOIN @_orders AS o ON o.customer_id = c.id
    GROUP BY c.id;
""",
        "DROP VIEW @_balances;\n",
    ),
)
