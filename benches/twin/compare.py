"""compare.py PLANS.json [psql arguments]: the twin's plans (pgassay plan --format json) against a server's own EXPLAIN.

Identical: every node's type, relation, index, costs, rows, width and conditions are equal. Same shape: types, relations and indexes are."""
import json, subprocess, sys

NUMBERS = ("Startup Cost", "Total Cost", "Plan Rows", "Plan Width")
SHAPE = ("Node Type", "Relation Name", "Index Name", "Join Type", "Strategy", "Parent Relationship", "Alias")

def walk(node):
    yield node
    for child in node.get("Plans", ()):
        yield from walk(child)

def main():
    plans = json.load(open(sys.argv[1]))["plans"]
    script = "\\set ON_ERROR_STOP off\n\\pset tuples_only on\n\\pset format unaligned\n"
    for i, p in enumerate(plans):
        script += f"\\echo @@{i}\nEXPLAIN (FORMAT JSON, VERBOSE) {p['sql']};\n"
    out = subprocess.run(["psql", "-qX", *sys.argv[2:]], input=script, text=True, capture_output=True).stdout
    answers = {}
    for part in out.split("@@")[1:]:
        head, _, body = part.partition("\n")
        try: answers[int(head)] = json.loads(body)
        except ValueError: pass
    n = same = identical = rows = failed = 0; errors = []
    for i, p in enumerate(plans):
        if i not in answers: continue
        n += 1
        if "error" in p: failed += 1; print("ERROR", p["sql"][:100], p["error"]); continue
        if not answers[i]: n -= 1; continue  # a rule that does nothing has no plan
        a, b = list(walk(answers[i][0]["Plan"])), list(walk(p["explain"][0]["Plan"]))
        shape = [[x.get(k) for k in SHAPE] for x in a] == [[x.get(k) for k in SHAPE] for x in b]
        equal = answers[i][0]["Plan"] == p["explain"][0]["Plan"]
        x, y = a[0]["Total Cost"], b[0]["Total Cost"]
        ratio = max(x, y) / max(min(x, y), 1e-9) if x != y else 1
        same += shape; identical += equal; rows += a[0]["Plan Rows"] == b[0]["Plan Rows"]; errors.append(ratio)
        if not equal and "-v" in sys.argv[0:2] + sys.argv[-1:]: pass
        if not equal: print(f"{'shape' if not shape else 'cost '} {ratio:9.4f}  prod {x:.2f} twin {y:.2f} rows {a[0]['Plan Rows']}/{b[0]['Plan Rows']}  {p['sql'][:110]}")
    errors.sort()
    at = lambda q: errors[min(len(errors) - 1, int(q * len(errors)))] if errors else 0
    print(f"{n} statements: identical {identical} ({100*identical/n:.1f} %), same shape {same} ({100*same/n:.1f} %), same rows {rows}, failed {failed}, cost error p90 {at(.9):.4f} p99 {at(.99):.4f} max {errors[-1] if errors else 0:.4f}")

main()
