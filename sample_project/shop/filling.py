"""Which statements fill the shop: each row a pure function of its number and the seed, made by the server.

Because every value is computed from a number, an order knows the sum of its lines without reading them, and no
statement has to join what another has written.
"""

from __future__ import annotations

# Temporary, and simple enough for the planner to inline them; where a value is used twice, OFFSET 0 keeps the planner
# from computing it twice. hashint8extended is what hash partitioning uses, and spreads well.
FUNCTIONS = (
    """
    CREATE FUNCTION pg_temp.pick(i bigint, salt int, n int) RETURNS int LANGUAGE sql IMMUTABLE AS $$
        SELECT ((hashint8extended(i, {seed}::bigint * 1000 + salt) & 9223372036854775807) % n)::int $$
    """,
    """
    CREATE FUNCTION pg_temp.word(words text[], i bigint, salt int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
        SELECT words[1 + pg_temp.pick(i, salt, cardinality(words))] $$
    """,
    """
    CREATE FUNCTION pg_temp.cents(i bigint) RETURNS int LANGUAGE sql IMMUTABLE AS $$
        SELECT 195 + 5 * pg_temp.pick(i, 1, 2400) $$
    """,
    # the square of an even spread: a few products sell well, most now and then
    """
    CREATE FUNCTION pg_temp.popular(i bigint, n int) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
        SELECT 1 + pg_temp.pick(i, 2, n)::bigint * pg_temp.pick(i, 3, n) / n $$
    """,
    """
    CREATE FUNCTION pg_temp.lines(o bigint) RETURNS int LANGUAGE sql IMMUTABLE AS $$
        SELECT 1 + pg_temp.pick(o, 4, 5) $$
    """,
    """
    CREATE FUNCTION pg_temp.quantity(line bigint) RETURNS int LANGUAGE sql IMMUTABLE AS $$
        SELECT 1 + pg_temp.pick(line, 5, 4) * pg_temp.pick(line, 6, 2) $$
    """,
    """
    CREATE FUNCTION pg_temp.day(fraction float8, i bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
        SELECT timestamptz '2025-10-07 07:00+00'
               + make_interval(secs => floor(fraction * 389 * 86400) + pg_temp.pick(i, 7, 43200)) $$
    """,
)

