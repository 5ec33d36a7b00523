#!/usr/bin/env python3
"""Fills `fuzz/corpus` with seeds from the fixtures: pieces of real logs, of whole lines, and their statements.

    python3 fuzz/seeds.py
"""

import csv
import hashlib
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / "fixtures" / "logs"
# by target: patterns of the logs that it reads
READERS = {
    "stderr": ["pg*/server.log", "wrapped/rds.log"],
    "csvlog": ["*/server.csv"],
    "jsonlog": ["*/server.json"],
    "syslog": ["syslog/*.log"],
    "wrapped": ["wrapped/*"],
    "pgbouncer": ["../pools/**/pgbouncer*.log"],
}
PIECE_BYTES = 3_000
MAX_PIECES = 150


def pieces(text: bytes):
    """Pieces of whole lines."""
    piece = b""
    for line in text.splitlines(keepends=True):
        piece += line
        if len(piece) >= PIECE_BYTES:
            yield piece
            piece = b""
    if piece:
        yield piece


def keep(target: str, seeds) -> None:
    folder = ROOT / "fuzz" / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    n = 0
    for seed in seeds:
        (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
        n += 1
    print(f"{target}: {n} seeds")


def logs(patterns):
    for pattern in patterns:
        for path in sorted(LOGS.glob(pattern)):
            for _, piece in zip(range(MAX_PIECES), pieces(path.read_bytes())):
                yield piece


def messages():
    """Statements and plans of the csv logs."""
    csv.field_size_limit(1 << 30)
    for path in sorted(LOGS.glob("*/server.csv")):
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.reader(file):
                yield row[13]


def statements():
    for message in messages():
        for mark in ("statement: ", "execute <unnamed>: "):
            if mark in message:
                yield message.split(mark, 1)[1].encode()


def plans():
    for message in messages():
        if "  plan:\n" in message:
            yield message.split("  plan:\n", 1)[1].encode()


for target, patterns in READERS.items():
    found = list(logs(patterns))
    if target == "wrapped":
        # the last byte says which wrapping it is
        found = [seed + bytes([which]) for n, seed in enumerate(found) for which in [n % 16]]
    keep(target, found)
texts = sorted(set(statements()))
keep("lexer", texts)
keep("sql_file", [b";\n".join(texts[at : at + 20]) for at in range(0, len(texts), 20)] + [b"-- calls: 12, mean_time_ms: 3.5\nselect 1;\n"])
keep("plan", sorted(set(plans())))
