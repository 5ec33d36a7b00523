"""Index advice on the blind workload `parcels`, as a user gets it: load, measure, audit, build what was advised, measure again.

    python3 benches/advice/blind/run.py PGASSAY FOLDER literals|counters|pooled [WORKLOAD]

Needs psycopg. `literals` audits the statements as a SQL file with their measured times; `counters` runs them with bound parameters and audits
pg_stat_statements alone; `pooled` does the same through pgbouncer in transaction mode, the audit included. FOLDER holds the private server (binaries
from PGBIN, run as PGACCOUNT) and the results. WORKLOAD names another pair of files beside this one.
"""

import getpass
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

import psycopg

HERE = pathlib.Path(__file__).parent
BIN = pathlib.Path(os.environ.get("PGBIN", "/usr/lib/postgresql/15/bin"))
PORT = int(os.environ.get("PGPORT", "54397"))
ACCOUNT = os.environ.get("PGACCOUNT", "nobody")
BOUND = re.compile("⟦(.*?)⟧")
RUNS = 5


def as_account(arguments):
    if getpass.getuser() != "root":
        return arguments
    return ["setpriv", f"--reuid={ACCOUNT}", "--clear-groups", *arguments]


class Server:
    """The private server in FOLDER, loaded once: what an audit's advice made is dropped again at the next start."""

    def __init__(self, folder, workload):
        self.folder, self.data = folder, folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        if getpass.getuser() == "root":
            shutil.chown(folder, ACCOUNT)
        fresh = not self.data.exists()
        if fresh:
            subprocess.run(as_account([BIN / "initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--locale=C.UTF-8"]), check=True, stdout=subprocess.DEVNULL)
            with open(self.data / "postgresql.conf", "a") as conf:
                conf.write(f"port={PORT}\nunix_socket_directories='{folder}'\nlisten_addresses=''\nshared_preload_libraries='pg_stat_statements'\nfsync=off\nautovacuum=off\nmax_parallel_workers_per_gather=0\nshared_buffers=256MB\n")
        subprocess.run(as_account([BIN / "pg_ctl", "-D", self.data, "-l", folder / "server.log", "-w", "start"]), check=True, stdout=subprocess.DEVNULL)
        try:
            if fresh:
                self.psql((HERE / f"{workload}.sql").read_text())
                keep = self.psql("SELECT indexrelid::regclass FROM pg_index WHERE indrelid >= 16384")
                (folder / "indexes").write_text(keep)
            self.reset()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        subprocess.run(as_account([BIN / "pg_ctl", "-D", self.data, "-m", "fast", "stop"]), stdout=subprocess.DEVNULL)

    def psql(self, sql):
        done = subprocess.run(["psql", "-qAt", "-h", self.folder, "-p", str(PORT), "-U", "postgres", "-d", "postgres"], input=sql, capture_output=True, text=True)
        if "ERROR" in done.stderr:
            raise SystemExit(done.stderr)
        return done.stdout

    def reset(self):
        keep = set((self.folder / "indexes").read_text().split())
        for name in self.psql("SELECT i.indexrelid::regclass FROM pg_index i WHERE indrelid >= 16384 AND NOT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = i.indexrelid)").split():
            if name not in keep:
                self.psql(f"DROP INDEX {name}")
        self.psql("VACUUM ANALYZE; SELECT pg_stat_statements_reset(); SELECT pg_stat_reset()")

    def connect(self, port=PORT):
        return psycopg.connect(host=str(self.folder), port=port, user="postgres", dbname="postgres", autocommit=True, prepare_threshold=None)


