"""Fuzzes single operators: well-formed models with extreme attributes, shapes, types and values.

  python tests/fuzz/operators [--runtime tenon|onnxruntime] [--cases 24000] [--first 0] [--op NAME ...] [--seed N]

A case is a function of its seed (and of the onnx package, whose schemas and corpus it comes from). Workers run them; what ends a
worker, takes more than --seconds of CPU time or more than --memory is written to --out: the model and the case in words. --seed N
runs one case here, in this process, and prints it. The exit status is 0 when nothing was found.
"""
import argparse
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path.insert(0, str(HERE))
sys.path.append(str(ROOT / "build/release/python"))  # where the environment names no other

import changes  # noqa: E402
import worker  # noqa: E402
from harness import Harness  # noqa: E402


def one(generator, runtime_name, seed, only, write):
    case = generator.case(seed, only)
    if worker.isa_of(seed) and "TENON_MAX_CPU_ISA" not in os.environ:
        os.environ["TENON_MAX_CPU_ISA"] = worker.isa_of(seed)
    print(case.describe(), flush=True)
    if write:
        pathlib.Path(write).write_bytes(case.model())
    stage, error = worker.attempt(worker.RUNTIMES[runtime_name](), case)
    print(f"{stage}: {type(error).__name__ if error else ''} {error or ''}")
    return 0


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--runtime", choices=sorted(worker.RUNTIMES), default="tenon")
    ap.add_argument("--cases", type=int, default=24000)
    ap.add_argument("--first", type=int, default=0, help="the first seed")
    ap.add_argument("--op", nargs="*", help="only these operators (other seeds than without)")
    ap.add_argument("--seed", type=int, nargs="*", help="only these seeds; a single one runs here and is printed")
    ap.add_argument("--write", help="with one --seed: the model goes to this file")
    ap.add_argument("--seconds", type=float, default=2.0)
    ap.add_argument("--memory", type=float, default=6.0, help="GiB")
    ap.add_argument("--no-address-limit", action="store_true", help="watch resident memory only: sanitizers reserve terabytes")
    ap.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    ap.add_argument("--out", type=pathlib.Path, default=ROOT / "build/fuzz/found")
    a = ap.parse_args()
    generator = changes.Generator()
    if a.seed and len(a.seed) == 1:
        return one(generator, a.runtime, a.seed[0], a.op, a.write)
    harness = Harness(generator, a.runtime, a.seconds, int(a.memory * 2**30), a.out, a.jobs, not a.no_address_limit, a.op)
    harness.run(a.seed or range(a.first, a.first + a.cases))
    return int(harness.report())


if __name__ == "__main__":
    sys.exit(main())
