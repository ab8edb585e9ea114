"""Runs the ONNX corpus through the Python module: runner.py [--corpus FOLDER] [--provider cpu] [--plain] [--filter TEXT]

The cases are files that scripts/setup wrote (materialize.py); corpus_runner runs the same ones through the C++ API. Every case must
pass at the specification's tolerances unless exceptions.txt names it with a reason; one that is named and passes fails too.
Last line: `N passed, N failed, N skipped` (skipped: exceptions).
"""
import argparse
import dataclasses
import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE.parent.parent / ".deps/corpus/onnx-1.23.2"


@dataclasses.dataclass
class Case:
    name: str  # its folder in the corpus, "simple/test_x"; without "node/" for those of single operators
    path: pathlib.Path  # of the model
    rtol: float = 1e-3
    atol: float = 1e-7

    def model(self):
        return onnx.load(self.path)


def read_corpus(folder):
    """The cases and how many of them must pass."""
    if not (folder / "manifest.json").exists():
        sys.exit(f"{folder}: there is no corpus; scripts/setup writes it")
    manifest = json.loads((folder / "manifest.json").read_text())
    cases = []
    for path in sorted(folder.glob("*/*/model.onnx")):
        own = path.with_name("data.json")
        tolerances = json.loads(own.read_text()) if own.exists() else {}
        cases.append(Case(str(path.parent.relative_to(folder)).removeprefix("node/"), path, **tolerances))
    if len(cases) != manifest["cases"]:
        sys.exit(f"{folder}: {len(cases)} cases, its manifest promises {manifest['cases']}; remove the folder and run scripts/setup")
    return cases, manifest["minimum"]


def read_value(path, info):
    kind = info.type.WhichOneof("value")
    made = {"sequence_type": onnx.SequenceProto, "optional_type": onnx.OptionalProto}.get(kind, onnx.TensorProto)()
    made.ParseFromString(path.read_bytes())
    read = {"sequence_type": numpy_helper.to_list, "optional_type": numpy_helper.to_optional}.get(kind, numpy_helper.to_array)
    return read(made)


def read_data_sets(case):
    """Feeds by name and expected outputs; there are files for the inputs without an initializer."""
    model = case.model()
    given = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in given]
    for folder in sorted(case.path.parent.glob("test_data_set_*")):
        yield ({info.name: read_value(folder / f"input_{i}.pb", info) for i, info in enumerate(inputs)},
               [read_value(folder / f"output_{i}.pb", info) for i, info in enumerate(model.graph.output)])


def same(got, want, rtol, atol):
    if want is None:
        return got is None
    if isinstance(want, dict):
        return isinstance(got, dict) and got.keys() == want.keys() and all(same(got[k], want[k], rtol, atol) for k in want)
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(same(a, b, rtol, atol) for a, b in zip(got, want))
    want, got = np.asarray(want), np.asarray(got)
    if want.shape != got.shape:
        return False
    if want.dtype.kind in "OUS":
        return got.astype(str).tolist() == want.astype(str).tolist()
    if want.dtype != got.dtype:
        return False
    if want.dtype.kind in "iub":
        return np.array_equal(got, want)
    if want.dtype.name == "bfloat16":
        rtol = max(rtol, 2**-6)  # the standard's runner: two units in the last place
    if want.dtype.kind == "V" or want.dtype.name.startswith(("int", "uint", "float4", "float6", "float8", "bfloat")):
        got, want = got.astype(np.float64), want.astype(np.float64)
    return np.allclose(got.astype(np.complex128), want.astype(np.complex128), rtol=rtol, atol=atol, equal_nan=True)


def run(case, rt, providers):
    session = rt.InferenceSession(str(case.path), providers=providers)
    count = 0
    for count, (feeds, expected) in enumerate(read_data_sets(case), 1):
        got = session.run(None, {name: value for name, value in feeds.items() if value is not None})
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            if not same(a, b, case.rtol, case.atol):
                d = ""
                if hasattr(b, "dtype") and np.shape(a) == np.shape(b) and np.asarray(b).dtype.kind == "f":
                    d = f", largest difference {np.nanmax(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)), initial=0):.3g}"
                a, b = (f"{np.asarray(v).dtype}{list(np.shape(v))}" for v in (a, b))
                raise AssertionError(f"output {i}: {a} is not {b}{d}")
    if count == 0:
        raise AssertionError("no data")


def read_exceptions():
    lines = [line.partition(" ") for line in (HERE / "exceptions.txt").read_text().splitlines() if line and not line.startswith("#")]
    return {name: reason for name, _, reason in lines}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--corpus", type=pathlib.Path, default=CORPUS)
    ap.add_argument("--provider", default="cpu")
    ap.add_argument("--plain", action="store_true")
    ap.add_argument("--filter", default="")
    ap.add_argument("--list", help="write the names and errors of all failures to this file")
    a = ap.parse_args()
    import tenonrt as rt
    providers = [(a.provider, {"plain": True})] if a.plain else [a.provider]
    cases, minimum = read_corpus(a.corpus)
    known, passed, failed, skipped, failures = read_exceptions(), 0, 0, 0, []
    for case in cases:
        if a.filter not in case.name:
            continue
        try:
            run(case, rt, providers)
            error = None
        except Exception as e:
            error = str(e).split("\n")[0][:300]
        if case.name in known and (error or known[case.name].startswith("random:")):
            skipped += 1
        elif case.name in known:
            failed += 1
            print(f"FAIL {case.name}: passes now; remove it from exceptions.txt")
        elif error is None:
            passed += 1
        else:
            failed += 1
            failures.append(f"{case.name} {error}")
            print(f"FAIL {case.name}: {error}", flush=True)
    if not a.filter and passed < minimum:
        failed += 1
        print(f"FAIL {passed} cases passed, at least {minimum} must")
    if a.list:
        pathlib.Path(a.list).write_text("\n".join(failures) + "\n")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed != 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
