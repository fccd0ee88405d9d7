-- The first of four steps to a column that must be there and be unique, none of which stops readers
-- or writers for longer than an instant: add, fill, require, index.

-- migrate:up
ALTER TABLE shop.products ADD COLUMN slug text;

-- NOT VALID: it holds for every row written from now on; the rows there are get looked at later,
-- under a lock that lets others work.
ALTER TABLE shop.products
    ADD CONSTRAINT products_slug_present CHECK (slug IS NOT NULL AND slug <> '') NOT VALID;

COMMENT ON COLUMN shop.products.slug IS 'The name in web addresses';

-- migrate:down
ALTER TABLE shop.products DROP COLUMN slug;