class Pooler:
    """pgbouncer in transaction mode before the server."""

    def __init__(self, server):
        self.folder = server.folder / "bouncer"
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o777)
        self.port = PORT + 1
        ini = self.folder / "pgbouncer.ini"
        ini.write_text(f"[databases]\npostgres = host={server.folder} port={PORT} user=postgres\n[pgbouncer]\nlisten_port = {self.port}\nlisten_addr =\nunix_socket_dir = {server.folder}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nignore_startup_parameters = extra_float_digits\nlogfile = {self.folder}/log\npidfile = {self.folder}/pid\n")
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        self.process = subprocess.Popen(as_account([program, "-q", ini]), stderr=subprocess.DEVNULL)
        for _ in range(100):
            if (server.folder / f".s.PGSQL.{self.port}").exists():
                break
            subprocess.run(["sleep", "0.1"])

    def stop(self):
        self.process.terminate()
        self.process.wait()


def cases(workload):
    for line in (HERE / f"{workload}.statements").read_text().splitlines():
        if line and not line.startswith("--"):
            sign, calls, sql = line.split(" ", 2)
            yield sign, int(calls), sql


def literal(sql):
    return BOUND.sub(r"\1", sql)


def bound(sql):
    """The statement as a driver sends it: placeholders, and the values beside."""
    values = [value.strip("'") if value.startswith("'") else float(value) if "." in value else int(value) for value in BOUND.findall(sql)]
    return BOUND.sub("%s", sql.replace("%", "%%")), values


def indexes_of(plan):
    found = {plan["Index Name"]} if "Index Name" in plan else set()
    for child in plan.get("Plans", []):
        found |= indexes_of(child)
    return found


def measure(server, workload):
    """Each statement really run in a transaction that is rolled back: median ms, blocks, cost, the indexes used."""
    found = []
    with server.connect() as connection:
        for _, _, sql in cases(workload):
            runs = []
            for _ in range(RUNS):
                connection.execute("BEGIN")
                plan = connection.execute("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + literal(sql)).fetchone()[0][0]
                connection.execute("ROLLBACK")
                runs.append((plan["Execution Time"], plan))
            plan = runs[-1][1]["Plan"]
            found.append({"ms": statistics.median(ms for ms, _ in runs[1:]), "blocks": plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], "cost": plan["Total Cost"], "rows": plan["Actual Rows"], "indexes": indexes_of(plan)})
    return found


