"""TPC-H with primary keys alone: load, run the 22 statements, audit, build what was advised, run them again.

    pip install tpchgen-cli
    python3 benches/advice/tpch.py PGASSAY FOLDER [SCALE]

FOLDER holds the private server (any PostgreSQL on PATH or in PGBIN, not run as root: name an account in PGACCOUNT), the data and the reports.
A statement that takes longer than LIMIT seconds counts as LIMIT. With HypoPG installed beside the server, it prices once as well.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from run import ACCOUNT, PORT, as_account, command

HERE = pathlib.Path(__file__).parent
OUTLIERS = (2, 17, 20)  # left out by the studies: without indexes they cost more than all others
LIMIT = int(os.environ.get("LIMIT", "60"))
TABLES = ["region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem"]
CONF = """port={port}
unix_socket_directories='{folder}'
listen_addresses=''
fsync=off
autovacuum=off
shared_buffers=512MB
work_mem=64MB
max_wal_size=8GB
maintenance_work_mem=512MB
max_parallel_workers_per_gather=0
jit=off
"""


def start(folder):
    data = folder / "data"
    fresh = not data.exists()
    if fresh:
        subprocess.run(as_account([command("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--locale=C.UTF-8"]), check=True, stdout=subprocess.DEVNULL)
        with open(data / "postgresql.conf", "a") as conf:
            conf.write(CONF.format(port=PORT, folder=folder))
    subprocess.run(as_account([command("pg_ctl"), "-D", data, "-l", folder / "server.log", "-w", "start"]), check=True, stdout=subprocess.DEVNULL)
    return fresh


def psql(folder, sql, **more):
    done = subprocess.run(["psql", "-qAt", "-h", folder, "-p", PORT, "-U", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1"], input=sql, capture_output=True, text=True, **more)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def load(folder, scale):
    files = folder / "tbl"
    subprocess.run(["tpchgen-cli", "csv", "-s", scale, "--output-dir", files], check=True, stdout=subprocess.DEVNULL)
    tables, _, keys = (HERE / "tpch.sql").read_text().partition("-- load\n")
    psql(folder, tables)
    for table in TABLES:
        psql(folder, f"\\copy {table} FROM '{files / table}.csv' WITH (FORMAT csv, HEADER)")
        (files / f"{table}.csv").unlink()
    psql(folder, keys)


def statements():
    return [text.strip() for text in (HERE / "tpch.queries.sql").read_text().split(";\n") if text.strip()]


def costs(folder):
    return [json.loads(psql(folder, f"EXPLAIN (FORMAT JSON) {sql};"))[0]["Plan"]["Total Cost"] for sql in statements()]


def times(folder):
    """The better of two runs in ms, or LIMIT."""
    found = []
    for sql in statements():
        best = None
        for _ in range(2):
            started = time.monotonic()
            try:
                psql(folder, f"SET statement_timeout = '{LIMIT}s';\n{sql};")
            except RuntimeError:
                best = LIMIT * 1e3
                break
            took = (time.monotonic() - started) * 1e3
            best = min(best or took, took)
        found.append(best)
    return found


def audit(pgassay, folder, name, log, *more):
    url = f"postgresql://postgres@localhost:{PORT}/postgres?host={folder}"
    arguments = [pgassay, "audit", "--database-url", url, "--format", "json", "--quiet", "--log", log, "--statements", "log", *more]
    started = time.monotonic()
    done = subprocess.run(arguments, capture_output=True, text=True)
    took = time.monotonic() - started
    if done.returncode:
        sys.exit(done.stderr)
    report = json.loads(done.stdout)
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1))
    made = [f for f in report["findings"] if f["remedy"]["kind"] in ("create-index", "replace-index")]
    return made, took, report


def build(folder, made):
    for finding in made:
        psql(folder, finding["remedy"]["sql"].replace(" CONCURRENTLY", ""))
    names = [c["name"] for f in made for c in f["remedy"]["changes"] if c["action"] == "create"]
    return names, sum(int(psql(folder, f"SELECT pg_relation_size('{name}')")) for name in names)


def left(after, base, without=()):
    """Share of the cost that is left, %."""
    kept = [n for n in range(len(base)) if n + 1 not in without]
    return 100 * sum(after[n] for n in kept) / sum(base[n] for n in kept)


def drop(folder, names):
    for name in names:
        psql(folder, f"DROP INDEX {name}")


def main():
    pgassay, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    scale = sys.argv[3] if len(sys.argv) > 3 else "0.5"
    folder.mkdir(parents=True, exist_ok=True)
    if ACCOUNT:
        shutil.chown(folder, ACCOUNT)
    fresh = start(folder)
    try:
        if fresh:
            load(folder, scale)
        kept = folder / "before.json"
        if not kept.exists():
            kept.write_text(json.dumps(times(folder)))
        before, base = json.loads(kept.read_text()), costs(folder)
        by_cost, by_time = folder / "by_cost.sql", folder / "by_time.sql"
        by_cost.write_text("".join(f"-- calls: 1\n{sql};\n" for sql in statements()))
        by_time.write_text("".join(f"-- calls: 1, mean_time_ms: {ms}\n{sql};\n" for sql, ms in zip(statements(), before)))
        runs = [("by cost", by_cost, []), ("by time", by_time, [])]
        runs += [(f"by time, {mb} MB", by_time, ["--storage-budget", str(mb)]) for mb in (50, 100, 250, 500)]
        if psql(folder, "SELECT count(*) FROM pg_available_extensions WHERE name = 'hypopg'").strip() == "1":
            psql(folder, "CREATE EXTENSION IF NOT EXISTS hypopg")
            runs.append(("by time, HypoPG", by_time, ["--pg-bin", str(folder), "--max-server-time", "60s"]))
        print("run | indexes | MB, predicted | MB, built | cost left, all 22 | without 2, 17, 20 | planner calls | s")
        for name, log, more in runs:
            made, took, report = audit(pgassay, folder, name.replace(" ", "-").replace(",", ""), log, *more)
            predicted = sum(f["evidence"]["size_bytes"] for f in made)
            names, size = build(folder, made)
            after = costs(folder)
            calls = report["run"]["n_planner_calls"]
            print(f"{name} | {len(made)} | {predicted / 1e6:.0f} | {size / 1e6:.0f} | {left(after, base):.2f} | {left(after, base, OUTLIERS):.2f} | {calls} | {took:.1f}")
            if os.environ.get("VERBOSE"):
                for finding in made:
                    print("   ", finding["remedy"]["sql"])
                print("   ", " ".join(f"Q{n}:{a / b:.3f}" for n, (a, b) in enumerate(zip(after, base), 1)))
            if name == "by time":
                really = times(folder)
            drop(folder, names)
        print("statement | ms before | ms after")
        for n, (ms, after) in enumerate(zip(before, really), 1):
            print(f"Q{n} | {ms:.0f} | {after:.0f}")
        print(f"all | {sum(before):.0f} | {sum(really):.0f}")
    finally:
        subprocess.run(as_account([command("pg_ctl"), "-D", folder / "data", "-m", "fast", "stop"]), stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
