#!/usr/bin/env python3
"""Measures how well a log that holds a sample tells how often each statement ran, and how long.

    python3 benches/capture/sampling.py PGASSAY [--transactions 3000] [--pg-bin FOLDER]

A private server with pg_stat_statements; pgbench's own transactions, and a script with look-ups, a slow statement, writes and an error now and
then, once for each way of sampling. The truth of calls is what pg_stat_statements counted. Its times are without parsing and planning, so the truth of times
is a log of everything, of which a tenth is kept at random (`thinned`). Under root the server runs as `postgres`. Nothing stays.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile

from make_logs import command, installed

OFF = {"log_min_duration_statement": "-1", "log_min_duration_sample": "-1", "log_statement_sample_rate": "1",
       "log_transaction_sample_rate": "0", "log_statement": "none", "log_duration": "off"}
EACH = {"log_min_duration_sample": "0", "log_statement_sample_rate": "0.1"}
WAYS = {
    "a tenth of the statements, simple": ("simple", [EACH]),
    "a tenth of the statements, prepared": ("prepared", [EACH]),
    "the same, and all from 3 ms on": ("extended", [{**EACH, "log_min_duration_statement": "3"}]),
    "a tenth of the transactions": ("prepared", [{"log_transaction_sample_rate": "0.1"}]),
    "both": ("simple", [{**EACH, "log_transaction_sample_rate": "0.1"}]),
    "all texts, a tenth of the times": ("simple", [{**EACH, "log_statement": "all"}]),
    "a tenth, then a third": ("simple", [EACH, {**EACH, "log_statement_sample_rate": "0.33"}]),
}
SCRIPT = """\\set id random(1, 100000)
\\set chance random(1, 20)
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :id;
SELECT count(*) FROM pgbench_accounts WHERE aid BETWEEN :id AND :id + 20;
UPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 1 + :id % 10;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, :id, 1, now());
COMMIT;
SELECT bbalance FROM pgbench_branches WHERE bid = 1;
\\if :chance = 1
SELECT pg_sleep(0.004);
\\endif
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pgassay", type=pathlib.Path)
    parser.add_argument("--transactions", type=int, default=3000)
    parser.add_argument("--pg-bin", type=pathlib.Path, default=None)
    arguments = parser.parse_args()
    binaries = arguments.pg_bin or installed()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pgassay-bench-"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        folder.chmod(0o755)
        serve(binaries, folder, arguments)
    finally:
        shutil.rmtree(folder)