def run_counted(server, port, workload):
    """The workload itself, with bound parameters: what fills pg_stat_statements."""
    server.psql("SELECT pg_stat_statements_reset()")
    with server.connect(port) as connection:
        for _, calls, sql in cases(workload):
            text, values = bound(sql)
            for _ in range(max(2, calls // 300)):
                connection.execute("BEGIN")
                connection.execute(text, values)
                connection.execute("ROLLBACK")


def audit(pgassay, server, workload, how, before):
    port, pooler = PORT, None
    if how == "pooled":
        pooler = Pooler(server)
        port = pooler.port
    try:
        url = f"postgresql://postgres@localhost:{port}/postgres?host={server.folder}"
        command = [pgassay, "audit", "--database-url", url, "--format", "json", "--quiet", "--show-literals"]
        if how == "literals":
            log = server.folder / "log.sql"
            log.write_text("".join(f"-- calls: {calls}, mean_time_ms: {one['ms']}\n{literal(sql)};\n" for (_, calls, sql), one in zip(cases(workload), before)))
            command += ["--log", log, "--statements", "log"]
        else:
            run_counted(server, port, workload)
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    finally:
        if pooler:
            pooler.stop()


def plain(text):
    """A statement without its constants, to find it again in a report."""
    return re.sub(r"'[^']*'|\"|\$\d+|\b\d+(\.\d+)?\b|\?|\s|\(\)|[(){}]|,", "", BOUND.sub("", re.sub(r"⟦.*?⟧", "?", text))).lower().replace("array[]", "")


def main():
    pgassay, folder, how = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), sys.argv[3]
    workload = sys.argv[4] if len(sys.argv) > 4 else "parcels"
    server = Server(folder, workload)
    try:
        all_cases = list(cases(workload))
        before = measure(server, workload)
        report = audit(pgassay, server, workload, how, before)
        (folder / f"report-{how}.json").write_text(json.dumps(report, indent=1))
        new, by_query = {}, {}
        for finding in report["findings"]:
            if finding["remedy"]["kind"] not in ("create-index", "replace-index", "drop-index", "create-statistics"):
                continue
            print(f"{finding['rule']:28} {finding['confidence']:7} {finding['remedy']['sql']}")
            if finding["remedy"]["kind"] == "drop-index":
                continue
            for query in (finding["evidence"] or {}).get("queries", []):
                by_query.setdefault(plain(query["query"]), []).append((finding["remedy"]["changes"][0]["name"] if finding["remedy"]["changes"] else "?", query))
            for sql in (finding["remedy"]["sql"] or "").split(";\n"):
                server.psql(sql)
            for change in finding["remedy"]["changes"]:
                if change["action"] == "create":
                    new[change["name"]] = 0
        server.psql("VACUUM ANALYZE")
        after = measure(server, workload)
        report_on(all_cases, before, after, by_query, new, server, report)
    finally:
        server.stop()


def intervals(all_cases, after, report):
    """In how many findings lies what was really saved between the two bounds? Statements that two findings serve are left out."""
    by_text = {plain(sql): now["ms"] for (_, _, sql), now in zip(all_cases, after)}
    served = [query["fingerprint"] for finding in report["findings"] for query in ((finding["evidence"] or {}).get("queries") or [])]
    held = known = 0
    for finding in report["findings"]:
        bounds = finding["impact"].get("saved_interval_ms")
        queries = (finding["evidence"] or {}).get("queries") or []
        if not bounds or any(served.count(query["fingerprint"]) > 1 or plain(query["query"]) not in by_text for query in queries):
            continue
        saved = sum(query["n_calls"] * (query["mean_ms"] - by_text[plain(query["query"])]) for query in queries)
        known += 1
        holds = bounds[0] <= saved <= bounds[1]
        held += holds
        if not holds:
            print(f"outside: {saved:.0f} not in {bounds[0]:.0f} to {bounds[1]:.0f} ms: {finding['message']}")
    print(f"{held} of {known} intervals hold what was saved")


def report_on(all_cases, before, after, by_query, new, server, report):
    improved = wanted = wrong = slower = 0
    heirs = dict(line.split("|") for line in server.psql("SELECT inhrelid::regclass, inhparent::regclass FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE relkind = 'i'").split())
    for (sign, _, sql), old, now in zip(all_cases, before, after):
        used = {heirs.get(name, name) for name in now["indexes"]} & set(new)
        for name in used:
            new[name] += 1
        served = by_query.get(plain(sql), [])
        better = old["ms"] >= 2 * now["ms"] and now["blocks"] < old["blocks"]
        wanted += sign == "+"
        improved += sign == "+" and better
        accused = sign == "-" and served
        wrong += bool(accused)
        is_slower = now["ms"] > 1.1 * old["ms"] and now["ms"] > old["ms"] + 0.05 and sign != "="
        is_dearer = now["cost"] > 1.1 * old["cost"]
        slower += is_slower
        mark = "WRONG" if accused else "SLOWER" if is_slower else "DEARER" if is_dearer else "missed" if sign == "+" and not better else ""
        print(f"{sign} {mark:7}{old['ms']:9.2f} -> {now['ms']:9.2f} ms {old['blocks']:7} -> {now['blocks']:7} blocks  {','.join(sorted(used)) or '-'} | {sql[:110]}")
    intervals(all_cases, after, report)
    idle = [name for name, n in new.items() if n == 0]
    print(f"{improved} of {wanted} at least twice as fast; {wrong} accused; {slower} slower; {len(new)} indexes, without use: {idle}; planner calls {report['run'].get('n_planner_calls')}, what-if {report['server']['what_if']}, {report['run']['wall_s']:.1f} s")


if __name__ == "__main__":
    main()
