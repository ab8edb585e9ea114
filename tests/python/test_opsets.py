"""The same networks at every opset, beside onnxruntime and with the scalar kernels."""
import numpy as np
import onnxruntime as ort
import pytest
import tenonrt as rt
from networks import NETWORKS, OPSETS


def outputs(session, feeds):
    return [np.asarray(x) for x in session.run(None, feeds)]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_network_agrees_with_onnxruntime(name, opset):
    model, feeds = NETWORKS[name](opset)
    got = outputs(rt.InferenceSession(model, providers=["cpu"]), feeds)
    plain = outputs(rt.InferenceSession(model, providers=[("cpu", {"plain": True})]), feeds)
    assert all(np.isfinite(x).all() for x in got if x.dtype.kind == "f")
    for a, b in zip(got, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(1, float(np.abs(b).max())))
    try:
        reference = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception as e:  # an opset that this onnxruntime does not know
        if "opset" in str(e).lower() or "not implemented" in str(e).lower():
            pytest.skip(f"onnxruntime {ort.__version__} does not run opset {opset}: compared with the scalar kernels only")
        raise
    for a, b in zip(got, reference.run(None, feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(1, float(np.abs(b).max())))


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
@pytest.mark.parametrize("name", NETWORKS)
def test_rewrites_change_nothing(name, level):
    model, feeds = NETWORKS[name](18)
    options = rt.SessionOptions()
    options.graph_optimization_level = getattr(rt.GraphOptimizationLevel, level)
    got = outputs(rt.InferenceSession(model, options, providers=["cpu"]), feeds)
    want = outputs(rt.InferenceSession(model, providers=[("cpu", {"plain": True})]), feeds)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(1, float(np.abs(b).max())))


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_thread_counts_agree(name, threads):
    model, feeds = NETWORKS[name](21)
    options = rt.SessionOptions()
    options.intra_op_num_threads = threads
    session = rt.InferenceSession(model, options, providers=["cpu"])
    first = outputs(session, feeds)
    for _ in range(3):
        for a, b in zip(outputs(session, feeds), first, strict=True):
            np.testing.assert_array_equal(a, b)
