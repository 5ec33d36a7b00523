#!/usr/bin/env python3
"""Real clients that misuse their connections, and one that does not: logs on which the rules about pools are tried.

    pip install 'psycopg[binary,pool]'
    python3 benches/capture/pool_clients.py OUT_FOLDER [CASE…] [--pg-bin FOLDER]
    pgassay check OUT_FOLDER/churn.log        # connection-churn; healthy.log: none of the six

Each case runs psycopg 3 against a private server of its own, all at once, for some 75 s. Under root the servers run as nobody. Nothing
of them stays but `CASE.log`.
"""

import argparse
import os
import pathlib
import pwd
import random
import shutil
import subprocess
import tempfile
import threading
import time

import psycopg
from psycopg_pool import ConnectionPool

SETTINGS = {
    "listen_addresses": "",
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "server.log",
    "log_line_prefix": "%m [%p] %q%u@%d/%a ",
    "log_min_duration_statement": "0",
    "log_connections": "on",
    "log_disconnections": "on",
    "fsync": "off",
    "autovacuum": "off",
}
SCHEMA = [
    "create table t (id int primary key, status text, v text)",
    "insert into t select n, case when n > 199990 then 'rare' when n % 2 = 0 then 'a' else 'b' end, repeat('x', 100) from generate_series(1, 200000) n",
    "create index on t (status)",
    "analyze t",
]
LONG_S = 75


class Server:
    """A private server; its log is kept when it stops."""

    def __init__(self, bin_folder, settings):
        self.bin = bin_folder
        self.folder = pathlib.Path(tempfile.mkdtemp())
        if os.getuid() == 0:
            os.chown(self.folder, pwd.getpwnam("nobody").pw_uid, -1)
        self.run("initdb", "-D", self.folder / "d", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C")
        lines = [f"{name} = '{value}'" for name, value in (SETTINGS | settings).items()]
        lines.append(f"unix_socket_directories = '{self.folder}'")
        conf = self.folder / "d" / "postgresql.conf"
        conf.write_text(conf.read_text() + "\n".join(lines) + "\n")
        self.run("pg_ctl", "-D", self.folder / "d", "-w", "-l", self.folder / "start", "start")
        self.dsn = f"host={self.folder} user=postgres dbname=postgres application_name=shop"
        # the table is no part of what is logged
        with psycopg.connect(self.dsn + " options='-c log_min_duration_statement=-1'", autocommit=True) as session:
            for sql in SCHEMA:
                session.execute(sql)

    def run(self, program, *arguments):
        as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        command = [*as_nobody, str(self.bin / program), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def stop(self, mode, log):
        self.run("pg_ctl", "-D", self.folder / "d", "-m", mode, "-w", "stop")
        shutil.copy(self.folder / "d" / "log" / "server.log", log)
        shutil.rmtree(self.folder)


def side_by_side(n, work):
    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def requests(session, n):
    for _ in range(n):
        with session.transaction():
            session.execute("select v from t where id = %s", (random.randint(1, 200000),))
            session.execute("update t set v = %s where id = %s", ("y", random.randint(1, 200000)))
        time.sleep(random.random() * 0.02)


def healthy(dsn):
    end = time.time() + LONG_S
    with ConnectionPool(dsn, min_size=4, max_size=4) as pool:

        def user():
            while time.time() < end:
                with pool.connection() as session:
                    requests(session, 3)
                time.sleep(random.random() * 0.3)

        side_by_side(8, user)


def churn(dsn):
    def user():
        for _ in range(80):
            with psycopg.connect(dsn) as session:
                session.execute("select v from t where id = %s", (random.randint(1, 9),))

    side_by_side(3, user)


def leak(dsn):
    kept = []
    end = time.time() + LONG_S + 20
    with ConnectionPool(dsn, min_size=3, max_size=3) as pool:
        for n in range(12):
            kept.append(psycopg.connect(dsn, autocommit=True))
            kept[-1].execute("select v from t where id = %s", (n,))
            time.sleep(1.5)
        while time.time() < end:
            with pool.connection() as session:
                requests(session, 5)
    return kept


def idle(dsn):
    def user():
        with psycopg.connect(dsn) as session:
            for n in range(4):
                session.execute("update t set v = %s where id = %s", ("z", n))
                time.sleep(6)
                session.commit()

    side_by_side(3, user)


def saturation(dsn):
    def user():
        for _ in range(4):
            try:
                with psycopg.connect(dsn) as session:
                    session.execute("select pg_sleep(0.3)")
            except psycopg.OperationalError:
                pass

    side_by_side(16, user)


def unprepared(dsn):
    sql = "select a.v, b.v from t a join t b using (id) join t c using (id) join t d using (id) where a.id = %s and b.status in (%s, %s)"
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as session:
        for n in range(400):
            session.execute(sql, (n, "a", "b")).fetchall()


def generic(dsn):
    for _ in range(4):
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as session:
            for _ in range(25):
                session.execute("select v from t where status = %s order by id limit 10", ("rare",)).fetchall()


# client, settings of the server, how it stops: a leak is open until the log ends
CASES = {
    "healthy": (healthy, {}, "fast"),
    "churn": (churn, {}, "fast"),
    "leak": (leak, {}, "immediate"),
    "idle": (idle, {}, "fast"),
    "saturation": (saturation, {"max_connections": "10"}, "fast"),
    "unprepared": (unprepared, {}, "fast"),
    "generic": (generic, {}, "fast"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--pg-bin", type=pathlib.Path, default=pathlib.Path("/usr/lib/postgresql/15/bin"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    def run(case):
        client, settings, stop = CASES[case]
        server = Server(arguments.pg_bin, settings)
        kept = client(server.dsn)
        server.stop(stop, arguments.out / f"{case}.log")
        del kept

    threads = [threading.Thread(target=run, args=(case,)) for case in arguments.cases or CASES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
