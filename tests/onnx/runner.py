"""Runs the ONNX corpus (made and held by the onnx package, Apache-2.0) on one provider, at the specification's tolerances.

  runner.py [--provider cpu] [--plain] [--filter TEXT] [--list FILE]

Every case must pass unless tests/onnx/exceptions.txt names it with a reason; one that is named and passes fails too.
Last line: `N passed, N failed, N skipped` (skipped: named exceptions).
"""
import argparse
import dataclasses
import pathlib
import sys
import warnings

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent


# Of the pinned onnx package, so that a corpus that is not there cannot look green.
SUITES = {"node": 1884, "simple": 23, "light": 9, "pytorch-converted": 82, "pytorch-operator": 35}


@dataclasses.dataclass
class Case:
    name: str
    model: object  # ModelProto
    data_sets: list  # (inputs, outputs): lists or dicts by name
    rtol: float = 1e-3
    atol: float = 1e-7
    path: str = ""  # set: loaded from there


def cases():
    """The cases that the package generates."""
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases
    return [Case(c.name, c.model, c.data_sets, c.rtol, c.atol) for c in sorted(collect_testcases(), key=lambda c: c.name)]


def read_value(path, info):
    import onnx
    kind = info.type.WhichOneof("value")
    made = {"sequence_type": onnx.SequenceProto, "optional_type": onnx.OptionalProto}.get(kind, onnx.TensorProto)()
    made.ParseFromString(path.read_bytes())
    read = {"sequence_type": onnx.numpy_helper.to_list, "optional_type": onnx.numpy_helper.to_optional}.get(kind, onnx.numpy_helper.to_array)
    return read(made)


def feeds_of(model):
    given = {i.name for i in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in given]


def stored_cases(suite):
    """The cases that the package holds as files."""
    import onnx
    folder = pathlib.Path(onnx.__file__).parent / "backend/test/data" / suite
    if suite == "light":  # a model and its output for numbers that rise from 0 to 1
        for path in sorted(folder.glob("*.onnx")):
            model = onnx.load(path)
            inputs = []
            for i in feeds_of(model):
                shape = [d.dim_value or 1 for d in i.type.tensor_type.shape.dim]
                inputs.append((np.arange(np.prod(shape)) / np.prod(shape)).astype(np.float32).reshape(shape))
            outputs = [read_value(path.with_name(f"{path.stem}_output_{k}.pb"), o) for k, o in enumerate(model.graph.output)]
            yield Case(path.stem, model, [(dict(zip((i.name for i in feeds_of(model)), inputs)), outputs)], path=str(path))
        return
    for path in sorted(folder.glob("*/model.onnx")):
        model, sets = onnx.load(path), []
        for data in sorted(path.parent.glob("test_data_set_*")):
            infos = feeds_of(model) if len(list(data.glob("input_*.pb"))) == len(feeds_of(model)) else model.graph.input
            inputs = {i.name: read_value(data / f"input_{k}.pb", i) for k, i in enumerate(infos)}
            sets.append((inputs, [read_value(data / f"output_{k}.pb", o) for k, o in enumerate(model.graph.output)]))
        yield Case(f"{suite}/{path.parent.name}", model, sets, path=str(path))


def plain_arrays(x):
    """Some data sets hold TensorProto: types that numpy alone does not have."""
    import onnx
    if isinstance(x, onnx.TensorProto):
        return onnx.numpy_helper.to_array(x)
    if isinstance(x, dict):
        return {k: plain_arrays(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain_arrays(v) for v in x]
    return x


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
    if want.dtype.kind == "V" or want.dtype.name.startswith(("int", "uint", "float4", "float6", "float8", "bfloat")):
        got, want = got.astype(np.float64), want.astype(np.float64)
    return np.allclose(got.astype(np.complex128), want.astype(np.complex128), rtol=rtol, atol=atol, equal_nan=True)


def run(case, rt, providers):
    if not case.data_sets:
        raise AssertionError("no data")
    session = rt.InferenceSession(case.path or case.model.SerializeToString(), providers=providers)
    names = [i.name for i in session.get_inputs()]
    for inputs, outputs in case.data_sets:
        inputs, outputs = plain_arrays(inputs), plain_arrays(outputs)
        feeds = dict(inputs) if isinstance(inputs, dict) else dict(zip([i.name for i in case.model.graph.input], inputs))
        got = session.run(None, {k: v for k, v in feeds.items() if k in names and v is not None})
        want = list(outputs.values()) if isinstance(outputs, dict) else outputs
        for i, (a, b) in enumerate(zip(got, want, strict=True)):
            if not same(a, b, case.rtol, case.atol):
                d = ""
                if hasattr(b, "dtype") and np.shape(a) == np.shape(b) and np.asarray(b).dtype.kind == "f":
                    d = f", largest difference {np.nanmax(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)), initial=0):.3g}"
                raise AssertionError(f"output {i}: {np.asarray(a).dtype}{list(np.shape(a))} is not {np.asarray(b).dtype}{list(np.shape(b))}{d}")


def exceptions():
    out = {}
    for line in (HERE / "exceptions.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition(" ")
            out[name] = reason.strip()
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--provider", default="cpu")
    ap.add_argument("--plain", action="store_true")
    ap.add_argument("--filter", default="")
    ap.add_argument("--list", help="write the names and errors of all failures to this file")
    a = ap.parse_args()
    import tenonrt as rt
    providers = [(a.provider, {"plain": True})] if a.plain else [a.provider]
    known, passed, failed, skipped, failures = exceptions(), 0, 0, 0, []
    everything = cases() + [c for suite in SUITES if suite != "node" for c in stored_cases(suite)]
    if len(everything) < sum(SUITES.values()):
        print(f"FAIL: {len(everything)} cases, the corpus has {sum(SUITES.values())}: {SUITES}")
        failed += 1
    for case in everything:
        if a.filter and a.filter not in case.name:
            continue
        try:
            run(case, rt, providers)
            error = None
        except Exception as e:
            error = str(e).split("\n")[0][:300]
        if error is None and case.name in known:
            failed += 1
            print(f"FAIL {case.name}: passes now; remove it from exceptions.txt")
        elif error is None:
            passed += 1
        elif case.name in known:
            skipped += 1
        else:
            failed += 1
            failures.append(f"{case.name} {error}")
            print(f"FAIL {case.name}: {error}", flush=True)
    if a.list:
        pathlib.Path(a.list).write_text("\n".join(failures) + "\n")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed != 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
