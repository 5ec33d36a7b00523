"""inflate.py IN OUT BYTES: the same snapshot with its relations so much larger that they are BYTES in all (needs the Python package zstandard)."""
import hashlib, io, json, sys, zstandard

def main():
    source, target, size = sys.argv[1], sys.argv[2], float(sys.argv[3])
    data = open(source, "rb").read(); head, body = data[:18], data[18:]
    lines = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body)).read().decode().splitlines()[:-1]
    parts = [json.loads(line) for line in lines]
    for part in parts:
        if part["part"] != "planner": continue
        states = part["data"]["physical"]; factor = size / (8192 * sum(state["n_blocks"] for state in states))
        for state in states:
            if state["n_blocks"] > 1: state["n_blocks"] = int(state["n_blocks"] * factor); state["height"] = state["height"] and min(state["height"] + 2, 5)
            if state["relpages"] > 0: state["relpages"] = min(int(state["relpages"] * factor), 2**31 - 1)
            state["reltuples"] = max(state["reltuples"], state["reltuples"] * factor)
    lines = [json.dumps(part, ensure_ascii=False, separators=(",", ":")) for part in parts]
    digest = hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()
    end = {"part": "end", "data": {"n_lines": len(lines), "sha256": digest}}
    open(target, "wb").write(head + zstandard.ZstdCompressor().compress(("".join(line + "\n" for line in lines) + json.dumps(end) + "\n").encode()))

main()
