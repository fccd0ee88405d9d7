-- migrate:up
CREATE TABLE shop.currencies (
    code        text PRIMARY KEY CHECK (code ~ '^[A-Z]{3}$'),
    name        text NOT NULL,
    minor_units smallint NOT NULL CHECK (minor_units BETWEEN 0 AND 4)
);

-- Data in COPY's text format, as pg_dump writes it: tabs separate the columns.
COPY shop.currencies (code, name, minor_units) FROM stdin;
CHF	Swiss franc	2
EUR	Euro	2
GBP	Pound sterling	2
JPY	Yen	0
SEK	Swedish krona	2
USD	US dollar	2
\.

CREATE TABLE shop.products (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku        text NOT NULL UNIQUE CHECK (sku <> ''),
    name       text NOT NULL CHECK (name <> ''),
    -- Four decimal places, because some currencies need them.
    price      numeric(14, 4) NOT NULL CHECK (price >= 0),
    currency   text NOT NULL REFERENCES shop.currencies,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- PostgreSQL does not create an index for a foreign key.
CREATE INDEX products_currency_idx ON shop.products (currency);

COMMENT ON TABLE shop.currencies IS 'ISO 4217, as far as this shop sells in it';
COMMENT ON TABLE shop.products IS 'What is for sale';
COMMENT ON COLUMN shop.products.price IS 'For one piece, without tax';

-- migrate:down
DROP TABLE shop.products;
DROP TABLE shop.currencies;
