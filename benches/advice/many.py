"""Advice about very much: 5,000 tables, 20,000 different statements. Prints time, memory and what was advised.

    python3 benches/advice/many.py PGASSAY FOLDER [MAX_TIME]

FOLDER and the environment are as for run.py. One table in ten is large enough for advice; MAX_TIME is passed on as --max-time.
"""

import json
import pathlib
import resource
import shutil
import subprocess
import sys
import time

from run import ACCOUNT, PORT, as_account, command, psql, start

N_TABLES, N_STATEMENTS, LARGE = 5_000, 20_000, 10

FORMS = [
    "SELECT * FROM t{t} WHERE account_id = {n}",
    "SELECT id, title FROM t{t} WHERE state = 'open' AND account_id = {n} ORDER BY at DESC LIMIT 20",
    "SELECT count(*) FROM t{t} JOIN t{u} USING (account_id) WHERE t{t}.at > now() - interval '1 day' AND t{u}.state = 'open'",
    "UPDATE t{t} SET state = 'done' WHERE account_id = {n} AND state = 'open'",
]


def schema():
    for t in range(N_TABLES):
        yield f"CREATE TABLE t{t} (id bigint PRIMARY KEY, account_id bigint NOT NULL, state text NOT NULL, at timestamptz NOT NULL, title text);"
        rows = 3_000 if t % LARGE == 0 else 20
        yield (
            f"INSERT INTO t{t} SELECT n, n * 7919 % 500, CASE WHEN n % 40 = 0 THEN 'open' ELSE 'done' END, now() - n * interval '1 minute', repeat('x', 400) FROM generate_series(1, {rows}) n;"
        )
    yield "ANALYZE;"


def statements():
    for n in range(N_STATEMENTS):
        t = n % N_TABLES
        text = FORMS[n // N_TABLES].format(t=t, u=(t + LARGE) % N_TABLES, n=n % 500)
        yield f"-- calls: {1 + n * 31 % 977}, mean_time_ms: {1 + n * 17 % 29}\n{text};\n"


def main():
    pgassay, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    more = ["--max-time", sys.argv[3]] if len(sys.argv) > 3 else []
    folder.mkdir(parents=True, exist_ok=True)
    if ACCOUNT:
        shutil.chown(folder, ACCOUNT)
    fresh = start(folder)
    try:
        if fresh:
            lines = list(schema())
            for at in range(0, len(lines), 200):
                psql(folder, "\n".join(lines[at : at + 200]))
        log = folder / "log.sql"
        log.write_text("".join(statements()))
        url = f"postgresql://postgres@localhost:{PORT}/postgres?host={folder}"
        audit = [pgassay, "audit", "--database-url", url, "--format", "json", "--quiet", "--log", log, "--statements", "log", *more]
        started = time.monotonic()
        report = json.loads(subprocess.run(audit, check=True, capture_output=True, text=True).stdout)
        took = time.monotonic() - started
        (folder / "report.json").write_text(json.dumps(report, indent=1))
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        made = sum(finding["remedy"]["kind"] == "create-index" for finding in report["findings"])
        print(f"{took:.0f} s wall, {used.ru_utime + used.ru_stime:.0f} s CPU, {used.ru_maxrss / 1024:.0f} MiB at most, {report['run']['n_planner_calls']} planner calls, {made} indexes")
        print("\n".join(report.get("notes", [])))
    finally:
        subprocess.run(as_account([command("pg_ctl"), "-D", folder / "data", "-m", "fast", "stop"]), stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