def serve(binaries, folder, arguments):
    data = folder / "data"
    quietly = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    subprocess.run(command(binaries, "initdb", "-D", data, "-U", "bench", "-A", "trust"), **quietly)
    with open(data / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write(f"unix_socket_directories = '{folder}'\nlisten_addresses = ''\nlogging_collector = on\nlog_rotation_size = 0\n"
                   "log_line_prefix = '%m [%p] '\nsynchronous_commit = off\nshared_preload_libraries = 'pg_stat_statements'\n")
    subprocess.run(command(binaries, "pg_ctl", "-D", data, "-w", "start"), **quietly)
    (folder / "script.sql").write_text(SCRIPT, encoding="utf-8")
    try:
        base = ["-h", folder, "-U", "bench"]
        subprocess.run(command(binaries, "pgbench", *base, "-qis", 1, "postgres"), **quietly)
        sql(binaries, base, quietly, ["create extension pg_stat_statements"])
        print("| way | executions | logged | total calls, error | statements | calls, mean error | worst | beyond 2 standard errors |\n|---|---|---|---|---|---|---|---|")
        for name, (protocol, steps) in WAYS.items():
            print(row(name, *measure(binaries, folder, base, quietly, arguments, protocol, steps)), flush=True)
        thinned(binaries, folder, base, quietly, arguments)
    finally:
        subprocess.run(command(binaries, "pg_ctl", "-D", data, "-m", "fast", "stop"), **quietly)


def sql(binaries, base, quietly, statements):
    text = ";\n".join([*statements, ""]).encode()
    subprocess.run(command(binaries, "psql", *base, "-qX", "postgres"), input=text, **quietly)


def run(binaries, folder, base, quietly, arguments, protocol, steps):
    """The log of a run with these settings, one after the other."""
    logs = folder / "data" / "log"
    settings(binaries, base, quietly, OFF)
    sql(binaries, base, quietly, ["select pg_rotate_logfile()", "select pg_sleep(1.2)", "select pg_stat_statements_reset()"])
    for step in steps:
        settings(binaries, base, quietly, {**OFF, **step})
        words = [*base, "-n", "-M", protocol, "-c", 4, "-t", arguments.transactions // 4 // len(steps), "-f", folder / "script.sql", "postgres"]
        subprocess.run(command(binaries, "pgbench", *words), **quietly)
    return max(logs.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def measure(binaries, folder, base, quietly, arguments, protocol, steps):
    log = run(binaries, folder, base, quietly, arguments, protocol, steps)
    url = f"postgresql://bench@/postgres?host={folder}"
    told = {}
    for source in ("log", "pg_stat_statements"):
        words = [arguments.pgassay, "audit", "--database-url", url, "--log", log, "--statements", source, "--no-explain", "--format", "json"]
        out = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        told[source] = json.loads(out)
    return told["log"], told["pg_stat_statements"]


def thinned(binaries, folder, base, quietly, arguments):
    log = run(binaries, folder, base, quietly, arguments, "simple", [{"log_min_duration_statement": "0"}])
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    draw = random.Random(1)
    part = folder / "part.log"
    kept = (line for line in lines if " parameter \"" not in line and (" duration: " not in line or draw.random() <= 0.1))
    part.write_text("".join(kept), encoding="utf-8")
    words = [arguments.pgassay, "check", "--rule", "none", "--format", "json"]
    told = []
    for path, more in ((part, [f"--log-setting={key}={value}" for key, value in EACH.items()]), (log, [])):
        out = subprocess.run([*words, *more, path], capture_output=True, text=True, check=True).stdout
        told.append({query["fingerprint"]: query for query in json.loads(out)["top_queries"]})
    pairs = [(told[0][key], query) for key, query in told[1].items() if key in told[0] and query["n_calls"] >= 100]
    figures = []
    for key in ("total_ms", "p95_ms"):
        errors = [abs(ours[key] / true[key] - 1) for ours, true in pairs]
        whole = sum(ours[key] for ours, _ in pairs) / sum(true[key] for _, true in pairs) - 1
        figures.append(f"{key}: mean error {sum(errors) / len(errors):.1%}, worst {max(errors):.1%}, of the sum {whole:+.1%}")
    print(f"\nThinned ({len(pairs)} statements): " + "; ".join(figures))


def settings(binaries, base, quietly, wanted):
    sql(binaries, base, quietly, [*(f"alter system set {key} = '{value}'" for key, value in wanted.items()), "select pg_reload_conf()", "select pg_sleep(0.2)"])


def row(name, log, truth):
    estimates = {query["fingerprint"]: query for query in log["top_queries"]}
    both = [(estimates[query["fingerprint"]], query) for query in truth["top_queries"]
            if query["fingerprint"] in estimates and query["n_calls"] >= 100]
    errors = [abs(ours["n_calls"] / true["n_calls"] - 1) for ours, true in both]
    beyond = sum(abs(ours["n_calls"] - true["n_calls"]) > 2 * ours.get("n_calls_error", 0) for ours, true in both)
    total = lambda key, side: sum(pair[side][key] for pair in both)
    logged = sum(ours.get("n_logged", ours["n_calls"]) for ours, _ in both)
    calls = total("n_calls", 0) / total("n_calls", 1) - 1
    return (f"| {name} | {total('n_calls', 1):,} | {logged:,} | {calls:+.1%} | {len(both)} | {sum(errors) / len(errors):.1%} | {max(errors):.1%} | {beyond} |")


if __name__ == "__main__":
    main()