STATEMENTS = {
    "public.staff": """
        INSERT INTO staff (id, email, full_name, role_id, active) OVERRIDING SYSTEM VALUE
        SELECT n, 'staff' || n || '@shop.example',
               pg_temp.word(%(first_names)s::text[], n, 20) || ' ' || pg_temp.word(%(last_names)s::text[], n, 21),
               (%(roles)s::int[])[1 + pg_temp.pick(n, 22, cardinality(%(roles)s::int[]))], pg_temp.pick(n, 23, 8) > 0
        FROM (SELECT %(staff_0)s + generate_series(1, %(staff)s)::bigint AS n) s
    """,
    "public.categories": """
        WITH branch AS (
            INSERT INTO categories (slug, name)
            SELECT slug, name FROM unnest(%(slugs)s::text[], %(branches)s::text[]) WITH ORDINALITY b (slug, name, n)
            WHERE NOT EXISTS (SELECT FROM categories c WHERE c.slug = b.slug) ORDER BY n
            RETURNING id, slug
        )
        INSERT INTO categories (parent_id, slug, name)
        SELECT branch.id, branch.slug || '/' || lower(leaf), leaf
        FROM unnest(%(leaves)s::text[]) WITH ORDINALITY l (leaf, n)
        JOIN branch ON branch.slug = (%(slugs)s::text[])[1 + (n - 1) / 5] ORDER BY n
    """,
    "public.products": """
        INSERT INTO products (id, sku, name, description, category_id, price, status, tags, attributes,
                              created_at, updated_at)
        SELECT (%(product_ids)s::uuid[])[n - %(product_0)s], 'SKU-' || lpad(n::text, 6, '0'),
               pg_temp.word(%(materials)s::text[], n, 30) || ' ' || pg_temp.word(%(things)s::text[], n, 31) || ' ' || n,
               'Made of ' || lower(pg_temp.word(%(materials)s::text[], n, 30)) || ' in a small workshop.',
               c.ids[1 + pg_temp.pick(n, 32, cardinality(c.ids))], pg_temp.cents(n) * 0.01,
               CASE WHEN pg_temp.pick(n, 33, 20) = 0 THEN 'retired' WHEN pg_temp.pick(n, 33, 20) = 1 THEN 'draft'
                    ELSE 'active' END::product_status,
               CASE pg_temp.pick(n, 34, 3) WHEN 0 THEN '{}' WHEN 1 THEN ARRAY[pg_temp.word(%(tags)s::text[], n, 35)]
                    ELSE ARRAY['gift', pg_temp.word(%(tags)s::text[], n, 36)] END,
               jsonb_build_object('weight_g', 50 + pg_temp.pick(n, 37, 5000), 'care',
                                  CASE pg_temp.pick(n, 38, 2) WHEN 0 THEN 'wash by hand' ELSE 'wipe' END),
               pg_temp.day(0, n), pg_temp.day(0, n)
        FROM (SELECT %(product_0)s + generate_series(1, %(products)s)::bigint AS n) s,
             (SELECT array_agg(id ORDER BY id) AS ids FROM categories WHERE parent_id IS NOT NULL) c
    """,
    "public.customers": """
        INSERT INTO customers (id, email, full_name, country_code, phone, preferences, marketing_opt_in,
                               created_at, updated_at) OVERRIDING SYSTEM VALUE
        SELECT n, translate(lower(replace(full_name, ' ', '.')), 'äáåçéèëêíńñóöøúüłß''', 'aaaceeeeinnooouuls')
                  || '.' || n || '@' || pg_temp.word(%(hosts)s::text[], n, 40),
               full_name, pg_temp.word(%(countries)s::text[], n, 41),
               CASE WHEN pg_temp.pick(n, 42, 3) > 0 THEN '+00 555 ' || 1000000 + pg_temp.pick(n, 43, 9000000) END,
               CASE pg_temp.pick(n, 44, 4) WHEN 0 THEN '{"language": "en"}' WHEN 1 THEN '{"layout": "list"}'
                    ELSE '{}' END::jsonb,
               pg_temp.pick(n, 45, 4) = 0, created_at, created_at
        FROM (SELECT n, pg_temp.day(-0.01 - pg_temp.pick(n, 39, 1000)::float8 / 8000, n) AS created_at,
                     CASE WHEN pg_temp.pick(n, 46, 400) = 0 THEN pg_temp.word(%(single_names)s::text[], n, 47)
                          ELSE pg_temp.word(%(first_names)s::text[], n, 48) || ' '
                               || pg_temp.word(%(last_names)s::text[], n, 49) END AS full_name
              FROM (SELECT %(customer_0)s + generate_series(1, %(customers)s)::bigint AS n) s
              OFFSET 0) s
    """,
    "public.addresses": """
        INSERT INTO addresses (id, customer_id, kind, street, postal_code, city, country_code, is_default)
        OVERRIDING SYSTEM VALUE
        SELECT %(address_0)s + n, %(customer_0)s + c,
               CASE WHEN n <= %(customers)s THEN 'shipping' ELSE 'billing' END::address_kind,
               pg_temp.word(%(streets)s::text[], n, 50) || ' ' || 1 + pg_temp.pick(n, 51, 180),
               lpad(pg_temp.pick(n, 52, 100000)::text, 5, '0'), pg_temp.word(%(cities)s::text[], n, 53),
               pg_temp.word(%(countries)s::text[], %(customer_0)s + c, 41), true
        FROM (SELECT n, CASE WHEN n <= %(customers)s THEN n ELSE (n - %(customers)s) * 4 END AS c
              FROM generate_series(1::bigint, %(customers)s + %(customers)s / 4) n) s
    """,
    "public.newsletter_subscriptions": """
        INSERT INTO newsletter_subscriptions (email, subscribed_at, unsubscribed_at)
        SELECT email, created_at, CASE WHEN pg_temp.pick(id, 55, 9) = 0 THEN created_at + interval '30 days' END
        FROM customers WHERE id > %(customer_0)s AND id <= %(customer_0)s + %(customers)s AND marketing_opt_in
        ORDER BY id ON CONFLICT (email) DO NOTHING
    """,
    "public.orders": """
        INSERT INTO orders (id, customer_id, shipping_address_id, status, note, handled_by, placed_at, updated_at,
                            total, currency) OVERRIDING SYSTEM VALUE
        SELECT n, %(customer_0)s + c, %(address_0)s + c, status::order_status,
               CASE WHEN pg_temp.pick(n, 61, 8) = 0 THEN pg_temp.word(%(notes)s::text[], n, 62) END,
               CASE WHEN pg_temp.pick(n, 63, 5) > 1 THEN %(staff_0)s + 1 + pg_temp.pick(n, 64, %(staff)s) END,
               placed_at, placed_at,
               (SELECT sum(pg_temp.quantity(n * 8 + l)
                           * pg_temp.cents(%(product_0)s + pg_temp.popular(n * 8 + l, %(products)s)))
                FROM (VALUES (1), (2), (3), (4), (5)) v (l) WHERE l <= pg_temp.lines(n)) * 0.01,
               CASE WHEN status <> 'cancelled' OR placed_at > timestamptz '2026-07-01 11:00+00'
                    THEN pg_temp.word(%(currencies)s::text[], %(customer_0)s + c, 41) END
        FROM (SELECT n, 1 + pg_temp.pick(n, 60, %(customers)s) AS c, pg_temp.day(fraction, n) AS placed_at,
                     CASE WHEN fraction > 0.98 THEN CASE pg_temp.pick(n, 65, 3) WHEN 0 THEN 'placed' ELSE 'paid' END
                          WHEN pg_temp.pick(n, 66, 100) < 3 THEN 'cancelled'
                          WHEN pg_temp.pick(n, 66, 100) < 5 THEN 'refunded' ELSE 'shipped' END AS status
              FROM (SELECT %(order_0)s + k AS n, k::float8 / %(orders)s AS fraction
                    FROM generate_series(1::bigint, %(orders)s) k) s
              OFFSET 0) s
    """,
    "public.order_lines": """
        INSERT INTO order_lines (order_id, line_no, product_id, quantity, unit_price)
        SELECT n, l, (%(product_ids)s::uuid[])[p], pg_temp.quantity(n * 8 + l), pg_temp.cents(%(product_0)s + p) * 0.01
        FROM (SELECT n, l, pg_temp.popular(n * 8 + l, %(products)s) AS p
              FROM (SELECT n, generate_series(1, pg_temp.lines(n)) AS l
                    FROM (SELECT %(order_0)s + generate_series(1, %(orders)s)::bigint AS n) o) o
              OFFSET 0) s
    """,
    "public.payments": """
        INSERT INTO payments (id, order_id, method, amount, reference, captured_at)
        SELECT md5('payment ' || id)::uuid, id,
               (ARRAY['card', 'card', 'card', 'paypal', 'paypal', 'invoice', 'voucher'])[1 + pg_temp.pick(id, 70, 7)],
               total, 'PX-' || lpad(id::text, 10, '0'), placed_at + make_interval(secs => 5 + pg_temp.pick(id, 71, 600))
        FROM orders WHERE id > %(order_0)s AND status IN ('paid', 'shipped', 'refunded')
    """,
    "public.reviews": """
        INSERT INTO reviews (product_id, customer_id, rating, body, created_at)
        SELECT (%(product_ids)s::uuid[])[pg_temp.popular(n, %(products)s)],
               CASE WHEN pg_temp.pick(n, 80, 20) > 0 THEN %(customer_0)s + 1 + pg_temp.pick(n, 81, %(customers)s) END,
               5 - pg_temp.pick(n, 82, 3) * pg_temp.pick(n, 83, 3),
               CASE WHEN pg_temp.pick(n, 84, 3) > 0 THEN pg_temp.word(%(opinions)s::text[], n, 85) END,
               pg_temp.day(n::float8 / %(reviews)s, n)
        FROM generate_series(1::bigint, %(reviews)s) n
    """,
    # a thousand of each come in, then one or two leave at a time, and some return
    "warehouse.stock_movements": """
        INSERT INTO warehouse.stock_movements (warehouse_id, product_id, quantity, reason, moved_at)
        SELECT (%(warehouses)s::int[])[w], (%(product_ids)s::uuid[])[p], 1000, 'received', pg_temp.day(0, p)
        FROM generate_series(1::bigint, %(products)s) p, generate_series(1, cardinality(%(warehouses)s::int[])) w
        UNION ALL
        SELECT (%(warehouses)s::int[])[1 + pg_temp.pick(n, 90, cardinality(%(warehouses)s::int[]))],
               (%(product_ids)s::uuid[])[1 + n %% %(products)s],
               CASE WHEN pg_temp.pick(n, 91, 20) = 0 THEN 1 ELSE -1 - pg_temp.pick(n, 92, 2) END,
               CASE WHEN pg_temp.pick(n, 91, 20) = 0 THEN 'returned' ELSE 'sold' END::warehouse.movement_reason,
               pg_temp.day(n::float8 / %(movements)s, n)
        FROM generate_series(1::bigint, %(movements)s) n
    """,
    "warehouse.stock": """
        INSERT INTO warehouse.stock (warehouse_id, product_id, quantity, reserved, updated_at)
        SELECT warehouse_id, product_id, sum(quantity), sum(quantity) / 50, max(moved_at)
        FROM warehouse.stock_movements m
        WHERE NOT EXISTS (SELECT FROM warehouse.stock s
                          WHERE s.warehouse_id = m.warehouse_id AND s.product_id = m.product_id)
        GROUP BY warehouse_id, product_id ORDER BY product_id, warehouse_id
    """,
    "warehouse.shipments": """
        INSERT INTO warehouse.shipments (order_id, warehouse_id, carrier, tracking_code, shipped_at, delivered_at)
        SELECT id, (%(warehouses)s::int[])[1 + pg_temp.pick(id, 95, cardinality(%(warehouses)s::int[]))],
               pg_temp.word(%(carriers)s::text[], id, 96), upper(substr(md5('parcel ' || id), 1, 12)), shipped_at,
               CASE WHEN shipped_at < timestamptz '2026-10-20 00:00+00'
                    THEN shipped_at + make_interval(hours => 20 + pg_temp.pick(id, 97, 90)) END
        FROM (SELECT id, placed_at + make_interval(hours => 4 + pg_temp.pick(id, 98, 60)) AS shipped_at
              FROM orders WHERE id > %(order_0)s AND status IN ('shipped', 'refunded')) s
    """,
}
"""One INSERT per table, parents first."""

SEQUENCES = (
    "SELECT setval(pg_get_serial_sequence('staff', 'id'), max(id)) FROM staff",
    "SELECT setval(pg_get_serial_sequence('customers', 'id'), max(id)) FROM customers",
    "SELECT setval(pg_get_serial_sequence('addresses', 'id'), max(id)) FROM addresses",
    "SELECT setval(pg_get_serial_sequence('orders', 'id'), max(id)) FROM orders",
)
"""What follows rows that brought their own number: the next row of the application comes after them."""
