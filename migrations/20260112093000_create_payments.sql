-- migrate:up
CREATE TABLE shop.payments (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id           bigint NOT NULL REFERENCES shop.orders,
    amount             numeric(14, 4) NOT NULL CHECK (amount <> 0),
    provider           text NOT NULL,
    provider_reference text NOT NULL,
    paid_at            timestamptz NOT NULL DEFAULT now(),
    -- A provider may report one payment several times; it counts once.
    UNIQUE (provider, provider_reference)
);

CREATE INDEX payments_order_id_idx ON shop.payments (order_id);

COMMENT ON TABLE shop.payments IS 'Money that came in, or went back';
COMMENT ON COLUMN shop.payments.amount IS 'In the currency of the order; negative for a refund';

-- migrate:down
DROP VIEW IF EXISTS shop.order_balances;
DROP TABLE shop.payments;
