"""noise.py FILE DB [TIMES]: how far a server's own plans with FILE's indexes (what_if.py's form) move from one ANALYZE to the next. Connection by PG* variables, as superuser.

What a twin predicts can't be nearer to a server than the server is to itself: the error of each statement is its cost after one ANALYZE against its cost after another."""
import json, re, sys
from what_if import TREE, blocks_of, psql as psql_on

path, db, times = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 6
psql = lambda script: psql_on(script, db)
blocks = blocks_of(path)
names = ", ".join(f"'{name}'" for _, name, _ in blocks)
valid = lambda names, on: TREE % names + f"UPDATE pg_index SET indisvalid = {on} WHERE indexrelid IN (SELECT oid FROM tree);\n"
drop = "".join(f"DROP INDEX IF EXISTS {re.search(r'ON ([^.]+)[.]', ddl)[1]}.{name};\n" for ddl, name, _ in blocks)
psql(drop + "".join(ddl + ";\n" for ddl, _, _ in blocks) + "VACUUM ANALYZE;\n")
costs = {}
for _ in range(times):
    script = "ANALYZE;\n" + valid(names, "false")
    for _, name, statements in blocks:
        script += valid(f"'{name}'", "true") + "".join(f"\\echo @@\nEXPLAIN (FORMAT JSON) {s};\n" for s in statements) + "\\echo @@\n" + valid(f"'{name}'", "false")
    script += valid(names, "true")
    answers = [json.loads(part)[0]["Plan"]["Total Cost"] for part in psql(script).split("@@\n") if part.strip().startswith("[")]
    keys = [(name, s) for _, name, statements in blocks for s in statements]
    assert len(keys) == len(answers), (len(keys), len(answers))
    for key, cost in zip(keys, answers): costs.setdefault(key, []).append(cost)
psql(drop)
errors = []
for (name, statement), seen in costs.items():
    pairs = [max(a, b) / min(a, b) for i, a in enumerate(seen) for b in seen[:i]]
    errors += pairs
    if max(pairs) > 1.05: print(f"{max(pairs):8.2f}  {min(seen):.2f} to {max(seen):.2f}  {name}: {statement}")
errors.sort()
at = lambda q: errors[min(len(errors) - 1, int(q * len(errors)))]
print(f"{len(costs)} statements, {times} times: cost error of the server against itself p50 {at(.5):.4f} p90 {at(.9):.4f} p99 {at(.99):.4f} max {errors[-1]:.4f}")
