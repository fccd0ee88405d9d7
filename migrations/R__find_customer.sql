-- Repeatable: edit this file, and the next run applies it again.

CREATE OR REPLACE FUNCTION shop.find_customer(wanted text) RETURNS SETOF shop.customers
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT * FROM shop.customers WHERE lower(email) = lower(wanted);
END;

COMMENT ON FUNCTION shop.find_customer(text) IS 'The customer with this address, in any case';
