-- Schema "shop": 38 relations with rows, every kind of type, index and statistics that the twin claims to reproduce.
-- Scale with psql -v scale=N (default 1: 200,000 orders). Run in an empty database as superuser.
\set ON_ERROR_STOP on
\if :{?scale} \else \set scale 1 \endif
CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE EXTENSION IF NOT EXISTS citext; CREATE EXTENSION IF NOT EXISTS btree_gin;
CREATE EXTENSION IF NOT EXISTS btree_gist; CREATE EXTENSION IF NOT EXISTS hstore; CREATE EXTENSION IF NOT EXISTS pageinspect;
SELECT setseed(0.42);
CREATE SCHEMA shop; CREATE SCHEMA "Odd Näme";
CREATE TYPE shop.state AS ENUM ('new','paid','packed','shipped','returned');
CREATE DOMAIN shop.money_amt AS numeric(12,2) CHECK (VALUE >= 0);
CREATE TYPE shop.geo AS (lat float8, lon float8);
CREATE TYPE shop.floatrange AS RANGE (SUBTYPE = float8);
CREATE FUNCTION shop.norm(t text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT lower(btrim(t)) $$;
CREATE FUNCTION shop.bucket(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN n % 17; END $$;
CREATE FUNCTION shop.recent(days int) RETURNS SETOF int LANGUAGE sql STABLE ROWS 30 AS $$ SELECT generate_series(1, days) $$;

CREATE TABLE shop.countries (code char(2) PRIMARY KEY, name text NOT NULL, region text);
INSERT INTO shop.countries SELECT chr(65+i/26)||chr(65+i%26), 'Country '||i, (ARRAY['EU','NA','AS','AF'])[1+i%4] FROM generate_series(0,239) i;
CREATE TABLE shop.customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email citext NOT NULL, name text, country char(2) REFERENCES shop.countries, born date,
  vip boolean NOT NULL DEFAULT false, tags text[] NOT NULL DEFAULT '{}', prefs jsonb, created_at timestamptz NOT NULL, ip inet, token uuid, props hstore, home shop.geo, junk1 int, junk2 text);
INSERT INTO shop.customers (email,name,country,born,vip,tags,prefs,created_at,ip,token,props,home)
 SELECT 'user'||i||'@example.com', 'Name '||(random()*5000)::int, chr(65+(power(random(),3)*8)::int)||chr(65+(random()*25)::int), date '1950-01-01'+(random()*20000)::int, random()<0.03,
  (ARRAY['{a}','{a,b}','{c}','{d,e,f}','{}'])[1+(random()*4)::int]::text[], jsonb_build_object('theme',(ARRAY['dark','light'])[1+(random()*1)::int],'n',(random()*100)::int),
  timestamptz '2024-01-01'+random()*interval '700 days', ('10.'||(random()*255)::int||'.'||(random()*255)::int||'.7')::inet, md5(random()::text)::uuid, hstore('k',(i%7)::text), ROW(random(),random())::shop.geo
 FROM generate_series(1, 50000*:scale) i;
ALTER TABLE shop.customers DROP COLUMN junk1; ALTER TABLE shop.customers DROP COLUMN junk2; ALTER TABLE shop.customers ADD COLUMN score real;
UPDATE shop.customers SET score = random()*100 WHERE id % 3 = 0;
CREATE UNIQUE INDEX customers_email_key ON shop.customers (email);
CREATE INDEX customers_norm_name ON shop.customers (shop.norm(name)); CREATE INDEX customers_country_created ON shop.customers (country, created_at DESC);
CREATE INDEX customers_tags ON shop.customers USING gin (tags); CREATE INDEX customers_prefs ON shop.customers USING gin (prefs jsonb_path_ops);
CREATE INDEX customers_name_trgm ON shop.customers USING gin (name gin_trgm_ops); CREATE INDEX customers_vip ON shop.customers (created_at) WHERE vip;
CREATE INDEX customers_ip ON shop.customers USING gist (ip inet_ops); CREATE INDEX customers_token ON shop.customers USING hash (token);
CREATE INDEX customers_theme ON shop.customers ((prefs->>'theme')); CREATE INDEX customers_bucket ON shop.customers (shop.bucket(id::int)); CREATE INDEX customers_props ON shop.customers USING gist (props);
CREATE TABLE shop.suppliers (id serial PRIMARY KEY, name varchar(80) NOT NULL, rating numeric(3,1), area point);
INSERT INTO shop.suppliers (name,rating,area) SELECT 'Supplier '||i, (random()*5)::numeric(3,1), point(random()*100,random()*100) FROM generate_series(1,500) i;
CREATE INDEX suppliers_area ON shop.suppliers USING spgist (area);
CREATE TABLE shop.products (id int PRIMARY KEY, sku text NOT NULL UNIQUE, title text, descr text, price shop.money_amt, supplier_id int REFERENCES shop.suppliers, weight float8, attrs jsonb,
  dims int4range, stock smallint, search tsvector GENERATED ALWAYS AS (to_tsvector('english', coalesce(title,'')||' '||coalesce(descr,''))) STORED, valid tstzrange, code text COLLATE "C", price2 numeric GENERATED ALWAYS AS (price*2) STORED);
INSERT INTO shop.products (id,sku,title,descr,price,supplier_id,weight,attrs,dims,stock,valid,code)
 SELECT i,'SKU-'||lpad(i::text,7,'0'),(ARRAY['Red','Blue','Green','Old'])[1+(random()*3)::int]||' '||(ARRAY['chair','table','lamp','desk','shelf'])[1+(random()*4)::int]||' '||i, repeat((ARRAY['solid oak ','fine metal ','cheap plastic '])[1+(random()*2)::int],1+(random()*4)::int),
  (random()*random()*1000)::numeric(12,2),1+(random()*499)::int,random()*50,jsonb_build_object('color',(ARRAY['red','blue','green'])[1+(random()*2)::int],'size',(random()*10)::int),int4range((random()*100)::int,(101+random()*100)::int),(random()*200)::int,
  tstzrange(timestamptz '2024-01-01'+random()*interval '300 days', timestamptz '2025-01-01'+random()*interval '300 days'), 'C'||(i%97)
 FROM generate_series(1,20000) i;
CREATE INDEX products_search ON shop.products USING gin (search); CREATE INDEX products_attrs ON shop.products USING gin (attrs); CREATE INDEX products_dims ON shop.products USING gist (dims);
CREATE INDEX products_valid ON shop.products USING spgist (valid); CREATE INDEX products_price ON shop.products (price) INCLUDE (title); CREATE INDEX products_supplier ON shop.products (supplier_id); CREATE INDEX products_code ON shop.products (code text_pattern_ops);
CREATE TABLE shop.orders (id bigserial PRIMARY KEY, customer_id bigint NOT NULL REFERENCES shop.customers, status shop.state NOT NULL, channel text, placed_at timestamptz NOT NULL, shipped_on date, total shop.money_amt, region int, city int, coupon text, flags bit(8), deleted_at timestamptz);
INSERT INTO shop.orders (customer_id,status,channel,placed_at,shipped_on,total,region,city,coupon,flags,deleted_at)
 SELECT 1+(power(random(),2)*(50000*:scale-1))::bigint, (ARRAY['new','paid','packed','shipped','shipped','shipped','shipped','returned']::shop.state[])[1+(random()*7)::int], (ARRAY['web','web','app','store'])[1+(random()*3)::int], timestamptz '2024-01-01'+i*interval '3 minutes'/:scale,
  CASE WHEN random()<0.7 THEN date '2024-01-01'+(i/(480*:scale)) END, (random()*500)::numeric(12,2), r, r*10+(random()*9)::int, CASE WHEN random()<0.05 THEN 'C'||(random()*100)::int END, (i%256)::bit(8), CASE WHEN random()<0.02 THEN now() END
 FROM (SELECT i, (random()*19)::int r FROM generate_series(1,200000*:scale) i) x;
CREATE INDEX orders_customer ON shop.orders (customer_id, placed_at DESC); CREATE INDEX orders_status ON shop.orders (status) WHERE status IN ('new','paid'); CREATE INDEX orders_placed ON shop.orders (placed_at); CREATE INDEX orders_brin ON shop.orders USING brin (placed_at) WITH (pages_per_range=32);
CREATE INDEX orders_alive ON shop.orders (channel) WHERE deleted_at IS NULL; CREATE INDEX orders_region_city ON shop.orders (region, city); CREATE INDEX orders_month ON shop.orders (date_trunc('month', placed_at AT TIME ZONE 'UTC'));
CREATE STATISTICS shop.orders_rc (ndistinct, dependencies, mcv) ON region, city FROM shop.orders; CREATE STATISTICS shop.orders_sc (mcv) ON status, channel FROM shop.orders; CREATE STATISTICS shop.orders_expr ON (extract(dow from placed_at AT TIME ZONE 'UTC')), (total::int % 10), channel FROM shop.orders;
CREATE TABLE shop.order_items (order_id bigint REFERENCES shop.orders, line smallint, product_id int REFERENCES shop.products, qty int, price numeric(12,2), PRIMARY KEY (order_id, line));
INSERT INTO shop.order_items SELECT o, l, 1+(power(random(),2)*19999)::int, 1+(random()*5)::int, (random()*100)::numeric(12,2) FROM generate_series(1,200000*:scale) o, generate_series(1,1+(o%3)::int) l;
CREATE INDEX items_product ON shop.order_items (product_id);
CREATE TABLE shop.payments (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), order_id bigint UNIQUE REFERENCES shop.orders, amount money, method text CHECK (method IN ('card','cash','wire')), paid_at timestamp, fee real, ok boolean, took interval, at_time time);
INSERT INTO shop.payments (order_id,amount,method,paid_at,fee,ok,took,at_time) SELECT i, (random()*500)::numeric::money, (ARRAY['card','card','cash','wire'])[1+(random()*3)::int], timestamp '2024-01-01'+i*interval '3 minutes', random(), random()<0.95, random()*interval '3 hours', time '08:00'+random()*interval '10 hours' FROM generate_series(1,150000*:scale) i;
CREATE INDEX payments_paid ON shop.payments (paid_at) WHERE NOT ok; CREATE INDEX payments_method_fee ON shop.payments (method DESC NULLS LAST, fee); CREATE INDEX payments_amount ON shop.payments (amount);
CREATE TABLE shop.events (id bigint, kind text, at timestamptz NOT NULL, customer_id bigint, payload jsonb, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
DO $$ BEGIN FOR m IN 0..11 LOOP EXECUTE format('CREATE TABLE shop.events_%s PARTITION OF shop.events FOR VALUES FROM (%L) TO (%L)', to_char(date '2024-01-01'+m*interval '1 month','YYYYMM'), date '2024-01-01'+m*interval '1 month', date '2024-01-01'+(m+1)*interval '1 month'); END LOOP; END $$;
CREATE INDEX events_customer ON shop.events (customer_id, at); CREATE INDEX events_kind ON shop.events (kind);
INSERT INTO shop.events SELECT i, (ARRAY['view','view','view','click','buy'])[1+(random()*4)::int], timestamptz '2024-01-01 00:00+00'+random()*interval '365 days', (random()*50000)::int, jsonb_build_object('p',i%100) FROM generate_series(1,240000*:scale) i;
CREATE TABLE shop.sessions (sid text NOT NULL, tenant int NOT NULL, data hstore, at timestamptz) PARTITION BY HASH (sid);
DO $$ BEGIN FOR m IN 0..3 LOOP EXECUTE format('CREATE TABLE shop.sessions_%s PARTITION OF shop.sessions FOR VALUES WITH (MODULUS 4, REMAINDER %s)',m,m); END LOOP; END $$;
INSERT INTO shop.sessions SELECT md5(i::text), i%50, hstore('a',(i%9)::text), timestamptz '2025-01-01'+i*interval '1 second' FROM generate_series(1,60000*:scale) i; CREATE INDEX sessions_sid ON shop.sessions (sid);
CREATE TABLE shop.stock (wh text, product_id int, n int) PARTITION BY LIST (wh);
CREATE TABLE shop.stock_a PARTITION OF shop.stock FOR VALUES IN ('A','B'); CREATE TABLE shop.stock_rest PARTITION OF shop.stock DEFAULT;
INSERT INTO shop.stock SELECT chr(65+(random()*5)::int), (random()*20000)::int, (random()*100)::int FROM generate_series(1,60000) i; CREATE INDEX stock_product ON shop.stock (product_id);
CREATE TABLE shop.documents (id int PRIMARY KEY, body text, made timestamptz); INSERT INTO shop.documents SELECT i, repeat(md5(i::text), 20), timestamptz '2024-01-01'+i*interval '1 hour' FROM generate_series(1,8000) i;
CREATE TABLE shop.invoices (number text) INHERITS (shop.documents); INSERT INTO shop.invoices SELECT i, 'invoice', timestamptz '2024-01-01'+i*interval '1 hour', 'I'||i FROM generate_series(8001,20000) i; CREATE INDEX invoices_id ON shop.invoices (id);
CREATE UNLOGGED TABLE shop.cache (key text PRIMARY KEY, value bytea, hits int); INSERT INTO shop.cache SELECT 'k'||i, decode(md5(i::text),'hex'), (random()*1000)::int FROM generate_series(1,30000) i;
CREATE TABLE shop.bookings (room int, during tstzrange, who text, EXCLUDE USING gist (room WITH =, during WITH &&)); INSERT INTO shop.bookings SELECT i%200, tstzrange(timestamptz '2024-01-01'+(i/200)*interval '2 hours', timestamptz '2024-01-01'+(i/200)*interval '2 hours'+interval '1 hour'), 'w'||i%50 FROM generate_series(1,20000) i;
CREATE TABLE shop.audit (id bigint, actor text, action text, at timestamptz, detail xml, m macaddr, arr int[]); INSERT INTO shop.audit SELECT i,'actor'||i%40,(ARRAY['read','write','admin'])[1+(random()*2)::int],timestamptz '2024-01-01'+i*interval '1 minute',NULL,('08:00:2b:01:02:'||lpad(to_hex(i%256),2,'0'))::macaddr,ARRAY[i%10,i%20] FROM generate_series(1,100000) i;
CREATE INDEX audit_at ON shop.audit USING brin (at, id); CREATE INDEX audit_arr ON shop.audit USING gin (arr); CREATE INDEX audit_bloomish ON shop.audit USING gin (actor, action); CREATE INDEX audit_minmax ON shop.audit USING brin (at timestamptz_minmax_multi_ops);
CREATE TABLE shop.secrets (id int PRIMARY KEY, owner text NOT NULL, body text); INSERT INTO shop.secrets SELECT i, 'o'||i%100, md5(i::text) FROM generate_series(1,20000) i; ALTER TABLE shop.secrets ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON shop.secrets USING (owner = current_user); CREATE INDEX secrets_owner ON shop.secrets (owner);
CREATE TABLE "Odd Näme"."Weird ""Täble" ("Col A" int PRIMARY KEY, "select" text, "ünï" numeric); INSERT INTO "Odd Näme"."Weird ""Täble" SELECT i,'v'||i%13,i/7.0 FROM generate_series(1,30000) i; CREATE INDEX "Odd idx" ON "Odd Näme"."Weird ""Täble" ("select","ünï");
CREATE MATERIALIZED VIEW shop.daily AS SELECT date_trunc('day',placed_at) d, status, count(*) n, sum(total) s FROM shop.orders GROUP BY 1,2; CREATE UNIQUE INDEX daily_key ON shop.daily (d,status);
CREATE VIEW shop.open_orders AS SELECT o.id, o.customer_id, c.name, o.total FROM shop.orders o JOIN shop.customers c ON c.id=o.customer_id WHERE o.status IN ('new','paid') AND o.deleted_at IS NULL; CREATE VIEW shop.guarded WITH (security_barrier) AS SELECT * FROM shop.orders WHERE channel='web';
CREATE TABLE shop.empty (id int PRIMARY KEY, x text); CREATE TABLE shop.never_analyzed (id int, x text);
CREATE TABLE shop.drift (id int PRIMARY KEY, v int, at timestamptz); INSERT INTO shop.drift SELECT i, i%100, timestamptz '2024-01-01'+i*interval '1 minute' FROM generate_series(1,50000) i; CREATE INDEX drift_at ON shop.drift (at);
CREATE EXTENSION IF NOT EXISTS file_fdw;
CREATE INDEX products_bad ON shop.products (weight); UPDATE pg_index SET indisvalid=false WHERE indexrelid='shop.products_bad'::regclass;
VACUUM ANALYZE;
INSERT INTO shop.never_analyzed SELECT i,'x' FROM generate_series(1,5000) i;
INSERT INTO shop.drift SELECT i, i%100, timestamptz '2024-01-01'+i*interval '1 minute' FROM generate_series(50001,70000) i; DELETE FROM shop.payments WHERE order_id % 37 = 0; INSERT INTO shop.order_items SELECT o, 9, 1, 1, 1 FROM generate_series(1, 150000, 7) o;
ALTER DATABASE :"DBNAME" SET random_page_cost = 1.3; ALTER DATABASE :"DBNAME" SET search_path = shop, public; ALTER DATABASE :"DBNAME" SET work_mem='8MB';
