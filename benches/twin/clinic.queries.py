"""Statements for clinic.sql, drawn from a seed: conditions on every column by each operator that it takes, alone, in pairs, joined, grouped, ordered, limited. They are nobody's choice."""
import random, sys
r = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
p = lambda *xs: r.choice(xs)
day = lambda a, b: f"20{r.randint(a, b)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"
C = {
 "patients": [lambda: f"id = {r.randint(1, 120000)}", lambda: f"clinic = {r.randint(1, 40)}", lambda: f"surname = '{p('C4c', 'Ecc', 'A87ff6', 'Smith', '1Ff1')}'", lambda: f"lower(surname) LIKE '{p('c4', 'e4d', 'a8')}%'", lambda: f"born > '{r.randint(1940, 2018)}-06-01'", lambda: f"born BETWEEN '{r.randint(1940, 1980)}-01-01' AND '{r.randint(1981, 2019)}-01-01'", lambda: f"town = {r.randint(1, 900)}", lambda: f"insurer = 'ins{r.randint(0, 16)}'", lambda: "insurer IS NULL", lambda: p("insured", "NOT insured"), lambda: "phone IS NULL", lambda: f"allergies @> '{{a{r.randint(1, 300)}}}'", lambda: f"allergies && '{{a{r.randint(1, 50)},a{r.randint(50, 300)}}}'", lambda: f"""card @> '{{"blood": "{p('A', 'B', 'AB')}"}}'""", lambda: f"card ->> 'kg' = '{r.randint(40, 120)}'", lambda: "died IS NOT NULL", lambda: f"died > '{day(15, 24)}'", lambda: f"seen @> timestamp '{day(20, 24)}'", lambda: f"seen && tsrange('{day(20, 21)}', '{day(22, 24)}')", lambda: f"seen << tsrange('{day(22, 23)}', '2026-01-01')", lambda: f"given = '{p('Ann', 'Eve')}'", lambda: f"town = {r.randint(1, 300)} AND insurer = 'ins{r.randint(0, 16)}'", lambda: f"town < {r.randint(5, 500)} AND insured"],
 "visits": [lambda: f"patient = {r.randint(1, 120000)}", lambda: f"doctor = {r.randint(1, 3000)}", lambda: f"clinic = {r.randint(1, 40)} AND doctor = {r.randint(1, 3000)}", lambda: f"clinic = {r.randint(1, 40)} AND room = {r.randint(1, 300)}", lambda: f"at > '{day(22, 24)}'", lambda: f"at > '2024-05-{r.randint(1, 20):02}'", lambda: f"at BETWEEN '{day(22, 22)}' AND '{day(23, 23)}'", lambda: "NOT paid", lambda: f"code = '{chr(65 + r.randint(1, 19))}{r.randint(1, 400):03}'", lambda: f"code LIKE '{chr(65 + r.randint(1, 19))}0%'", lambda: f"code = 'B0{r.randint(1, 20):02}' AND ward = '{p('er', 'icu', 'surgery')}'", lambda: f"ward = '{p('er', 'icu', 'children')}'", lambda: f"price > {r.randint(1, 1990)}", lambda: "note IS NOT NULL", lambda: f"minutes IN ({5 * r.randint(1, 24)}, {5 * r.randint(1, 24)})", lambda: f"room = {r.randint(1, 300)} AND slot && tstzrange('2022-05-01', '2022-05-0{r.randint(2, 9)}')", lambda: f"slot @> timestamptz '{day(22, 24)}'", lambda: f"extract(dow from at AT TIME ZONE 'UTC') = {r.randint(0, 6)}"],
 "documents": [lambda: f"words @@ to_tsquery('simple', 'w{r.randint(1, 3000)}')", lambda: f"words @@ to_tsquery('simple', 'w{r.randint(1, 40)} & w{r.randint(1, 90)}')", lambda: f"title ILIKE '%ort {r.randint(1, 999)}%'", lambda: f"net <<= '10.0.{r.randint(1, 200)}.0/24'", lambda: f"lang = '{p('en', 'de')}'", lambda: f"size > {r.randint(20, 200)}", lambda: f"patient = {r.randint(1, 120000)}"],
 "labs": [lambda: f"patient = {r.randint(1, 120000)}", lambda: f"kind = '{p('hb', 'tsh', 'k')}' AND value > {r.randint(1, 99)}", lambda: f"at > '{day(22, 24)}'", lambda: f"flags = {r.randint(1, 30)}", lambda: f"""raw @> '{{"dev": {r.randint(1, 60)}}}'"""],
 "stays": [lambda: f"bed = {r.randint(0, 499)}", lambda: f"during @> date '{day(22, 23)}'", lambda: f"during && daterange('{day(22, 22)}', '{day(22, 22)[:8]}28')".replace("daterange('", "daterange('2022-01-01', '").split("', '")[0] + f"', '{day(22, 23)}')", lambda: f"cost > {r.randint(10, 4990)}::money", lambda: f"patient = {r.randint(1, 120000)}"],
 "t1": [lambda: f"a = {r.randint(0, 49)} AND b = {r.randint(0, 99)}", lambda: f"a = {r.randint(0, 49)} AND c = {r.randint(0, 99)}", lambda: f"h LIKE '{r.randint(0, 9)}%'"],
 "towns": [lambda: f"centre <@ box '((0,0),({r.randint(1, 60)},{r.randint(1, 60)}))'", lambda: f"zip LIKE '{r.randint(0, 99):02}%'", lambda: f"county = 'County {r.randint(0, 22)}'"],
 "doctors": [lambda: f"skills @> '{{{r.randint(0, 6)},{r.randint(0, 12)}}}'", lambda: f"ward = 'icu' AND clinic = {r.randint(1, 40)}"],
}
ORDER = {"patients": "born", "visits": "at", "documents": "id", "labs": "at", "stays": "bed", "t1": "id", "towns": "id", "doctors": "id"}
GROUP = {"patients": "town, insurer", "visits": "clinic, doctor", "documents": "lang", "labs": "kind", "stays": "bed", "t1": "a, c", "towns": "county", "doctors": "ward"}
JOIN = {"visits": "JOIN patients p ON p.id = x.patient", "labs": "JOIN visits v ON v.patient = x.patient", "documents": "JOIN patients p ON p.id = x.patient", "patients": "JOIN towns w ON w.id = x.town", "stays": "JOIN patients p ON p.id = x.patient", "doctors": "JOIN visits v ON v.doctor = x.id"}
def q(cond): return cond
seen = set()
while len(seen) < 250:
    t = r.choices(list(C), [8, 8, 3, 2, 2, 1, 1, 1])[0]
    conds = " AND ".join(f() for f in r.sample(C[t], p(1, 1, 1, 2)))
    kind = r.random()
    if kind < 0.5: s = f"SELECT * FROM {t} WHERE {conds}"
    elif kind < 0.65: s = f"SELECT * FROM {t} WHERE {conds} ORDER BY {ORDER[t]} LIMIT {p(1, 10, 50)}"
    elif kind < 0.75: s = f"SELECT {GROUP[t]}, count(*) FROM {t} WHERE {conds} GROUP BY {GROUP[t]}"
    elif kind < 0.82: s = f"SELECT {GROUP[t]}, count(*) FROM {t} GROUP BY {GROUP[t]} HAVING count(*) > {r.randint(1, 50)}"
    elif t in JOIN: s = f"SELECT * FROM (SELECT * FROM {t} WHERE {conds}) x {JOIN[t]}"
    else: continue
    if s not in seen: seen.add(s); print(s + ";")
