-- migrate:up
CREATE SCHEMA shop;

CREATE TABLE shop.customers (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email      text NOT NULL CHECK (email LIKE '%_@_%'),
    name       text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One account per address, whatever its capitalisation.
CREATE UNIQUE INDEX customers_email_key ON shop.customers (lower(email));

COMMENT ON SCHEMA shop IS 'A small shop: customers, products, orders and their payments';
COMMENT ON TABLE shop.customers IS 'Whoever has an account';

-- migrate:down
-- Repeatable migrations have no down script, so this one drops what they created on this table.
DROP FUNCTION IF EXISTS shop.find_customer(text);
DROP TABLE shop.customers;
DROP SCHEMA shop;
