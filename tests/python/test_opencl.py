"""The OpenCL provider through the Python module: operators against their oracles, whole networks, and what people read when it cannot be used.

Every kernel is compiled by the driver at its first launch, so cases are run in batches (tests/ops/batch.py) and in processes of their own.
"""
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tenonrt as rt

import networks
from conftest import model

ROOT = pathlib.Path(__file__).resolve().parents[2]


def opencl_session(data, options=None):
    return rt.InferenceSession(data, providers=[("OpenCLExecutionProvider", options or {})])


@pytest.fixture(scope="module", autouse=True)
def device():
    try:
        opencl_session(model("g (float[2] x) => (float[2] y) { y = Relu(x) }"))
    except Exception as e:
        pytest.skip(f"no OpenCL device: {e}")


def batch(*arguments):
    paths = os.pathsep.join(p for p in [str(ROOT / "tests"), *sys.path, os.environ.get("PYTHONPATH", "")] if p)
    done = subprocess.run([sys.executable, "-m", "ops.batch", "--provider", "opencl", "--workers", "2", *arguments], capture_output=True, text=True,
                          cwd=ROOT / "tests", env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    counts = re.findall(r"'passed': (\d+).*that passed: (\d+)", done.stdout)
    return sum(int(c[0]) for c in counts), max(int(c[1]) for c in counts)


def test_operators_of_the_usual_types():
    passed, operators = batch("--types", "float,int64,int32,bool")
    assert passed >= 500 and operators >= 100, (passed, operators)


def test_operators_with_kernels_for_gpus():
    passed, _ = batch("--types", "float,int64,bool", "--options", '{"profile": "gpu", "memory": "device"}', "--op",
                      "Add,Concat,Conv,Gather,Gemm,LayerNormalization,MatMul,MaxPool,ReduceSum,Softmax,Transpose,Where")
    assert passed >= 30, passed


@pytest.mark.parametrize("name", ["cnn", "transformer"])
@pytest.mark.parametrize("memory", ["host", "device"])
def test_networks(name, memory):
    data, feeds = getattr(networks, name)(21)[:2]
    want = rt.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, feeds)
    session = opencl_session(data, {"memory": memory})
    assert {n["provider"] for n in session.explain("dict")["nodes"]} <= {"opencl", "core"}
    for _ in range(2):
        got = session.run(None, feeds)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


def test_what_the_device_reads_again_stays_in_its_memory(tmp_path):
    data = model("""g (float[N] x, int64 n) => (float[N] y) {
      t = Constant<value = bool {1}>() a = Exp(x)
      b = Loop(n, t, a) <body = inner (int64 i, bool c, float[N] v) => (bool c2, float[N] w) { c2 = Identity(c) u = Tanh(v) w = Add(u, a) }>
      k = NonZero(b) f = Cast<to = 1>(k) m = ReduceMax(f) d = Mul(a, m) y = Add(d, b) }""", opset=18)
    reference = rt.InferenceSession(data, providers=["CPUExecutionProvider"])
    options = rt.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    session = rt.InferenceSession(data, options, providers=[("OpenCLExecutionProvider", {"memory": "device"})])
    for size, rounds in [(5, 4), (300, 4), (5, 0), (5, 9)]:
        feeds = {"x": np.linspace(-1, 1, size, dtype=np.float32), "n": np.int64(rounds)}
        np.testing.assert_allclose(session.run(None, feeds)[0], reference.run(None, feeds)[0], rtol=1e-4, atol=1e-5)
    trace = json.loads(pathlib.Path(session.end_profiling()).read_text())
    names = [e["name"] for e in (trace["traceEvents"] if isinstance(trace, dict) else trace)]
    assert names.count("copy x") == 4 and not {"copy a", "copy v", "copy w"} & set(names), [n for n in names if n.startswith("copy")]


def test_the_device_is_named_and_refusals_have_reasons():
    session = opencl_session(model("g (string[2] x) => (string[2] y, bool[2] z) { y = Identity(x)\n z = Equal(x, y) }"))
    nodes = session.explain("dict")["nodes"]
    assert {n["provider"] for n in nodes} == {"cpu"}
    assert any("string" in r["text"] for n in nodes for r in n["refusals"])


@pytest.mark.parametrize("choice, words", [("fastest", "name~<regular expression>"), ("9:9", "no OpenCL device for"), ("name~[", "no regular expression")])
def test_a_choice_of_no_device_says_what_there_is(choice, words):
    # A process of its own: what the provider is asked first counts.
    data = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    code = f"import tenonrt as rt; rt.InferenceSession({data!r}, providers=[('opencl', {{'device': {choice!r}}})])"
    paths = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode != 0 and words in done.stderr, done.stderr[-1000:]


def test_an_unknown_option_is_an_error():
    with pytest.raises(Exception, match="profil"):
        opencl_session(model("g (float[2] x) => (float[2] y) { y = Relu(x) }"), {"profil": "gpu"})


def test_powers_of_doubles_beside_extreme_ones():
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, np.finfo(np.float64).max, 1e-300, 1e300, -1e300]
    values = np.array([*special, 0.5, 2, 3, -2, -3, 2.5, -2.5, 1, -1, 1.25, 7, 0.33])
    x, y = (v.ravel().copy() for v in np.meshgrid(values, values))
    session = opencl_session(model("g (double[n] x, double[n] y) => (double[n] z) { z = Pow(x, y) }"))
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(session.run(None, {"x": x, "y": y})[0], np.power(x, y), rtol=1e-12)
