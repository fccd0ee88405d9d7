-- migrate:up
CREATE TYPE shop.order_status AS ENUM ('new', 'paid', 'shipped', 'cancelled');

CREATE TABLE shop.orders (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES shop.customers,
    currency    text NOT NULL REFERENCES shop.currencies,
    status      shop.order_status NOT NULL DEFAULT 'new',
    placed_at   timestamptz NOT NULL DEFAULT now(),
    shipped_at  timestamptz,
    CONSTRAINT orders_shipped_after_placed CHECK (shipped_at >= placed_at)
);

-- Serves the foreign key and "this customer's latest orders".
CREATE INDEX orders_customer_id_placed_at_idx ON shop.orders (customer_id, placed_at);
CREATE INDEX orders_currency_idx ON shop.orders (currency);

CREATE TABLE shop.order_items (
    order_id    bigint NOT NULL REFERENCES shop.orders ON DELETE CASCADE,
    line_number integer NOT NULL CHECK (line_number > 0),
    product_id  bigint NOT NULL REFERENCES shop.products,
    quantity    integer NOT NULL CHECK (quantity > 0),
    unit_price  numeric(14, 4) NOT NULL CHECK (unit_price >= 0),
    PRIMARY KEY (order_id, line_number)
);

CREATE INDEX order_items_product_id_idx ON shop.order_items (product_id);

COMMENT ON TYPE shop.order_status IS 'How far an order has come';
COMMENT ON TABLE shop.orders IS 'One order of one customer, in one currency';
COMMENT ON TABLE shop.order_items IS 'The lines of an order';
COMMENT ON COLUMN shop.order_items.unit_price IS 'As it was when the order was placed';

-- migrate:down
DROP TABLE shop.order_items;
DROP TABLE shop.orders;
DROP TYPE shop.order_status;
