#!/usr/bin/env python3
"""Measures what full logging costs a server: transactions a second, CPU of the server per transaction, bytes of log per statement.

    python3 benches/capture/logging_cost.py [--seconds 10] [--rounds 3] [--pg-bin FOLDER]

A private server, pgbench (scale 10, 4 clients, prepared protocol), each setting in turn and all of them again and again, so that a busy
machine is busy for all. Two loads: look-ups by primary key only (`-S`: the cheapest statements there are, so the dearest logging), and
pgbench's own transactions of seven statements, with `synchronous_commit = off`. CPU is that of all the server's processes. Medians of
the rounds. Under root the server runs as `postgres`. Nothing stays.
"""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile

from make_logs import command, installed

PREFIX = "%m [%c] %q%u@%d/%a %v %Q "
OFF = {"log_min_duration_statement": "-1", "log_statement": "none", "log_duration": "off", "log_destination": "stderr",
       "log_transaction_sample_rate": "0"}
SETTINGS = {
    "off": {},
    "log_min_duration_statement = 0": {"log_min_duration_statement": "0"},
    "the same as jsonlog": {"log_min_duration_statement": "0", "log_destination": "jsonlog"},
    "log_statement = all, log_duration = on": {"log_statement": "all", "log_duration": "on"},
    "log_transaction_sample_rate = 0.05": {"log_transaction_sample_rate": "0.05"},
}
LOADS = {"look-ups": (["-S"], 1), "transactions": ([], 7)}
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pg-bin", type=pathlib.Path, default=None)
    arguments = parser.parse_args()
    binaries = arguments.pg_bin or installed()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pgassay-bench-"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        serve(binaries, folder, arguments)
    finally:
        shutil.rmtree(folder)


def serve(binaries, folder, arguments):
    data = folder / "data"
    quietly = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    subprocess.run(command(binaries, "initdb", "-D", data, "-U", "bench", "-A", "trust"), **quietly)
    with open(data / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write(f"unix_socket_directories = '{folder}'\nlisten_addresses = ''\nlogging_collector = on\nlog_rotation_size = 0\n"
                   f"synchronous_commit = off\nlog_line_prefix = '{PREFIX}'\ncompute_query_id = on\nlog_checkpoints = off\n")
    subprocess.run(command(binaries, "pg_ctl", "-D", data, "-w", "start"), **quietly)
    try:
        base = ["-h", folder, "-U", "bench"]
        subprocess.run(command(binaries, "pgbench", *base, "-qis", 10, "postgres"), **quietly)
        measure(binaries, folder, base, arguments, quietly)
    finally:
        subprocess.run(command(binaries, "pg_ctl", "-D", data, "-m", "fast", "stop"), **quietly)


def measure(binaries, folder, base, arguments, quietly):
    results = {}
    for _ in range(arguments.rounds):
        for load, (options, n_statements) in LOADS.items():
            for name, settings in SETTINGS.items():
                lines = [f"alter system set {key} = '{value}';" for key, value in {**OFF, **settings}.items()]
                sql = "\n".join([*lines, "select pg_reload_conf();"]).encode()
                subprocess.run(command(binaries, "psql", *base, "-qX", "postgres"), input=sql, **quietly)
                before = (cpu_s(folder), log_bytes(folder))
                words = [*base, "-n", "-M", "prepared", "-c", 4, "-T", arguments.seconds, *options, "postgres"]
                out = subprocess.run(command(binaries, "pgbench", *words), capture_output=True, text=True, check=True, cwd=folder).stdout
                after = (cpu_s(folder), log_bytes(folder))
                n = int(re.search(r"actually processed: (\d+)", out)[1])
                tps = float(re.search(r"tps = ([\d.]+)", out)[1])
                results.setdefault((load, name), []).append(
                    (tps, (after[0] - before[0]) / n * 1e6, (after[1] - before[1]) / n / n_statements))
    print("| load | logged | tps | CPU µs per transaction | bytes of log per statement |\n|---|---|---|---|---|")
    for (load, name), runs in results.items():
        tps, cpu, size = (statistics.median(column) for column in zip(*runs))
        print(f"| {load} | {name} | {tps:,.0f} | {cpu:.0f} | {size:.0f} |")


def cpu_s(folder):
    """User and system time of the server's processes, those that ended included."""
    postmaster = (folder / "data" / "postmaster.pid").read_text().split()[0]
    total = 0
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if process.name == postmaster:
            total += sum(map(int, fields[11:15]))
        elif fields[1] == postmaster:
            total += sum(map(int, fields[11:13]))
    return total * TICK_S


def log_bytes(folder):
    return sum(path.stat().st_size for path in (folder / "data" / "log").iterdir())


if __name__ == "__main__":
    main()
