-- A parcel network: carriers (tenants), customers, shipments, parcels, scans (partitioned), routes, stops, invoices, tickets, pings, an outbox.
-- Written without looking at the advisor's code, to be looked at once. About 3.4 million rows.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gist;
SELECT setseed(0.4242);
CREATE TABLE country (code char(2) PRIMARY KEY, name text NOT NULL, zone int NOT NULL);
INSERT INTO country SELECT chr(65 + i / 26) || chr(65 + i % 26), 'Country ' || i, i % 7 FROM generate_series(0, 199) i;
CREATE TABLE tariff (id int PRIMARY KEY, zone int NOT NULL, max_grams int NOT NULL, cents int NOT NULL);
INSERT INTO tariff SELECT i, i % 7, (i % 60) * 500, 100 + i FROM generate_series(1, 420) i;
CREATE TABLE carrier (id int PRIMARY KEY, name text NOT NULL, is_active boolean NOT NULL);
INSERT INTO carrier SELECT i, 'Carrier ' || i, i % 9 <> 0 FROM generate_series(1, 40) i;
CREATE TABLE depot (id int PRIMARY KEY, carrier_id int NOT NULL REFERENCES carrier, place point NOT NULL);
INSERT INTO depot SELECT i, 1 + i % 40, point(random() * 100, random() * 100) FROM generate_series(1, 300) i;
CREATE TABLE driver (id int PRIMARY KEY, carrier_id int NOT NULL REFERENCES carrier, full_name text NOT NULL, skills text[] NOT NULL, archived_at timestamptz);
INSERT INTO driver SELECT i, 1 + i % 40, 'Driver ' || md5(i::text), ARRAY['van'] || CASE WHEN i % 50 = 0 THEN ARRAY['adr'] ELSE '{}' END, CASE WHEN random() < 0.2 THEN now() END FROM generate_series(1, 4000) i;
CREATE TABLE vehicle (id int PRIMARY KEY, carrier_id int NOT NULL REFERENCES carrier, plate text NOT NULL UNIQUE);
INSERT INTO vehicle SELECT i, 1 + i % 40, 'PL-' || lpad(i::text, 6, '0') FROM generate_series(1, 3000) i;
CREATE TABLE customer (id bigint PRIMARY KEY, carrier_id int NOT NULL REFERENCES carrier, email text NOT NULL, phone text NOT NULL, country char(2) NOT NULL, wants_news boolean NOT NULL, created_at timestamptz NOT NULL);
INSERT INTO customer SELECT i, 1 + (random() * random() * 39)::int, 'User.' || i || '@Example' || i % 50 || '.org', '+' || (4400000000 + i::bigint * 7919 % 99999999), 'AA', random() < 0.5, timestamptz '2026-11-01' - random() * interval '900 days' FROM generate_series(1, 120000) i;
UPDATE customer SET country = (SELECT min(code) FROM country c WHERE c.zone = customer.id % 7);
CREATE INDEX ix_customer_carrier ON customer (carrier_id);
CREATE TABLE shipment (id bigint PRIMARY KEY, ref uuid NOT NULL UNIQUE, carrier_id int NOT NULL REFERENCES carrier, customer_id bigint NOT NULL REFERENCES customer, depot_id int NOT NULL REFERENCES depot, status text NOT NULL, external_code text NOT NULL, grams int NOT NULL, meta jsonb NOT NULL, labels text[] NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
INSERT INTO shipment SELECT i, md5(i::text)::uuid, 1 + (random() * random() * 39)::int, 1 + (random() * random() * 119999)::bigint, 1 + (random() * 299)::int,
  (ARRAY['delivered','delivered','delivered','delivered','delivered','delivered','in_transit','in_transit','returned','created'])[1 + (random() * 9)::int], 'EXT' || lpad((i::bigint * 7919 % 1000003)::text, 8, '0'), (100 + 30000 * random() ^ 6)::int,
  jsonb_build_object('po_number', 'PO' || i % 250000, 'source', (ARRAY['api','web','edi'])[1 + i % 3], 'addr', jsonb_build_object('zip', lpad((i * 31 % 90000)::text, 5, '0'))) || CASE WHEN i % 400 = 0 THEN jsonb_build_object('insurance', 'gold') ELSE '{}' END,
  CASE WHEN i % 700 = 0 THEN ARRAY['hazmat', 'tall'] WHEN i % 300 = 0 THEN ARRAY['cold'] WHEN i % 2 = 0 THEN ARRAY['std'] ELSE ARRAY['std', 'eco'] END,
  timestamptz '2026-01-01' + i * interval '50 seconds', timestamptz '2026-01-01' + i * interval '50 seconds' + random() * interval '9 days', CASE WHEN random() < 0.08 THEN timestamptz '2026-10-30' END FROM generate_series(1, 500000) i;
UPDATE shipment SET status = 'held' WHERE id % 450 = 7;
CREATE INDEX ix_shipment_carrier ON shipment (carrier_id);
CREATE INDEX ix_shipment_carrier_created ON shipment (carrier_id, created_at);
CREATE TABLE parcel (id bigint PRIMARY KEY, shipment_id bigint NOT NULL REFERENCES shipment, barcode text NOT NULL, grams int NOT NULL, is_damaged boolean NOT NULL);
INSERT INTO parcel SELECT i, 1 + (random() * 499999)::bigint, 'BC' || upper(substr(md5(i::text), 1, 12)), (random() * 20000)::int, i % 2000 = 3 FROM generate_series(1, 700000) i;
CREATE INDEX ix_parcel_shipment ON parcel (shipment_id);
CREATE INDEX parcel_shipment_id_idx1 ON parcel (shipment_id);
CREATE TABLE scan (parcel_id bigint NOT NULL, depot_id int NOT NULL, kind text NOT NULL, scanned_at timestamptz NOT NULL) PARTITION BY RANGE (scanned_at);
CREATE TABLE scan_2026_08 PARTITION OF scan FOR VALUES FROM ('2026-08-01') TO ('2026-09-01');
CREATE TABLE scan_2026_09 PARTITION OF scan FOR VALUES FROM ('2026-09-01') TO ('2026-10-01');
CREATE TABLE scan_2026_10 PARTITION OF scan FOR VALUES FROM ('2026-10-01') TO ('2026-11-01');
INSERT INTO scan SELECT 1 + (random() * 699999)::bigint, 1 + (random() * 299)::int, (ARRAY['in','out','load'])[1 + i % 3], timestamptz '2026-08-01' + i * interval '9 seconds' FROM generate_series(1, 850000) i;
CREATE TABLE route (id bigint PRIMARY KEY, driver_id int NOT NULL REFERENCES driver, depot_id int NOT NULL, day date NOT NULL, status text NOT NULL, UNIQUE (driver_id, day));
INSERT INTO route SELECT i, 1 + i % 4000, 1 + i % 300, date '2026-10-01' + i / 4000, CASE WHEN i > 78000 THEN 'planned' ELSE 'done' END FROM generate_series(0, 79999) i;
CREATE TABLE stop (id bigint PRIMARY KEY, route_id bigint NOT NULL REFERENCES route, seq int NOT NULL, shipment_id bigint NOT NULL, eta timestamptz NOT NULL, arrived_at timestamptz, place point NOT NULL);
INSERT INTO stop SELECT i, (i::bigint * 7919) % 80000, i % 5, 1 + i % 500000, timestamptz '2026-10-01' + random() * interval '20 days', CASE WHEN random() < 0.96 THEN timestamptz '2026-10-21' END, point(random() * 100, random() * 100) FROM generate_series(1, 400000) i;
CREATE TABLE invoice (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customer, number text NOT NULL UNIQUE, issued_on date NOT NULL, due_on date NOT NULL, paid_at timestamptz, cents bigint NOT NULL);
INSERT INTO invoice SELECT i, 1 + i % 120000, 'INV-' || i, date '2025-01-01' + i / 300, date '2025-01-31' + i / 300, CASE WHEN random() < 0.97 THEN now() END, (random() * 100000)::bigint FROM generate_series(1, 200000) i;
CREATE INDEX ix_invoice_customer ON invoice (customer_id);
CREATE TABLE invoice_line (id bigint PRIMARY KEY, invoice_id bigint NOT NULL REFERENCES invoice, product text NOT NULL, cents int NOT NULL);
INSERT INTO invoice_line SELECT i, 1 + (i::bigint * 7919) % 200000, 'product ' || i % 30, i % 5000 FROM generate_series(1, 450000) i;
CREATE TABLE ticket (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customer, assignee_id int REFERENCES driver, state text NOT NULL, subject text NOT NULL, body text NOT NULL, search tsvector GENERATED ALWAYS AS (to_tsvector('english', subject || ' ' || body)) STORED, updated_at timestamptz NOT NULL, n_views int NOT NULL DEFAULT 0);
INSERT INTO ticket (id, customer_id, assignee_id, state, subject, body, updated_at) SELECT i, 1 + (i * 31) % 120000, 1 + i % 400, CASE WHEN i % 25 = 0 THEN 'open' ELSE 'closed' END, 'Subject ' || md5(i::text), 'parcel word' || i % 3000 || ' lost near place' || i % 90 || ' please help term' || i % 17, timestamptz '2026-01-01' + i * interval '4 minutes' FROM generate_series(1, 100000) i;
CREATE INDEX ix_ticket_state ON ticket (state);
CREATE TABLE ticket_note (id bigint PRIMARY KEY, ticket_id bigint NOT NULL REFERENCES ticket, body text NOT NULL, created_at timestamptz NOT NULL);
INSERT INTO ticket_note SELECT i, 1 + (i * 17) % 100000, 'note ' || md5(i::text), timestamptz '2026-01-01' + i * interval '1 minute' FROM generate_series(1, 300000) i;
CREATE TABLE vehicle_shift (id bigint PRIMARY KEY, vehicle_id int NOT NULL REFERENCES vehicle, during tstzrange NOT NULL);
INSERT INTO vehicle_shift SELECT i, 1 + i % 3000, tstzrange(timestamptz '2026-01-01' + (i / 3000) * interval '9 hours', timestamptz '2026-01-01' + (i / 3000) * interval '9 hours' + interval '7 hours') FROM generate_series(1, 240000) i;
CREATE TABLE ping (vehicle_id int NOT NULL, at timestamptz NOT NULL, speed real NOT NULL);
INSERT INTO ping SELECT 1 + (random() * 2999)::int, timestamptz '2026-10-01' + i * interval '3 seconds', random() * 90 FROM generate_series(1, 700000) i;
CREATE TABLE outbox (id bigint PRIMARY KEY, topic text NOT NULL, payload jsonb NOT NULL, created_at timestamptz NOT NULL, published_at timestamptz);
INSERT INTO outbox SELECT i, 'topic' || i % 12, jsonb_build_object('n', i), timestamptz '2026-10-01' + i * interval '5 seconds', CASE WHEN i < 299700 THEN timestamptz '2026-10-01' + i * interval '5 seconds' + interval '1 minute' END FROM generate_series(1, 300000) i;
VACUUM ANALYZE;
