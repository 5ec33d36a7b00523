"""captured.py PROGRAM STATEMENTS.sql URL [capture's options]: how well a twin plans statements that were captured with their values.

The statements go into snapshots as a log, forty at a time (as many as the self-check compares); the twin plans what redaction left of them, and
the self-check says how many plans are those of the server."""
import re, subprocess, sys, tempfile, os

program, statements, url, *options = sys.argv[1:]
lines = [s for s in open(statements).read().split(";\n") if s.strip()]
total = [0, 0, 0, 0]; worst = 1.0
with tempfile.TemporaryDirectory() as folder:
    log, snapshot = os.path.join(folder, "part.sql"), os.path.join(folder, "part.pgassay")
    for start in range(0, len(lines), 40):
        open(log, "w").write(";\n".join(lines[start:start + 40]) + ";\n")
        subprocess.run([program, "capture", "--database-url", url, "--log", log, *options, "-o", snapshot], check=True, capture_output=True)
        said = subprocess.run([program, "plan", "SELECT 1", "--snapshot", snapshot], capture_output=True, text=True).stderr
        found = re.search(r"of (\d+) plans of the server (\d+) identical, (\d+) of the same shape, worst cost ratio ([\d.]+)(?:; (\d+) more)?", said)
        if not found: print(said); continue
        counts = [int(found[1]), int(found[2]), int(found[3]), int(found[5] or 0)]
        total = [a + b for a, b in zip(total, counts)]; worst = max(worst, float(found[4]))
n = max(total[0], 1)
print(f"{total[0]} plans: identical {total[1]} ({100*total[1]/n:.1f} %), same shape {total[2]} ({100*total[2]/n:.1f} %), not planned {total[3]}, worst cost ratio {worst}")
