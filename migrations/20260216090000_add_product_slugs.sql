-- The first of four steps to a required and unique column: add, fill, require, index. No step blocks
-- readers or writers for longer than an instant.

-- migrate:up
ALTER TABLE shop.products ADD COLUMN slug text;

-- NOT VALID: the constraint applies to rows written from now on. A later migration checks the existing
-- rows under a weaker lock.
ALTER TABLE shop.products
    ADD CONSTRAINT products_slug_present CHECK (slug IS NOT NULL AND slug <> '') NOT VALID;

COMMENT ON COLUMN shop.products.slug IS 'The name in web addresses';

-- migrate:down
ALTER TABLE shop.products DROP COLUMN slug;
