"""Compares our fingerprints with pg_query's (PyPI: pglast) on the statements of the fixtures: which groups either splits that the other keeps together.

    pip install pglast
    python3 benches/capture/fingerprints.py            # writes target/fingerprints/statements
    cargo test --test it fingerprints:: -- --ignored   # writes target/fingerprints/ours
    python3 benches/capture/fingerprints.py compare
"""

import collections
import csv
import glob
import gzip
import os
import re
import sys

FOLDER = "target/fingerprints"
SHAPE = re.compile(r"(?:duration: [\d.]+ ms  )?(?:statement|execute [^:]*|parse [^:]*|bind [^:]*): (.*)", re.S)
SEVERITY = re.compile(r"\b(?:LOG|ERROR|STATEMENT|DETAIL|FATAL|HINT|CONTEXT|WARNING|NOTICE|QUERY):  (.*)", re.S)


def records(path):
    """Messages of a stderr log, tabs of continuation lines taken off."""
    record = None
    opened = gzip.open if path.endswith(".gz") else open
    for line in opened(path, "rt", encoding="utf-8", errors="replace"):
        if line.startswith("\t") and record is not None:
            record += line[1:]
        else:
            if record is not None:
                yield record
            record = line
    if record is not None:
        yield record


def statements():
    csv.field_size_limit(1 << 30)
    for path in sorted(glob.glob("fixtures/**/*.csv", recursive=True)):
        for row in csv.reader(open(path, newline="", encoding="utf-8", errors="replace")):
            if len(row) > 19:
                yield row[13]
                yield "statement: " + row[19] if row[19] else ""
    for path in sorted(glob.glob("fixtures/**/*.log*", recursive=True)):
        for record in records(path):
            found = SEVERITY.search(record.rstrip("\n"))
            if found:
                yield found.group(1)


def collect():
    found = {}
    for message in statements():
        shape = SHAPE.match(message)
        if shape and "\0" not in shape.group(1):
            found.setdefault(shape.group(1), None)
    os.makedirs(FOLDER, exist_ok=True)
    with open(f"{FOLDER}/statements", "w", encoding="utf-8") as out:
        out.write("\0".join(found))
    print(len(found), "distinct texts")


def compare():
    from pglast.parser import ParseError, fingerprint

    texts = open(f"{FOLDER}/statements", encoding="utf-8", newline="").read().split("\0")
    ours = open(f"{FOLDER}/ours", encoding="utf-8", newline="").read().split("\0")
    pairs, unparsed = [], 0
    for text, our in zip(texts, ours):
        try:
            pairs.append((text, our.split(" ", 1)[0], fingerprint(text)))
        except ParseError:
            unparsed += 1
    mine, theirs = collections.defaultdict(dict), collections.defaultdict(dict)
    for text, our, their in pairs:
        mine[our].setdefault(their, text)
        theirs[their].setdefault(our, text)
    print(f"{len(pairs)} texts, {unparsed} that pg_query cannot parse; {len(mine)} groups of ours, {len(theirs)} of pg_query")
    same = sum(1 for group in mine.values() if len(group) == 1 and len(theirs[next(iter(group))]) == 1)
    print(f"groups that are the same: {same}")
    for name, groups in (("of ours that pg_query splits", mine), ("of pg_query that we split", theirs)):
        split = [group for group in groups.values() if len(group) > 1]
        print(f"\ngroups {name}: {len(split)}")
        for group in split[:40]:
            print("  --")
            for text in list(group.values())[:3]:
                print("    ", " ".join(text.split())[:200])


if __name__ == "__main__":
    compare() if sys.argv[1:] == ["compare"] else collect()
