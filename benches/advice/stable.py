"""Is advice the same for the same, and nearly the same for nearly the same?

    python3 benches/advice/stable.py PGASSAY FOLDER [web|tenants]

Ten audits of one snapshot under one log must give the same JSON to the byte, `run` apart. Then the database is analysed anew, and grown by a tenth: how many of the
proposed indexes stay (Jaccard)? FOLDER and the environment are as for run.py.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import run
from run import ACCOUNT, HERE, PORT, as_account, command, psql, start

SOURCES = {
    "web": (HERE.parent.parent / "fixtures/web/schema.sql", HERE.parent.parent / "fixtures/web/statements.sql"),
    "tenants": (HERE / "tenants.sql", HERE / "tenants.statements"),
}

# a tenth of the rows again, under keys of their own; what a constraint forbids is left out
GROW = """
DO $$
DECLARE t record; columns text; chosen text;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR t IN SELECT c.oid, c.oid::regclass AS name, c.reltuples FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = 'public' LOOP
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
           string_agg(CASE WHEN attnum = ANY (k.conkey) AND atttypid IN (20, 21, 23) THEN format('%1$I + (SELECT max(%1$I) FROM %2$s)', attname, t.name)
                           WHEN attnum = ANY (k.conkey) AND atttypid = 2950 THEN 'gen_random_uuid()' ELSE quote_ident(attname) END, ', ' ORDER BY attnum)
      INTO columns, chosen
      FROM pg_attribute a LEFT JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'p'
      WHERE a.attrelid = t.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    BEGIN
      EXECUTE format('INSERT INTO %1$s (%2$s) SELECT %3$s FROM %1$s WHERE random() < 0.1 ON CONFLICT DO NOTHING', t.name, columns, chosen);
    EXCEPTION WHEN others THEN RAISE NOTICE 'not grown: %: %', t.name, sqlerrm;
    END;
  END LOOP;
END $$;
VACUUM ANALYZE;
"""


def statements(path):
    for line in path.read_text().splitlines():
        if line and not line.startswith("--"):
            sign, calls, sql = line.split(" ", 2)
            yield sign, int(calls), sql


def audit(pgassay, source, log):
    """The report without `run`, as text, and its indexes."""
    arguments = [pgassay, "audit", *source, "--format", "json", "--quiet", "--log", log, "--statements", "log"]
    report = json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
    del report["run"]
    return json.dumps(report), indexes(report)


def indexes(report):
    made = [change for finding in report["findings"] for change in finding["remedy"].get("changes", []) if change["action"] == "create"]
    for change in made:
        change.pop("size_bytes", None)
    return {json.dumps(change, sort_keys=True) for change in made}


def main():
    pgassay, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    schema, queries = SOURCES[sys.argv[3] if len(sys.argv) > 3 else "web"]
    folder.mkdir(parents=True, exist_ok=True)
    if ACCOUNT:
        shutil.chown(folder, ACCOUNT)
    fresh = start(folder)
    try:
        if fresh:
            psql(folder, schema.read_text())
            psql(folder, "VACUUM ANALYZE")
        run.statements = lambda: statements(queries)
        log = folder / "log.sql"
        log.write_text("".join(f"-- calls: {calls}, mean_time_ms: {ms}\n{sql};\n" for _, calls, sql, ms, _ in run.measure(folder)))
        live = ["--database-url", f"postgresql://postgres@localhost:{PORT}/postgres?host={folder}"]
        snapshot = folder / "snapshot"
        subprocess.run([pgassay, "capture", *live, "--redact", "none", "-o", snapshot], check=True, capture_output=True)
        texts, before = zip(*[audit(pgassay, ["--snapshot", snapshot], log) for _ in range(10)])
        print(f"{len(set(texts))} different answers in 10 runs, {len(before[0])} indexes")
        for what, sql in [("re-ANALYZE", "ANALYZE"), ("10 % more rows", GROW)]:
            psql(folder, sql)
            _, after = audit(pgassay, live, log)
            print(f"{what}: Jaccard {len(before[0] & after) / len(before[0] | after):.3f}")
            for sign, changes in (("-", before[0] - after), ("+", after - before[0])):
                for change in sorted(changes):
                    print("  ", sign, change[:300])
    finally:
        subprocess.run(as_account([command("pg_ctl"), "-D", folder / "data", "-m", "fast", "stop"]), stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
