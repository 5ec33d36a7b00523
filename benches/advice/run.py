"""Index advice on an unseen schema, as a user gets it: load, measure, audit, build what was advised, measure again.

    python3 benches/advice/run.py PGASSAY FOLDER [literals|counters]

FOLDER holds the private server (any PostgreSQL on PATH or in PGBIN, not run as root: name an account in PGACCOUNT) and the report.
`literals` audits the statements as a SQL file with their measured times; `counters` runs each and audits pg_stat_statements alone.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
BIN = os.environ.get("PGBIN", "")
PORT = os.environ.get("PGPORT", "54398")
ACCOUNT = os.environ.get("PGACCOUNT")


def command(name):
    return str(pathlib.Path(BIN) / name) if BIN else name


def as_account(arguments):
    return ["setpriv", f"--reuid={ACCOUNT}", "--clear-groups", *arguments] if ACCOUNT else arguments


def start(folder):
    """Starts the server in FOLDER; tells whether it was made anew."""
    data = folder / "data"
    fresh = not data.exists()
    if fresh:
        make(folder, data)
    subprocess.run(as_account([command("pg_ctl"), "-D", data, "-l", folder / "server.log", "-w", "start"]), check=True, stdout=subprocess.DEVNULL)
    return fresh


def make(folder, data):
    subprocess.run(as_account([command("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--locale=C.UTF-8"]), check=True, stdout=subprocess.DEVNULL)
    with open(data / "postgresql.conf", "a") as conf:
        conf.write(f"port={PORT}\nunix_socket_directories='{folder}'\nlisten_addresses=''\nshared_preload_libraries='pg_stat_statements'\nfsync=off\nautovacuum=off\n")


def psql(folder, sql):
    done = subprocess.run(["psql", "-qAt", "-h", folder, "-p", PORT, "-U", "postgres", "-d", "postgres"], input=sql, capture_output=True, text=True)
    if "ERROR" in done.stderr:
        sys.exit(done.stderr)
    return done.stdout


def statements():
    for line in (HERE / "tenants.statements").read_text().splitlines():
        if line and not line.startswith("--"):
            sign, calls, sql = line.split(" ", 2)
            yield sign, int(calls), sql


def measure(folder):
    """The better of two runs, each in a transaction that is rolled back: ms and blocks."""
    found = []
    for sign, calls, sql in statements():
        explain = f"BEGIN;\nEXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql};\nROLLBACK;\n"
        plans = [json.loads(psql(folder, explain))[0] for _ in range(2)]
        plan = min(plans, key=lambda plan: plan["Execution Time"])
        blocks = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
        found.append((sign, calls, sql, plan["Execution Time"], blocks))
    return found


def main():
    pgassay, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    how = sys.argv[3] if len(sys.argv) > 3 else "literals"
    folder.mkdir(parents=True, exist_ok=True)
    if ACCOUNT:
        shutil.chown(folder, ACCOUNT)
    start(folder)
    try:
        psql(folder, (HERE / "tenants.sql").read_text())
        before = measure(folder)
        url = f"postgresql://postgres@localhost:{PORT}/postgres?host={folder}"
        audit = [pgassay, "audit", "--database-url", url, "--format", "json", "--quiet"]
        if how == "literals":
            log = folder / "log.sql"
            log.write_text("".join(f"-- calls: {calls}, mean_time_ms: {ms}\n{sql};\n" for _, calls, sql, ms, _ in before))
            audit += ["--log", log, "--statements", "log"]
        else:
            psql(folder, "SELECT pg_stat_statements_reset()")
            for _, calls, sql, _, _ in before:
                psql(folder, f"BEGIN;\n{sql};\nROLLBACK;\n" * max(1, calls // 300))
        report = json.loads(subprocess.run(audit, check=True, capture_output=True, text=True).stdout)
        (folder / "report.json").write_text(json.dumps(report, indent=1))
        for finding in report["findings"]:
            if finding["remedy"]["kind"] == "create-index":
                print(finding["remedy"]["sql"])
                psql(folder, finding["remedy"]["sql"])
        psql(folder, "VACUUM ANALYZE")
        improved = wanted = 0
        for (sign, _, sql, ms, blocks), (_, _, _, ms_after, blocks_after) in zip(before, measure(folder)):
            wanted += sign == "+"
            improved += sign == "+" and ms >= 2 * ms_after and blocks > blocks_after
            print(f"{sign} {ms:9.2f} -> {ms_after:9.2f} ms {blocks:7} -> {blocks_after:7} blocks  {sql[:90]}")
        print(f"{improved} of {wanted} at least twice as fast")
    finally:
        subprocess.run(as_account([command("pg_ctl"), "-D", folder / "data", "-m", "immediate", "stop"]), stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
