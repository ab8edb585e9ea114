"""Prints what became of every type slot: python -m ops.survey [--history] [--op NAME] [--provider cpu] [--plain] [--all]."""
import argparse
import collections
import sys

import tenonrt as rt
from ops.slots import survey


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--history", action="store_true", help="every version of every operator")
    ap.add_argument("--op", default="", help="these operators alone, separated by commas")
    ap.add_argument("--provider", default="cpu")
    ap.add_argument("--plain", action="store_true", help="scalar kernels")
    ap.add_argument("--all", action="store_true", help="every case, not the first of each reason")
    a = ap.parse_args()
    wanted = set(a.op.split(",")) if a.op else None
    outcomes, slots = survey(rt, [(a.provider, {"plain": True})] if a.plain else [a.provider], a.history, lambda s: not wanted or s.name in wanted)
    shown = collections.Counter()
    for o in outcomes:
        key = (o.case.types.schema.name, o.kind, o.why[-40:])
        shown[key] += 1
        if o.kind != "passed" and (a.all or shown[key] == 1):
            print(f"{o.kind:9} {o.case.name}: {o.why[:600]}")
    missing = collections.defaultdict(list)
    for (domain, name, version, constraint, type_), o in slots.items():
        if o is None:
            missing[f"{domain}:{name}-{version}"].append(f"{constraint}={type_}")
    for k, v in missing.items():
        print(f"no recipe {k}: {len(v)} {' '.join(v[:6])}")
    kinds = collections.Counter(o.kind if o else "no recipe" for o in slots.values())
    print("cases", dict(collections.Counter(o.kind for o in outcomes)))
    bad = sum(1 for o in outcomes if o.kind in ("wrong", "failed", "no model"))
    print("slots", dict(kinds), f"{kinds['passed'] / max(len(slots), 1):.2%} of {len(slots)}")
    return bad != 0 or not outcomes


if __name__ == "__main__":
    sys.exit(main())
