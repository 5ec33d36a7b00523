#!/usr/bin/env python3
"""Makes the logs that capture is measured on: one run of a private server, written as stderr, csv and json, and then repeated.

    python3 benches/capture/make_logs.py OUT_FOLDER [--seconds 60] [--megabytes 520] [--only mixed|diverse] [--pg-bin FOLDER]

Three pgbench run side by side (simple, extended and prepared protocol; several sessions each), so that one log holds literals and
parameters, statements of one and of many lines, transactions of several statements, and sessions that interleave. The run is
repeated day after day until the stderr log has the size wanted; csv and json hold the same days. OUT_FOLDER gets

    mixed.log mixed.csv mixed.json    all three protocols
    diverse.log                       literals only, as a driver that builds its own SQL sends them: nearly every text is another

and `facts.txt` with what they hold. Under root the server runs as `postgres`. Nothing of the server stays.
"""

import argparse
import datetime
import glob
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

SETTINGS = {
    "logging_collector": "on",
    "log_destination": "stderr,csvlog,jsonlog",
    "log_filename": "server.log",
    "log_rotation_size": "0",
    "log_rotation_age": "0",
    "log_min_duration_statement": "0",
    "log_line_prefix": "%m [%p] %q%u@%d/%a ",
    "log_timezone": "UTC",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "50",
}

SCHEMA = """
create table customers (id int primary key, email text not null, name text, country text, created_at timestamptz default now());
create table products (id int primary key, sku text not null, title text, price numeric(10, 2), category_id int);
create table orders (id bigserial primary key, customer_id int not null, status text not null, total numeric(12, 2), note text,
                     placed_at timestamptz default now());
create table order_items (id bigserial primary key, order_id bigint not null, product_id int not null, quantity int, price numeric(10, 2));
insert into customers select n, 'user' || n || '@example.com', 'Customer ' || n, (array['de', 'fr', 'us', 'jp'])[n % 4 + 1] from generate_series(1, 20000) n;
insert into products select n, 'SKU-' || n, 'Product ' || n, n % 900 + 0.99, n % 40 from generate_series(1, 20000) n;
insert into orders (customer_id, status, total) select n % 20000 + 1, 'paid', n % 700 from generate_series(1, 60000) n;
insert into order_items (order_id, product_id, quantity, price) select n / 3 + 1, n % 20000 + 1, n % 5, n % 90 from generate_series(1, 180000) n;
create index on orders (customer_id);
create index on order_items (order_id);
analyze;
"""

# pgbench replaces :name inside quotes too, but only in the simple protocol: so texts are quoted there only
PAGE = r"""
\set customer random(1, 20000)
\set p1 random(1, 20000)
\set p2 random(1, 20000)
\set p3 random(1, 20000)
BEGIN;
SELECT customers.id AS customers_id, customers.email AS customers_email, customers.name AS customers_name,
       customers.country AS customers_country, customers.created_at AS customers_created_at
  FROM customers
 WHERE customers.id = :customer;
SELECT o.id, o.status, o.total, o.placed_at,
       count(i.id) AS n_items,
       sum(i.quantity * i.price) AS value
  FROM orders o
  LEFT JOIN order_items i ON i.order_id = o.id
 WHERE o.customer_id = :customer
 GROUP BY o.id
 ORDER BY o.placed_at DESC
 LIMIT 20;
SELECT id, sku, title, price FROM products WHERE id = :p1;
SELECT id, sku, title, price FROM products WHERE id = :p2;
SELECT id, sku, title, price FROM products WHERE id = :p3;
COMMIT;
"""

ORDER = r"""
\set customer random(1, 20000)
\set product random(1, 20000)
\set quantity random(1, 9)
\set total random(1, 90000)
BEGIN;
INSERT INTO orders (customer_id, status, total, note)
VALUES (:customer, 'new', :total, @note@)
RETURNING id;
UPDATE products
   SET price = price
 WHERE id = :product;
SELECT "order_items"."id", "order_items"."order_id", "order_items"."product_id", "order_items"."quantity", "order_items"."price" FROM "order_items" WHERE "order_items"."order_id" = :customer;
COMMIT;
"""

SEARCH = r"""
\set a random(1, 20000)
\set b random(1, 20000)
\set c random(1, 20000)
\set d random(1, 20000)
\set day random(1, 2000)
SELECT p.id, p.title
  FROM products p -- the shop's search
 WHERE p.id IN (:a, :b, :c, :d)
   AND p.title LIKE 'Product%'
   AND p.price BETWEEN 1 AND 500
 ORDER BY p.title;
SELECT count(*) FROM orders WHERE customer_id = :a AND placed_at > now() - :day * interval '1 day' /*route='/search',action='index'*/;
"""

