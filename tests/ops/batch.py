"""Many cases as one model, for providers to which every session costs a build of programs.

  python -m ops.batch --provider opencl [--op NAME] [--types float,int64] [--workers 2] [--size 48] [--all]     from tests/, with tenonrt found

Each case is first placed alone with no other provider to fall back on: what is refused then is refused, with the provider's reason. What is
taken is run in batches; a batch that fails is run case by case.
"""
import argparse
import collections
import concurrent.futures
import copy
import json
import os
import subprocess
import sys

import onnx

import ops.recipes  # noqa: F401  fills the list
import tenonrt as rt
from ops.model import build
from ops.recipe import cases_of
from ops.slots import Outcome, judged, schemas


def alone(provider, options, data):
    so = rt.SessionOptions()
    so.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return rt.InferenceSession(data, so, providers=[(provider, options)])


def renamed(graph, prefix):
    """The graph with every name of its own under prefix."""
    graph = copy.deepcopy(graph)

    def walk(g, inherited):
        mine = {**inherited}
        for v in [*g.input, *g.initializer, *(o for n in g.node for o in n.output)]:
            name = v if isinstance(v, str) else v.name
            if name:
                mine[name] = prefix + name
        for s in g.sparse_initializer:
            mine[s.values.name] = prefix + s.values.name
            s.values.name = prefix + s.values.name
        for n in g.node:
            n.name = prefix + (n.name or n.op_type)
            n.input[:] = [mine.get(i, i) for i in n.input]
            n.output[:] = [mine.get(o, o) for o in n.output]
            for a in n.attribute:
                for sub in [a.g] if a.type == onnx.AttributeProto.GRAPH else a.graphs:
                    walk(sub, mine)
        for v in [*g.input, *g.output, *g.value_info, *g.initializer]:
            v.name = mine.get(v.name, v.name)

    walk(graph, {})
    return graph


def merged(models):
    """One model of several that import the same operator sets."""
    out = copy.deepcopy(models[0])
    del out.graph.node[:], out.graph.input[:], out.graph.output[:], out.graph.initializer[:], out.graph.value_info[:], out.graph.sparse_initializer[:]
    for i, m in enumerate(models):
        g = renamed(m.graph, f"c{i}/")
        for part in ("node", "input", "output", "initializer", "value_info", "sparse_initializer"):
            getattr(out.graph, part).extend(getattr(g, part))
    return out


def run_batch(provider, options, batch):
    """Outcomes of (case, model, feeds) that were placed."""
    models = [m for _, m, _ in batch]
    try:
        session = alone(provider, options, merged(models).SerializeToString() if len(batch) > 1 else models[0].SerializeToString())
        feeds = {(f"c{i}/" if len(batch) > 1 else "") + k: v for i, (_, _, f) in enumerate(batch) for k, v in f.items()}
        got = session.run(None, feeds)
    except Exception as e:
        if len(batch) == 1:
            return [Outcome(batch[0][0], "failed", str(e))]
        return [o for one in batch for o in run_batch(provider, options, [one])]
    outcomes, at = [], 0
    for case, model, _ in batch:
        n = len(model.graph.output)
        outcomes.append(judged(case, got[at:at + n]))
        at += n
    return outcomes


def survey(provider, options=None, only=None, keep=None, history=False, size=48, share=(0, 1)):
    """Outcomes of all cases of schemas that `only` accepts and cases that `keep` accepts. share: (i, n) takes every n-th case from i on."""
    options = options or {}
    outcomes, groups, seen = [], collections.OrderedDict(), 0
    for s in schemas(history):
        if only and not only(s):
            continue
        for case in cases_of(s):
            if keep and not keep(case):
                continue
            seen += 1
            if seen % share[1] != share[0]:
                continue
            try:
                model, feeds = build(case)
            except Exception as e:
                outcomes.append(Outcome(case, "no model", f"{type(e).__name__}: {e}"))
                continue
            try:
                alone(provider, options, model.SerializeToString())
            except Exception as e:
                outcomes.append(Outcome(case, "refused", str(e)))
                continue
            key = (model.ir_version, tuple(sorted((o.domain, o.version) for o in model.opset_import)))
            groups.setdefault(key, []).append((case, model, feeds))
    for cases in groups.values():
        for i in range(0, len(cases), size):
            outcomes += run_batch(provider, options, cases[i:i + size])
    return outcomes


def by_types(types):
    """Keeps cases whose types are all among these ('float', 'int64')."""
    allowed = {f"tensor({t})" for t in types}
    return lambda case: all(t in allowed for t in case.types.chosen.values())


def worker(i, n):
    """One share in a process with a driver cache of its own: two processes that compile the same kernels do not meet."""
    env = dict(os.environ)
    if "POCL_CACHE_DIR" in env:
        env["POCL_CACHE_DIR"] = os.path.join(env["POCL_CACHE_DIR"], f"worker{i}")
        os.makedirs(env["POCL_CACHE_DIR"], exist_ok=True)
    return subprocess.run([sys.executable, "-m", "ops.batch", *sys.argv[1:], "--workers", "1", "--share", f"{i}/{n}"], env=env).returncode


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--provider", default="opencl")
    ap.add_argument("--options", default="{}", type=json.loads)
    ap.add_argument("--op", default="", help="these operators alone, separated by commas")
    ap.add_argument("--types", default="", help="cases of these element types alone")
    ap.add_argument("--history", action="store_true", help="every version of every operator")
    ap.add_argument("--size", type=int, default=48, help="cases in one model")
    ap.add_argument("--workers", type=int, default=1)
    ap.add_argument("--share", default="0/1", help=argparse.SUPPRESS)
    ap.add_argument("--all", action="store_true", help="refused cases too")
    a = ap.parse_args()
    if a.workers > 1:
        with concurrent.futures.ThreadPoolExecutor(a.workers) as pool:
            codes = list(pool.map(lambda i: worker(i, a.workers), range(a.workers)))
        return max(codes)
    wanted = set(a.op.split(",")) if a.op else None
    share = tuple(int(n) for n in a.share.split("/"))
    outcomes = survey(a.provider, a.options, lambda s: not wanted or s.name in wanted, by_types(a.types.split(",")) if a.types else None, a.history, a.size, share)
    for o in outcomes:
        if o.kind not in ("passed", "refused") or (a.all and o.kind == "refused"):
            print(f"{o.kind:9} {o.case.name}: {o.why[:600]}")
    kinds = collections.Counter(o.kind for o in outcomes)
    print(f"cases of {a.provider}", dict(kinds), "operators with a case that passed:", len({o.case.types.schema.name for o in outcomes if o.kind == "passed"}))
    return any(kinds[k] for k in ("wrong", "failed", "no model")) or not outcomes


if __name__ == "__main__":
    sys.exit(main())
