-- Built while others write. This cannot be part of a transaction, so it has a file of its own;
-- Lockgate sees that by itself, and builds the index again if the build was broken off.

-- migrate:up
CREATE UNIQUE INDEX CONCURRENTLY products_slug_key ON shop.products (slug);

-- migrate:down
DROP INDEX CONCURRENTLY shop.products_slug_key;
