"""sizes.py SEED… --program PGASSAY [--redact none]: sizes of b-trees guessed in a twin against the same indexes really built, on schemas drawn from seeds.

Connection by PGHOST and PGPORT, as superuser; each seed makes and drops a database of its own. Tables, columns, distributions and indexes are nobody's choice: columns of every common type, unique, of few values, skewed,
correlated with others, with NULLs; indexes of one to three columns, partial, on expressions. Prints each guess that is off, and a table by kind. SIZES_CACHE=FOLDER keeps what was really built."""
import argparse, json, math, os, random, subprocess, tempfile

def psql(script, db):
    out = subprocess.run(["psql", "-qXAt", "-d", db], input="\\set ON_ERROR_STOP on\n" + script, text=True, capture_output=True)
    if out.returncode: raise SystemExit(out.stderr)
    return out.stdout

def number(r, n):
    """An integer of the row i, with some distribution: (what kind, SQL)."""
    k = r.choice([2, 5, 17, 60, 300, 2500, n // 20, n // 4, n])
    return r.choice([
        ("unique", "i"),
        (f"{k} even", f"(random() * {k})::int"),
        (f"{k} skewed", f"floor({k} * power(random(), {r.choice([1.5, 2, 3, 5])}))::int"),
        (f"{k} exponential", f"least({10 * k}, floor(-ln(1 - random()) * {k} / 8))::int"),
        (f"{k} in order", f"(i::int8 * {k} / {n})::int"),
        (f"{k} round", f"i % {k}"),
    ])

def column(r, n, name, numbers):
    """(name, type, SQL, kind)"""
    kind, x = number(r, n)
    if numbers and r.random() < .3:  # a function of an earlier column
        other = r.choice(numbers)
        kind, x = f"of {other[0]}", r.choice([f"({other[1]}) / {r.choice([3, 10, 50])}", f"({other[1]}) % {r.choice([7, 40])}", f"({other[1]}) * 3 + (random() * 2)::int"])
    t = r.choice(["int", "int", "bigint", "smallint", "text", "text", "text", "uuid", "numeric", "date", "timestamptz", "boolean", "float8", "varchar(40)", "char(8)", "text long", "inet", "time", "bytea"])
    sql = {"int": x, "bigint": f"({x})::int8 * 1000003", "smallint": f"(({x}) % 32000)::smallint", "text": r.choice([f"'v' || ({x})", f"md5(({x})::text)", f"substr(md5(({x})::text), 1, 1 + ({x}) % 12)", f"'Customer number ' || ({x}) || ' of the north'"]),
        "uuid": f"md5(({x})::text)::uuid", "numeric": f"round(({x}) * 1.37, 2)", "date": f"date '2015-01-01' + (({x}) % 20000)", "timestamptz": f"timestamptz '2020-01-01' + ({x}) * interval '{r.choice([1, 37, 3600])} seconds'",
        "boolean": f"({x}) % {r.choice([2, 10, 50])} = 0", "float8": f"({x}) / 7.0", "varchar(40)": f"upper(substr(md5(({x})::text), 1, 10))", "char(8)": f"lpad((({x}) % 10000000)::text, 8, 'x')",
        "text long": f"repeat(md5(({x})::text), 1 + ({x}) % 4)", "inet": f"'10.0.0.0'::inet + ({x})", "time": f"time '00:00' + (({x}) % 86400) * interval '1 second'", "bytea": f"decode(md5(({x})::text), 'hex')"}[t]
    nulls = r.choice([0, 0, 0, 0, .02, .3, .8])
    if nulls: sql = f"CASE WHEN random() >= {nulls} THEN {sql} END"
    return name, t.replace(" long", ""), sql, kind + (f", {nulls:.0%} NULL" if nulls else ""), (kind, x)

def expression(r, name, t):
    return {"int": [f"({name} / 100)", f"({name} % 10)", f"({name} * 2)"], "bigint": [f"({name} / 1000000)", f"abs({name})"], "text": [f"lower({name})", f"substr({name}, 1, {r.choice([1, 2, 3, 5])})", f"length({name})", f"md5({name})", f"\"right\"({name}, 2)", f"upper({name})", f"left({name}, 4)"],
        "varchar(40)": [f"lower({name})", f"substr({name}, 1, 2)"], "date": [f"date_part('year', {name})", f"date_part('month', {name})"], "timestamptz": [f"(({name} AT TIME ZONE 'UTC')::date)", f"date_trunc('hour', {name} AT TIME ZONE 'UTC')"], "numeric": [f"floor({name})"], "float8": [f"floor({name})"], "uuid": [f"({name}::text)"]}.get(t, [])

def base(column, columns):
    """What a column is a function of: itself, the row's number, or an earlier column's base."""
    kind = column[3]
    if kind.startswith("of "): return base(next(c for c in columns if c[0] == kind[3:].split(",")[0]), columns)
    return "i" if any(word in kind for word in ("unique", "in order", "round")) else column[0]

def draw(seed):
    r = random.Random(seed)
    script, indexes = f"SELECT setseed({r.random():.3f});\n", []
    for t in range(4):
        n = r.choice([20000, 60000, 150000])
        columns, numbers = [], []
        for c in range(9):
            columns.append(column(r, n, f"c{c}", numbers)); numbers.append((f"c{c}", columns[-1][4][1])) if "random" not in columns[-1][4][1] else None
        script += f"CREATE TABLE t{t} AS SELECT i AS id, " + ", ".join(f"({sql})::{ty} AS {name}" for name, ty, sql, _, _ in columns) + f" FROM generate_series(1, {n}) i;\n"
        for k in range(15):
            chosen = r.sample(columns, r.choice([1, 1, 1, 2, 2, 3])); keys, what = [], []
            for name, ty, _, kind, _ in chosen:
                forms = expression(r, name, ty) if r.random() < .35 else []
                keys.append(r.choice(forms) if forms else name); what.append(f"{keys[-1]} {ty} {kind}")
            kind = "expression" if any(key not in [c[0] for c in columns] for key in keys) else "one column" if len(keys) == 1 else "several columns"
            where = include = ""; read = list(chosen)
            if r.random() < .25:
                other = r.choice(columns); name, ty = other[:2]; kind = "partial"
                if other not in read: read.append(other)
                condition = {"int": f"{name} > {r.choice([0, 3, 50])}", "text": f"{name} > '5'", "boolean": r.choice([name, f"NOT {name}"]), "date": f"{name} > '2016-01-01'", "smallint": f"{name} < 3"}.get(ty, f"{name} IS NOT NULL")
                where = f" WHERE {condition}"
            elif r.random() < .1:
                kind = "INCLUDE"; include = f" INCLUDE ({r.choice([c[0] for c in columns if c[0] not in keys])})"
            # functions of the same column or of the row's number, and no extended statistics: nothing in the statistics tells
            if len({base(c, columns) for c in read}) < len(read): kind = "of related columns"
            indexes.append((f"i{t}_{k}", f"CREATE INDEX i{t}_{k} ON public.t{t} ({', '.join(keys)}){include}{where}", kind, "; ".join(what)))
    return script, indexes

def main():
    parser = argparse.ArgumentParser(); parser.add_argument("seeds", nargs="+", type=int); parser.add_argument("--program", required=True); parser.add_argument("--redact", default="none"); parser.add_argument("--all", action="store_true")
    args = parser.parse_args(); rows = {}
    host, port = os.environ["PGHOST"], os.environ["PGPORT"]
    for seed in args.seeds:
        db = f"sizes_{seed}"; script, indexes = draw(seed)
        with tempfile.TemporaryDirectory() as folder:
            cache = os.environ.get("SIZES_CACHE"); kept = cache and f"{cache}/{seed}"
            if kept and os.path.exists(kept + ".json"): real, snapshot = json.load(open(kept + ".json")), kept + ".pgassay"
            else:
                psql(f"DROP DATABASE IF EXISTS {db}", "postgres"); psql(f"CREATE DATABASE {db}", "postgres")
                psql("CREATE EXTENSION pageinspect;" + script + "VACUUM ANALYZE;", db)
                snapshot = (kept or f"{folder}/s") + ".pgassay"
                subprocess.run([args.program, "capture", "--database-url", f"postgres:///{db}?host={host}&port={port}&user=postgres", "--redact", args.redact, "-o", snapshot], check=True, capture_output=True)
                real = {}
                for name, ddl, _, _ in indexes:
                    out = psql(f"{ddl}; SELECT pg_relation_size('{name}') / 8192, level FROM bt_metap('{name}'); DROP INDEX {name};", db).split("|"); real[name] = [int(x) for x in out]
                psql(f"DROP DATABASE {db}", "postgres")
                if kept: json.dump(real, open(kept + ".json", "w"))
            command = [args.program, "plan", "SELECT 1", "--snapshot", snapshot, "--format", "json"]
            for _, ddl, _, _ in indexes: command += ["--index", ddl]
            out = subprocess.run(command, text=True, capture_output=True)
            if out.returncode: raise SystemExit(out.stderr)
            guesses = {index["name"]: index for index in json.loads(out.stdout)["indexes"]}
        for name, ddl, kind, what in indexes:
            (pages, height), guess = real[name], guesses[name]; ratio = guess["size_bytes"] / 8192 / pages
            if pages >= 20: rows.setdefault(kind, []).append((ratio, guess["height"] != height))
            if args.all or pages >= 20 and not .9 < ratio < 1.11: print(f"{seed} {pages:6} guessed {guess['size_bytes'] // 8192:6} ({ratio:5.2f}) {ddl[ddl.index(' ON ') + 4:]}   [{what}]")
    print("| b-trees of 20 pages and more | indexes | size: geometric mean error | p90 | worst | wrong heights |\n|---|---|---|---|---|---|")
    rows["all"] = sum(rows.values(), [])
    for kind, found in rows.items():
        errors = sorted(max(r, 1 / r) for r, _ in found)
        print(f"| {kind} | {len(errors)} | {math.exp(sum(map(math.log, errors)) / len(errors)):.3f} | {errors[int(.9 * len(errors))]:.2f} | {errors[-1]:.2f} | {sum(w for _, w in found)} |")

main()
