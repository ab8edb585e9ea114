"""Operators that a provider brings: the same model from Python and from the command line (C++: tests/unit/run)."""
import json
import pathlib
import subprocess

import numpy as np
import onnx.parser
import tenonrt as rt

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CUSTOM = ROOT / "build/release/test_providers/custom"
TEXT = """<ir_version: 10, opset_import: ["" : 18, "test.acme" : 1]>
g (float[n, 3] x) => (float[n] low, float[n] high) {
  a = test.acme.Affine<scale = 2.0>(x)
  low, high = test.acme.MinMax(a)
}"""


def test_from_python(monkeypatch):
    monkeypatch.setenv("TENON_ADD_PROVIDER_PATH", str(CUSTOM))
    data = onnx.parser.parse_model(TEXT).SerializeToString()
    session = rt.InferenceSession(data, providers=["custom", "cpu"])
    low, high = session.run(None, {"x": np.array([[1, 2, 3], [-1, 0, 7]], np.float32)})
    assert low.tolist() == [3, -1] and high.tolist() == [7, 15]


def test_from_the_command_line(tmp_path):
    path = tmp_path / "custom.onnx"
    path.write_bytes(onnx.parser.parse_model(TEXT).SerializeToString())
    np.save(tmp_path / "x.npy", np.array([[1, 2, 3]], np.float32))
    tenon = [ROOT / "build/release/bin/tenon"]
    more = ["-p", "custom", "-p", "cpu", "--provider-path", str(CUSTOM)]
    done = subprocess.run([*tenon, "run", path, *more, "-i", f"x={tmp_path / 'x.npy'}", "--format", "json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outputs = {o["name"]: o for o in json.loads(done.stdout)["outputs"]}
    assert outputs["low"]["min"] == 3 and outputs["high"]["max"] == 7
    done = subprocess.run([*tenon, "explain", path, *more], capture_output=True, text=True)
    assert done.returncode == 0 and "custom" in done.stdout
    done = subprocess.run([*tenon, "run", path], capture_output=True, text=True)
    assert done.returncode == 3 and "test.acme" in done.stderr
