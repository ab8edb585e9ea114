"""Runs the ONNX node corpus (made by the onnx package, Apache-2.0) on one provider.

  runner.py [--provider cpu] [--plain] [--filter TEXT] [--list FILE]

Every case must pass unless tests/onnx/exceptions.txt names it with a reason; one that is named and passes fails too.
Last line: `N passed, N failed, N skipped` (skipped: named exceptions).
"""
import argparse
import fnmatch
import pathlib
import sys
import warnings

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent


def cases():
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases
    return sorted(collect_testcases(), key=lambda c: c.name)


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
        return np.allclose(got, want, rtol=max(rtol, 1e-2), atol=max(atol, 1e-3), equal_nan=True)
    if want.dtype.itemsize <= 2:
        rtol, atol = max(rtol, 1e-2), max(atol, 1e-3)
    return np.allclose(got.astype(np.complex128), want.astype(np.complex128), rtol=rtol, atol=max(atol, 1e-6), equal_nan=True)


def run(case, rt, providers):
    session = rt.InferenceSession(case.model.SerializeToString(), providers=providers)
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
    for case in cases():
        if a.filter and a.filter not in case.name:
            continue
        pattern = next((p for p in known if fnmatch.fnmatch(case.name, p)), None)
        try:
            run(case, rt, providers)
            error = None
        except Exception as e:
            error = str(e).split("\n")[0][:300]
        if error is None and pattern == case.name:
            failed += 1
            print(f"FAIL {case.name}: passes now; remove it from exceptions.txt")
        elif error is None:
            passed += 1
        elif pattern:
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
