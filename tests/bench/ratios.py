#!/usr/bin/env python3
"""Watches for regressions: time of whole models beside onnxruntime, against ratios stored earlier on such a machine.

  ratios.py FOLDER [--models a,b] [--threads 1 2] [--dim seq=128] [--update]

FOLDER holds the models as .onnx files. Both runtimes take turns, so that what else the machine does meets both. A ratio (tenon's
time over onnxruntime's, each the fastest of its runs) that is more than 5 % above the stored one is measured again, and when it
stays so the exit status is 1. Ratios are kept in ratios.json by instruction set, threads and model; --update stores what was
measured where it is new or better. onnxruntime comes from PyPI and is needed here only.
"""
import argparse
import json
import pathlib
import sys

from models import Runtime, instruction_set

STORE = pathlib.Path(__file__).with_name("ratios.json")
ALLOWED = 1.05


def ratio(path, threads, dims, rounds, seconds):
    runtimes = {}
    best = {"tenonrt": float("inf"), "onnxruntime": float("inf")}
    try:
        for name in best:
            runtimes[name] = Runtime(name, str(path), threads, dims)
        for _ in range(rounds):
            for name, runtime in runtimes.items():
                best[name] = min(best[name], *runtime.round(seconds))
    finally:
        for runtime in runtimes.values():
            runtime.close()
    return best["tenonrt"] / best["onnxruntime"], best["tenonrt"]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder", type=pathlib.Path)
    ap.add_argument("--models", help="names, separated by commas; default: all that have a stored ratio, else all")
    ap.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    ap.add_argument("--dim", action="append", default=[], help="size of a named dimension: NAME=N")
    ap.add_argument("--rounds", type=int, default=4)
    ap.add_argument("--seconds", type=float, default=0.3)
    ap.add_argument("--update", action="store_true")
    a = ap.parse_args()
    dims = {name: int(size) for name, size in (d.split("=") for d in a.dim)}
    store = json.loads(STORE.read_text()) if STORE.exists() else {}
    mine = store.setdefault(instruction_set(), {})
    known = {name for table in mine.values() for name in table}
    names = a.models.split(",") if a.models else sorted(known or {p.stem for p in a.folder.glob("*.onnx")})
    worse = []
    for name in names:
        for threads in a.threads:
            table = mine.setdefault(str(threads), {})
            try:
                now, seconds = ratio(a.folder / f"{name}.onnx", threads, dims, a.rounds, a.seconds)
                if name in table and now > table[name] * ALLOWED:
                    now, seconds = min((now, seconds), ratio(a.folder / f"{name}.onnx", threads, dims, 2 * a.rounds, a.seconds))
            except (RuntimeError, OSError) as e:
                print(f"{name:32} {threads}  left out: {e}")
                continue
            was = table.get(name)
            bad = was is not None and now > was * ALLOWED
            print(f"{name:32} {threads} {seconds * 1e3:10.3f} ms  ratio {now:.3f}  stored {'-' if was is None else format(was, '.3f')}{'  WORSE' if bad else ''}",
                  flush=True)
            if bad:
                worse.append(f"{name} ({threads} threads)")
            if a.update and (was is None or now < was):
                table[name] = round(now, 3)
    if a.update:
        STORE.write_text(json.dumps(store, indent=1, sort_keys=True) + "\n")
    if worse:
        sys.exit("slower than stored: " + ", ".join(worse))


if __name__ == "__main__":
    main()
