"""Small models give what onnxruntime gives, through the same code."""
import pathlib
import subprocess
import sys

import numpy as np
import onnx.reference
import pytest
import tenonrt as rt

from conftest import SUMS, model

MODELS = {
    "mlp": "g (float[n, 8] x, float[8, 4] w, float[4] b) => (float[n, 4] y) { h = MatMul(x, w)\n i = Add(h, b)\n y = Relu(i) }",
    "conv": "g (float[n, 3, 9, 9] x, float[4, 3, 3, 3] w) => (float[n, 4, m, k] y) {"
    " c = Conv<pads = [1, 1, 1, 1]>(x, w)\n y = Sigmoid(c) }",
    "shape": "g (float[n, 6] x) => (float[a, b] y) { s = Shape(x)\n r = Constant<value_ints = [1, 0]>()\n"
    " t = Gather(s, r)\n y = Reshape(x, t) }",
    "softmax": "g (float[n, 8] x) => (float[n, 8] y, int64[n] i) { y = Softmax<axis = -1>(x)\n i = ArgMax<axis = 1, keepdims = 0>(y) }",
    "nonzero": "g (float[n, 8] x) => (int64[2, k] y) { z = Relu(x)\n y = NonZero(z) }",
    "branch": "g (bool c, float[3] x) => (float[3] y) { y = If(c) <then_branch = a () => (float[3] p) { p = Neg(x) },"
    " else_branch = b () => (float[3] q) { q = Abs(x) }> }",
    "split": "g (float[n, 3, 9, 9] x, float[64, 3, 3, 3] w, float[32, 32, 1, 1] v) => (float[n, 32, 7, 7] y, float[n, 32, 7, 7] b) {"
    " c = Conv(x, w)\n a, b = Split<axis = 1, num_outputs = 2>(c)\n d = Conv(b, v)\n y = Add(a, d) }",
    "concat": "g (float[n, 3] x, float[m, 3] z) => (float[k, 3] y) { y = Concat<axis = 0>(x, z) }",
}


def feed_for(session, rng, size):
    feed = {}
    for arg in session.get_inputs():
        shape = [dim if isinstance(dim, int) else size for dim in arg.shape]
        feed[arg.name] = np.array(bool(size % 2)) if arg.type == "tensor(bool)" else rng.standard_normal(shape, dtype=np.float32)
    return feed


@pytest.mark.parametrize("name", MODELS)
def test_same_results(name):
    ort = pytest.importorskip("onnxruntime")
    bytes_ = model(MODELS[name], 18)
    reference = ort.InferenceSession(bytes_, providers=["CPUExecutionProvider"])
    session = rt.InferenceSession(bytes_, providers=["CPUExecutionProvider"])
    assert [(a.name, a.type, a.shape) for a in session.get_inputs()] == [(a.name, a.type, a.shape) for a in reference.get_inputs()]
    for size in (1, 4, 3):
        feed = feed_for(session, np.random.default_rng(size), size)
        for ours, theirs in zip(session.run(None, feed), reference.run(None, feed), strict=True):
            assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * max(1, np.abs(theirs).max(initial=0)))


def test_types_that_the_onnx_library_does_not_infer():
    text = """g (float[2, 4, 3, 3] x, float[4] s, float[3, 4, 1, 1] w) => (float[2, 3, 3, 3] y) {
      a = GroupNormalization<num_groups = 2>(x, s, s)
      b = MeanVarianceNormalization(a)
      y = Conv(b, w)
    }"""
    rng = np.random.default_rng(0)
    feed = {"x": rng.standard_normal((2, 4, 3, 3), np.float32), "s": rng.random(4, np.float32), "w": rng.random((3, 4, 1, 1), np.float32)}
    expected = onnx.reference.ReferenceEvaluator(onnx.load_from_string(model(text))).run(None, feed)[0]
    np.testing.assert_allclose(rt.InferenceSession(model(text)).run(None, feed)[0], expected, rtol=1e-4, atol=1e-5)


def test_sizes_that_only_the_data_tell():
    text = """g (string[n] x) => (int64[1] y) {
      kept = StringNormalizer<stopwords = ["a"]>(x)
      y = Shape(kept)
    }"""
    session = rt.InferenceSession(model(text))
    for words, left in ((["a", "b", "a", "c"], 2), (["b", "c", "d", "e"], 4)):
        assert session.run(None, {"x": np.array(words)})[0].tolist() == [left]


def test_the_example_runs(tmp_path):
    path = tmp_path / "sums.onnx"
    path.write_bytes(model(SUMS))
    example = pathlib.Path(__file__).resolve().parent.parent.parent / "sdk/examples/run.py"
    env = {"PYTHONPATH": rt.__path__[0].rpartition("/")[0]}
    done = subprocess.run([sys.executable, example, path], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert "sum: float32 [1, 3]" in done.stdout and "CPUExecutionProvider" in done.stdout
