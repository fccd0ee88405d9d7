-- A new value cannot be used in the transaction that adds it, so it has its own file.

-- migrate:up
ALTER TYPE shop.order_status ADD VALUE 'refunded' AFTER 'shipped';

-- migrate:down
-- PostgreSQL cannot remove a value from an enum, so this creates the type again. It rewrites the table
-- under an exclusive lock. While an order is refunded, it fails and changes nothing: first decide what
-- to do with such orders.
ALTER TYPE shop.order_status RENAME TO order_status_with_refunded;

CREATE TYPE shop.order_status AS ENUM ('new', 'paid', 'shipped', 'cancelled');
COMMENT ON TYPE shop.order_status IS 'How far an order has come';

ALTER TABLE shop.orders
    ALTER COLUMN status DROP DEFAULT,
    ALTER COLUMN status TYPE shop.order_status USING status::text::shop.order_status,
    ALTER COLUMN status SET DEFAULT 'new';

DROP TYPE shop.order_status_with_refunded;
