"""Row kernels of the OpenCL provider (Softmax, norms, attention, recurrent) beside the CPU provider, written for processors and for GPUs."""
import numpy as np
import onnx
import pytest
import tenonrt as rt
from onnx import helper

from conftest import model

rng = np.random.default_rng(11)
microsoft = "com.microsoft"


@pytest.fixture(scope="module", autouse=True)
def device():
    try:
        rt.InferenceSession(model("g (float[2] x) => (float[2] y) { y = Relu(x) }"), providers=["OpenCLExecutionProvider"])
    except Exception as e:
        pytest.skip(f"no OpenCL device: {e}")


def reals(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def i32(*values):
    return np.array(values, np.int32)


def weights(directions, gates, hidden, size):
    return {"w": 0.2 * reals(directions, gates * hidden, size), "r": 0.2 * reals(directions, gates * hidden, hidden),
            "b": 0.2 * reals(directions, 2 * gates * hidden)}


def one_node(op, feeds, outs, constants=(), domain="", opset=23, **attributes):
    names = {k: v for k, v in feeds.items() if v is not None}
    info = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in names.items() if k not in constants]
    node = helper.make_node(op, [k if v is not None else "" for k, v in feeds.items()], list(outs), domain=domain, **attributes)
    graph = helper.make_graph([node], "g", info, [helper.make_empty_tensor_value_info(o) for o in outs if o],
                              [onnx.numpy_helper.from_array(names[k], k) for k in constants])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(microsoft, 1)], ir_version=10)
    return made.SerializeToString(), {k: v for k, v in names.items() if k not in constants}


def agree(profile, op, feeds, outs=("y",), tolerance=2e-5, **more):
    data, given = one_node(op, feeds, outs, **more)
    session = rt.InferenceSession(data, providers=[("OpenCLExecutionProvider", {"profile": profile})])
    assert {n["provider"] for n in session.explain("dict")["nodes"]} <= {"opencl", "core"}
    want = rt.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, given)
    for a, b in zip(session.run(None, given), want, strict=True):
        np.testing.assert_allclose(a.astype(np.float64), b.astype(np.float64), rtol=tolerance, atol=tolerance)


profiles = pytest.mark.parametrize("profile", ["cpu", "gpu"])


@profiles
def test_rows_along_and_across(profile):
    agree(profile, "Softmax", {"x": reals(7, 45)}, axis=-1)
    agree(profile, "Softmax", {"x": reals(3, 45, 37)}, axis=1)
    agree(profile, "LogSoftmax", {"x": reals(3, 5, 200)}, axis=2)
    agree(profile, "LayerNormalization", {"x": reals(3, 50, 200), "s": reals(200), "b": reals(200)}, ("y", "m", "i"))
    agree(profile, "SkipLayerNormalization", {"x": reals(2, 9, 64), "s": reals(2, 9, 64), "g": reals(64), "b": reals(64), "c": reals(64)},
          ("y", "", "", "z"), domain=microsoft)
    agree(profile, "InstanceNormalization", {"x": reals(2, 5, 13, 17), "s": reals(5), "b": reals(5)}, opset=22)
    agree(profile, "GroupNormalization", {"x": reals(2, 6, 13, 17), "s": reals(6), "b": reals(6)}, num_groups=3)
    agree(profile, "MeanVarianceNormalization", {"x": reals(3, 6, 13, 17)})
    agree(profile, "BatchNormalization", {"x": reals(3, 6, 13, 17), "s": reals(6), "b": reals(6), "m": reals(6), "v": np.abs(reals(6))})
    agree(profile, "LRN", {"x": reals(2, 7, 5, 9)}, size=3, alpha=0.3, beta=0.6, bias=1.5)


@profiles
def test_attention(profile):
    q, k, v = reals(2, 4, 37, 24), reals(2, 2, 37, 24), reals(2, 2, 37, 20)
    agree(profile, "Attention", {"q": q, "k": k, "v": v}, is_causal=1, softcap=2.0)
    agree(profile, "Attention", {"q": q, "k": k, "v": v, "m": reals(2, 1, 37, 37)}, scale=0.3)
    agree(profile, "Attention", {"q": q, "k": k, "v": v, "m": rng.random((37, 37)) > 0.5})
    agree(profile, "Attention", {"q": reals(2, 4, 1, 24), "k": reals(2, 2, 1, 24), "v": reals(2, 2, 1, 17), "m": None, "pk": reals(2, 2, 150, 24),
                                 "pv": reals(2, 2, 150, 17)}, ("y", "a", "b"))
    agree(profile, "Attention", {n: t.astype(np.float16) for n, t in (("q", q), ("k", k), ("v", v))}, tolerance=2e-3)


@profiles
def test_attention_of_microsoft(profile):
    heads, size, rows = 4, 16, 19
    form = {"domain": microsoft, "num_heads": heads}
    q, k, v = (reals(2, rows, heads * size) for _ in range(3))
    agree(profile, "MultiHeadAttention", {"q": q, "k": k, "v": v, "b": reals(3 * heads * size), "m": (rng.random((2, rows)) > 0.3).astype(np.int32)}, **form)
    agree(profile, "MultiHeadAttention", {"q": reals(2, rows, heads, 3, size), "k": None, "v": None, "b": None, "m": i32(7, 19)}, **form)
    agree(profile, "MultiHeadAttention", {"q": q, "k": k, "v": v, "b": None, "m": None, "s": reals(1, heads, rows, rows + 5),
                                          "pk": reals(2, heads, 5, size), "pv": reals(2, heads, 5, size)}, ("y", "a", "b"), unidirectional=1, **form)
    tables = {"c": reals(64, size // 2), "n": reals(64, size // 2)}
    caches = {"pk": reals(2, 2, 32, size), "pv": reals(2, 2, 32, size)}
    form = {"domain": microsoft, "num_heads": heads, "kv_num_heads": 2, "do_rotary": 1, "constants": ("t",)}
    agree(profile, "GroupQueryAttention", {"q": reals(2, 1, heads * size), "k": reals(2, 1, 2 * size), "v": reals(2, 1, 2 * size), **caches,
                                           "l": i32(20, 11), "t": i32(21), **tables}, ("y", "a", "b"), **form)
    agree(profile, "GroupQueryAttention", {"q": reals(2, 12, (heads + 4) * size), "k": None, "v": None, **caches, "l": i32(11, 7), "t": i32(12), **tables},
          ("y", "a", "b"), rotary_interleaved=1, local_window_size=5, softcap=3.0, **form)


@profiles
def test_recurrent(profile):
    x, constants = reals(7, 5, 13), ("w", "r", "b")
    agree(profile, "LSTM", {"x": x, **weights(2, 4, 21, 13), "l": i32(7, 3, 5, 0, 1), "h": reals(2, 5, 21), "c": reals(2, 5, 21), "p": reals(2, 63)},
          ("y", "h2", "c2"), constants=constants, hidden_size=21, direction="bidirectional", opset=22)
    agree(profile, "GRU", {"x": x, **weights(1, 3, 40, 13)}, ("y", "h2"), constants=constants, hidden_size=40, direction="reverse", opset=22)
    agree(profile, "GRU", {"x": reals(5, 9, 13), **weights(1, 3, 40, 13)}, ("y", "h2"), constants=constants, hidden_size=40, linear_before_reset=1,
          layout=1, opset=22)
    agree(profile, "RNN", {"x": x, **weights(1, 1, 40, 13)}, ("y", "h2"), hidden_size=40, activations=["Elu"], clip=0.7, opset=22)
