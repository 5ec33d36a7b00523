"""What new indexes do to statements that write: predicted by the audit, and measured with pgbench.

    python3 benches/advice/writes.py PGASSAY FOLDER

For each case: a table is updated and read, audited from pg_stat_statements alone, and copied with what was advised. Both copies then run the same writes in one
pgbench, in turn, so that the machine's noise hits both: HOT shares by their counters, times by pg_stat_statements. Needs psycopg for blind/run.py, whose server it uses.
"""

import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "blind"))
import run  # noqa: E402

ROWS, WRITES, READS = 100_000, 8_000, 25

BASE = """DROP TABLE IF EXISTS t, t2;
CREATE TABLE t (id bigint PRIMARY KEY, owner bigint NOT NULL, code text NOT NULL, state text NOT NULL, seen timestamptz NOT NULL, hits int NOT NULL, score int NOT NULL) WITH (fillfactor = {fill});
INSERT INTO t SELECT n, n * 7919 % 20000, md5(n::text), CASE WHEN n % 40 = 0 THEN 'open' ELSE 'done' END, now() - n * interval '1 minute', 0, n * 31 % 100000 FROM generate_series(1, {rows}) n;
{more}"""

INSERT = "INSERT INTO {t} VALUES (nextval('ids'), random() * 20000, md5(random()::text), 'done', now(), 0, random() * 100000)"

# name, fillfactor, other indexes, weighted writes, reads
CASES = [
    ("a counter; the index is on other columns", 80, "CREATE INDEX ON t (score);", [(1, "UPDATE {t} SET hits = hits + 1 WHERE id = {i}")], ["SELECT id FROM t WHERE code = md5({i}::text)"]),
    ("a time that is set; the index holds it", 80, "CREATE INDEX ON t (score);", [(1, "UPDATE {t} SET seen = now(), hits = hits + 1 WHERE id = {i}")], ["SELECT id, hits FROM t WHERE seen > now() - interval '30 minutes' ORDER BY seen DESC LIMIT 10"]),
    ("two thirds counters, a third a value of the index", 80, "", [(2, "UPDATE {t} SET hits = hits + 1 WHERE id = {i}"), (1, "UPDATE {t} SET score = score + 1 WHERE id = {i}")], ["SELECT id FROM t WHERE score = {i}", "SELECT id, hits FROM t WHERE owner = {i} % 20000"]),
    ("full pages", 100, "CREATE INDEX ON t (score);", [(1, "UPDATE {t} SET hits = hits + 1 WHERE id = {i}")], ["SELECT id FROM t WHERE code = md5({i}::text)"]),
    ("inserts, one new index", 100, "CREATE INDEX ON t (score); CREATE INDEX ON t (owner);", [(1, INSERT)], ["SELECT id FROM t WHERE code = md5({i}::text)"]),
    ("inserts, two new indexes", 100, "CREATE INDEX ON t (score);", [(1, INSERT)], ["SELECT id FROM t WHERE code = md5({i}::text)", "SELECT id, hits FROM t WHERE owner = {i} % 20000"]),
]


class Server(run.Server):
    def reset(self):
        pass

    def pgbench(self, scripts, n):
        files = []
        for at, (weight, sql) in enumerate(scripts):
            path = self.folder / f"script{at}.sql"
            path.write_text(f"\\set i random(1, {ROWS})\n{sql};\n")
            files += ["-f", f"{path}@{weight}"]
        subprocess.run(["pgbench", "-n", "-M", "prepared", "-h", self.folder, "-p", str(run.PORT), "-U", "postgres", "-t", str(n), "--random-seed=7", *files, "postgres"], check=True, capture_output=True)

    def hot(self, table):
        self.psql("SELECT pg_stat_force_next_flush()")
        updates, hot = self.psql(f"SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = '{table}'").strip().split("|")
        return int(updates), int(hot)

    def write_ms(self, table):
        word = f"(INSERT INTO|UPDATE) {table} "
        return float(self.psql(f"SELECT sum(total_exec_time) FROM pg_stat_statements WHERE query ~ '^{word}'").strip())


def case(server, pgassay, name, fill, more, writes, reads):
    server.psql(BASE.format(fill=fill, rows=ROWS, more=more))
    server.psql(f"DROP SEQUENCE IF EXISTS ids; CREATE SEQUENCE ids START {ROWS + 1}; VACUUM ANALYZE t; SELECT pg_stat_reset(); SELECT pg_stat_statements_reset()")
    server.pgbench([(weight, sql.format(t="t", i=":i")) for weight, sql in writes], WRITES)
    for sql in reads:
        server.pgbench([(1, sql.format(i=":i"))], READS)
    url = f"postgresql://postgres@localhost:{run.PORT}/postgres?host={server.folder}"
    report = json.loads(subprocess.run([pgassay, "audit", "--database-url", url, "--format", "json", "--quiet", "--show-literals"], check=True, capture_output=True, text=True).stdout)
    advised = [finding for finding in report["findings"] if finding["remedy"]["kind"] in ("create-index", "replace-index")]
    if not advised:
        print(f"{name}: no index was advised")
        return
    facts = advised[0]["evidence"]["facts"]
    server.psql(BASE.format(fill=fill, rows=ROWS, more=more))
    server.psql("CREATE TABLE t2 (LIKE t INCLUDING ALL)")
    server.psql(f"ALTER TABLE t2 SET (fillfactor = {fill}); INSERT INTO t2 SELECT * FROM t ORDER BY id;")
    for finding in advised:
        change = finding["remedy"]["changes"][0]
        sql = finding["remedy"]["sql"].split(";\n")[0].replace(" ON public.t ", " ON public.t2 ").replace(change["name"], change["name"] + "_2")
        server.psql(sql)
    server.psql("VACUUM ANALYZE t, t2; CHECKPOINT; SELECT pg_stat_reset(); SELECT pg_stat_statements_reset()")
    both = [(weight, sql.format(t=table, i=":i")) for weight, sql in writes for table in ("t", "t2")]
    server.pgbench(both, 2 * WRITES)
    (updates, hot), (updates2, hot2) = server.hot("t"), server.hot("t2")
    slowdown = server.write_ms("t2") / server.write_ms("t")
    share = lambda part, whole: part / whole if whole else None  # noqa: E731
    print(f"{name}: {len(advised)} indexes; HOT before {share(hot, updates)}, after {share(hot2, updates2)}, predicted {facts.get('hot_share_after')}; writes take {slowdown:.2f} times, predicted {facts.get('writes_take_times')}", flush=True)


def main():
    pgassay, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    run.HERE = folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "writes.sql").write_text("CREATE EXTENSION pg_stat_statements;")
    server = Server(folder, "writes")
    try:
        for one in CASES:
            case(server, pgassay, *one)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
