-- Sum the totals separately: after a join, each payment would count once for every item.

CREATE OR REPLACE VIEW shop.order_balances AS
SELECT
    orders.id AS order_id,
    orders.currency,
    items.total,
    payments.paid,
    items.total - payments.paid AS due
FROM shop.orders
CROSS JOIN LATERAL (
    SELECT coalesce(sum(order_items.quantity * order_items.unit_price), 0) AS total
    FROM shop.order_items
    WHERE order_items.order_id = orders.id
) AS items
CROSS JOIN LATERAL (
    SELECT coalesce(sum(payments.amount), 0) AS paid
    FROM shop.payments
    WHERE payments.order_id = orders.id
) AS payments;

COMMENT ON VIEW shop.order_balances IS 'What each order costs, what was paid, and what is due';
