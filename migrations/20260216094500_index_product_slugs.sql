-- This builds the index while others write. It cannot run in a transaction, so it has its own file.
-- Lockgate recognises that, and builds the index again if the build was interrupted.

-- migrate:up
CREATE UNIQUE INDEX CONCURRENTLY products_slug_key ON shop.products (slug);

-- migrate:down
DROP INDEX CONCURRENTLY shop.products_slug_key;
