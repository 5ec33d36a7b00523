"""what_if.py FILE DB PGASSAY [SNAPSHOT_ARGS…]: indexes predicted in a twin against the same indexes really built. Connection by PG* variables, as superuser.

FILE holds blocks: a CREATE INDEX with a name, then the statements to plan with it, one a line. All indexes are built, VACUUM ANALYZE run, and each is planned with alone (the
others are switched off in pg_index: use a server of your own). Then they are dropped, the database is captured, and the twin is asked for each."""
import json, math, re, subprocess, sys, os, tempfile

SHAPE = ("Node Type", "Relation Name", "Index Name", "Join Type", "Strategy", "Parent Relationship", "Alias")

def psql(script, db):
    out = subprocess.run(["psql", "-qXAt", "-d", db], input="\\set ON_ERROR_STOP on\n" + script, text=True, capture_output=True)
    if out.returncode: sys.exit(out.stderr)
    return out.stdout

def walk(node):
    yield node
    for child in node.get("Plans", ()): yield from walk(child)

TREE = "WITH RECURSIVE tree(oid) AS (SELECT c.oid FROM pg_class c WHERE c.relname IN (%s) AND relkind IN ('i', 'I') UNION ALL SELECT inhrelid FROM pg_inherits JOIN tree ON tree.oid = inhparent) "

def blocks_of(path):
    """FILE's indexes: statement, name, queries."""
    blocks = []
    for line in open(path):
        line = line.strip().rstrip(";")
        if line.startswith("CREATE"): blocks.append((line, re.search(r"INDEX (\w+) ON", line)[1], []))
        elif line and not line.startswith("--"): blocks[-1][2].append(line)
    return blocks

def main():
    path, db, program, *more = sys.argv[1:]
    blocks = blocks_of(path)
    names = ", ".join(f"'{name}'" for _, name, _ in blocks)
    drop = "".join(f"DROP INDEX IF EXISTS {re.search(r'ON ([^.]+)[.]', ddl)[1]}.{name};\n" for ddl, name, _ in blocks)
    psql(drop, db)
    psql("".join(ddl + ";\n" for ddl, _, _ in blocks) + "VACUUM ANALYZE;\n", db)
    real = []
    for ddl, name, queries in blocks:
        script = TREE % names + "UPDATE pg_index SET indisvalid = false FROM tree WHERE indexrelid = tree.oid;\n" + TREE % f"'{name}'" + "UPDATE pg_index SET indisvalid = true FROM tree WHERE indexrelid = tree.oid;\n"
        script += TREE % f"'{name}'" + "SELECT sum(pg_relation_size(c.oid))::int8 / 8192, max(CASE WHEN amname = 'btree' AND c.relkind = 'i' THEN (SELECT level FROM bt_metap(c.oid::regclass::text)) END), max(amname) FROM tree JOIN pg_class c ON c.oid = tree.oid LEFT JOIN pg_am a ON a.oid = c.relam;\n"
        for query in queries: script += f"\\echo @@\nEXPLAIN (FORMAT JSON, VERBOSE) {query};\n"
        head, *plans = psql(script, db).split("@@\n")
        pages, height, method = head.strip().split("|")
        real.append((int(pages), int(height or 0), method, [json.loads(plan)[0]["Plan"] for plan in plans]))
    psql(drop, db)
    folder = tempfile.mkdtemp(); snapshot = f"{folder}/s.pgassay"
    url = f"postgres:///{db}?host={os.environ['PGHOST']}&port={os.environ['PGPORT']}&user={os.environ.get('PGUSER', 'postgres')}"
    subprocess.run([program, "capture", "--database-url", url, "--redact", "none", "-o", snapshot, *more], check=True, capture_output=True)
    by_method, costs, n, n_same, n_identical, n_used = {}, [], 0, 0, 0, 0
    for (ddl, name, queries), (pages, height, method, plans) in zip(blocks, real):
        open(f"{folder}/q.sql", "w").write(";\n".join(queries))
        out = subprocess.run([program, "plan", "--file", f"{folder}/q.sql", "--snapshot", snapshot, "--index", ddl, "--format", "json"], text=True, capture_output=True)
        if out.returncode: print(ddl, out.stderr); continue
        answer = json.loads(out.stdout); index = answer["indexes"][0]
        guess = index["size_bytes"] // 8192; ratio = guess / pages
        row = by_method.setdefault(method, [0, 0, 0, [], 0])
        row[3].append(ratio); row[4] += index["height"] != height
        print(f"{method:7} {pages:7} pages, guessed {guess:7} ({ratio:5.2f})" + (f", height {height} guessed {index['height']}" if method == "btree" and height != index["height"] else "") + f"  {ddl[:110]}")
        for plan, want, query in zip(answer["plans"], plans, queries):
            if "error" in plan: print("   ERROR", query, plan["error"]); continue
            got = plan["explain"][0]["Plan"]; a, b = list(walk(want)), list(walk(got))
            shape = [[x.get(k) for k in SHAPE] for x in a] == [[x.get(k) for k in SHAPE] for x in b]
            x, y = want["Total Cost"], got["Total Cost"]; cost = max(x, y) / max(min(x, y), 1e-9)
            n += 1; n_same += shape; n_identical += got == want; row[0] += 1; row[1] += shape; row[2] += got == want; costs.append(cost)
            used = any(node.get("Index Name", "").startswith(name) or "Index Name" in node for node in a); n_used += any((node.get("Index Name") or "") == name for node in a)
            if not shape or cost > 1.05: print(f"   {'shape' if not shape else 'cost '} real {x:.2f} guessed {y:.2f} rows {a[0]['Plan Rows']}/{b[0]['Plan Rows']} {[m['Node Type'] for m in a][:4]} {[m['Node Type'] for m in b][:4]} {query[:100]}")
    costs.sort()
    print("| method | indexes | size: geometric mean error | worst | wrong heights | plans | same shape | identical |\n|---|---|---|---|---|---|---|---|")
    for method, (p, s, i, ratios, wrong) in sorted(by_method.items()):
        errors = [max(r, 1 / r) for r in ratios]
        print(f"| {method} | {len(ratios)} | {math.exp(sum(map(math.log, errors)) / len(errors)):.2f} | {max(errors):.2f} | {wrong} | {p} | {s} | {i} |")
    at = lambda q: costs[min(len(costs) - 1, int(q * len(costs)))]
    print(f"{n} plans, {n_used} of which use the index: same shape {n_same}, identical {n_identical}; cost error p90 {at(.9):.4f} p99 {at(.99):.4f} max {costs[-1]:.4f}")

if __name__ == "__main__":
    main()
