#!/usr/bin/env python3
"""Runs the ONNX corpus on one provider with no other behind it: on_provider.py PROVIDER [--minimum 0.6] [--options JSON] [--filter TEXT]

A case counts when every node of it that core does not evaluate itself ran there. What the provider refuses is counted, what it takes must
pass: any other failure is listed and makes the exit status 1, as does a share of passed cases below --minimum.
Last line: `N of M cases ran on PROVIDER (P %), N refused, N known to fail, N failed`.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("provider")
    ap.add_argument("--options", type=json.loads, default={})
    ap.add_argument("--corpus", type=pathlib.Path, default=ROOT / ".deps/corpus/onnx-1.23.2")
    ap.add_argument("--runner", type=pathlib.Path, default=ROOT / "build/release/bin/corpus_runner")
    ap.add_argument("--minimum", type=float, default=0, help="smallest share of cases that must pass")
    ap.add_argument("--filter", default="")
    ap.add_argument("--exceptions", type=pathlib.Path, help="file of `name reason`: cases that are known to fail; one that passes is a failure too")
    a = ap.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config, result = pathlib.Path(folder) / "config.json", pathlib.Path(folder) / "result.json"
        config.write_text(json.dumps({"providers": [{"use": a.provider, "options": a.options}], "placement": {"on_unsupported": "error"}}))
        done = subprocess.run([a.runner, a.corpus, "-c", config, "--minimum", "1", "--limit", "600", "--json", result, *(["--filter", a.filter] if a.filter else [])],
                              stdout=subprocess.DEVNULL)
        if not result.exists():
            sys.exit(f"corpus_runner ended with {done.returncode} and no result")
        cases = json.loads(result.read_text())
    passed = [c for c in cases if c["result"] == "passed"]
    refused = [c for c in cases if c["result"] != "passed" and "no provider of this session runs" in c["text"]]
    failed = [c for c in cases if c not in passed and c not in refused]
    known = {}
    if a.exceptions:
        lines = [line.split(maxsplit=1) for line in a.exceptions.read_text().splitlines() if line and not line.startswith("#")]
        known = {name: reason for name, reason in lines}
    for name in known:
        if any(c["name"] == name for c in passed):
            print(f"{name}: passes, though {a.exceptions} names it")
            failed.append({"name": name, "result": "passed", "text": "unexpected"})
    excused = [c for c in failed if c["name"] in known and c["result"] != "passed"]
    failed = [c for c in failed if c not in excused]
    for c in failed:
        print(f"{c['name']}: {c['result']}: {c['text'][:500]}")
    share = len(passed) / max(len(cases), 1)
    print(f"{len(passed)} of {len(cases)} cases ran on {a.provider} ({share:.1%}), {len(refused)} refused, {len(excused)} known to fail, {len(failed)} failed")
    return bool(failed) or not passed or share < a.minimum


if __name__ == "__main__":
    sys.exit(main())
