-- migrate:up
-- Reads the whole table while others read and write.
ALTER TABLE shop.products VALIDATE CONSTRAINT products_slug_present;

-- Reads no rows, because the valid constraint proves it.
ALTER TABLE shop.products ALTER COLUMN slug SET NOT NULL;

-- migrate:down
ALTER TABLE shop.products ALTER COLUMN slug DROP NOT NULL;

-- A constraint cannot become NOT VALID again, so it is replaced. This reads no rows.
ALTER TABLE shop.products
    DROP CONSTRAINT products_slug_present,
    ADD CONSTRAINT products_slug_present CHECK (slug IS NOT NULL AND slug <> '') NOT VALID;