# as an ORM with a client-side driver sends it: every column by name, every value in the text
DIVERSE = r"""
\set customer random(1, 20000000)
\set product random(1, 20000000)
\set total random(1, 900000000)
\set hour random(10, 23)
SELECT "customers"."id", "customers"."email", "customers"."name", "customers"."country", "customers"."created_at", "orders"."id", "orders"."customer_id", "orders"."status", "orders"."total", "orders"."note", "orders"."placed_at"
FROM "customers" INNER JOIN "orders" ON ("orders"."customer_id" = "customers"."id")
WHERE ("customers"."id" = :customer AND "orders"."placed_at" > '2026-01-01T:hour:30:00+00:00'::timestamptz AND "orders"."status" IN ('new', 'paid') AND NOT ("orders"."note" = 'ref-:total'))
ORDER BY "orders"."placed_at" DESC LIMIT 21;
INSERT INTO "orders" ("customer_id", "status", "total", "note") VALUES (:customer, 'new', :total, 'a note about :product, it''s gone') RETURNING "orders"."id";
UPDATE "products" SET "price" = (:total * 0.01)::numeric(10, 2), "title" = 'Product :product / :total' WHERE "products"."id" = :product;
SELECT "products"."id", "products"."sku", "products"."title" FROM "products" WHERE "products"."id" IN (:product, :customer, :total);
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--megabytes", type=int, default=520)
    parser.add_argument("--only", choices=("mixed", "diverse"))
    parser.add_argument("--pg-bin", type=pathlib.Path, default=None)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    binaries = arguments.pg_bin or installed()
    protocols = [(protocol, [PAGE, ORDER, SEARCH]) for protocol in ("simple", "extended", "prepared")]
    if arguments.only != "diverse":
        run(binaries, protocols, arguments, {"": "mixed.log", "csv": "mixed.csv", "json": "mixed.json"})
    if arguments.only != "mixed":
        run(binaries, [("simple", [DIVERSE])], arguments, {"": "diverse.log"})
    write_facts(arguments.out)


def installed():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
    return pathlib.Path(found[-1]) if found else pathlib.Path(shutil.which("postgres")).parent


def run(binaries, protocols, arguments, outputs):
    """Runs the scripts on a server of their own, and repeats what it logged into OUT_FOLDER."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pgassay-bench-", dir=arguments.out))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
            folder.chmod(0o755)
        serve(binaries, protocols, arguments.seconds, folder)
        logs = folder / "data" / "log"
        size = (logs / "server.log").stat().st_size
        n_days = max(1, -(-arguments.megabytes * 1_000_000 // size))
        for kind, name in outputs.items():
            repeat(logs / f"server.{kind or 'log'}", arguments.out / name, n_days)
    finally:
        shutil.rmtree(folder)


def command(binaries, program, *words):
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    return [*as_user, str(binaries / program), *map(str, words)]


def serve(binaries, protocols, seconds, folder):
    data = folder / "data"
    socket = ["-h", folder, "-p", "5432"]
    quietly = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    subprocess.run(command(binaries, "initdb", "-D", data, "-U", "bench", "-A", "trust"), **quietly)
    with open(data / "postgresql.conf", "a", encoding="utf-8") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
        file.write(f"unix_socket_directories = '{folder}'\n")
    subprocess.run(command(binaries, "pg_ctl", "-D", data, "-w", "start"), **quietly)
    try:
        base = [*socket, "-U", "bench"]
        subprocess.run(command(binaries, "psql", *base, "-qd", "postgres", "-c", "create database shop"), **quietly)
        subprocess.run(command(binaries, "psql", *base, "-qd", "shop"), input=SCHEMA.encode(), **quietly)
        drive(binaries, protocols, seconds, folder, [*base])
    finally:
        subprocess.run(command(binaries, "pg_ctl", "-D", data, "-m", "fast", "stop"), **quietly)


def drive(binaries, protocols, seconds, folder, base):
    running = []
    for protocol, scripts in protocols:
        files = []
        for at, script in enumerate(scripts):
            note = "'a note about :customer, it''s new'" if protocol == "simple" else ":customer::text"
            path = folder / f"{protocol}-{at}.sql"
            path.write_text(script.replace("@note@", note), encoding="utf-8")
            files += ["-f", path]
        words = [*base, "-n", "-M", protocol, "-c", 4, "-T", seconds, "--random-seed", 7, *files, "shop"]
        environment = {**os.environ, "PGAPPNAME": f"bench-{protocol}"}
        running.append(subprocess.Popen(command(binaries, "pgbench", *words), stdout=subprocess.DEVNULL, cwd=folder, env=environment))
    for process in running:
        if process.wait() != 0:
            raise SystemExit("pgbench failed")


def repeat(source, target, n_days):
    """Writes the log n_days times, each copy a day later than the one before."""
    log = source.read_bytes()
    dates = sorted(set(re.findall(rb"(?m)^\{?(?:\"timestamp\":\")?(\d{4}-\d\d-\d\d) ", log)))
    with open(target, "wb") as file:
        for day in range(n_days):
            copy = log
            # the latest first, so that no date is moved twice
            for date in reversed(dates):
                moved = datetime.date.fromisoformat(date.decode()) + datetime.timedelta(days=day * len(dates))
                copy = copy.replace(date, moved.isoformat().encode())
            file.write(copy)


def write_facts(out):
    lines = []
    for path in sorted(out.glob("*.*")):
        if path.suffix not in (".log", ".csv", ".json"):
            continue
        kinds = dict.fromkeys(["statement: ", "parse ", "bind ", "execute "], 0)
        n_lines = 0
        with open(path, "rb") as file:
            for line in file:
                n_lines += 1
                for kind in kinds:
                    kinds[kind] += f" ms  {kind}".encode() in line
        counts = ", ".join(f"{n} {kind.strip(': ')}" for kind, n in kinds.items())
        lines.append(f"{path.name}: {path.stat().st_size} bytes, {n_lines} lines; {counts}\n")
    (out / "facts.txt").write_text("".join(lines), encoding="utf-8")
    print("".join(lines), end="")


if __name__ == "__main__":
    main()
