"""What goes in as numpy comes out as numpy."""
import gc

import numpy as np
import onnx
import pytest
import tenonrt as rt
from onnx import TensorProto, helper

from conftest import SUMS, model

NUMPY = ["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]
ONNX = {"float32": "float", "float64": "double"}


def identity(element: str, shape: str = "[n]") -> rt.InferenceSession:
    return rt.InferenceSession(model(f"g ({element}{shape} x) => ({element}{shape} y) {{ y = Identity(x) }}", 25))


def sample(dtype: str, count: int = 5) -> np.ndarray:
    return (np.arange(count) % 3).astype(dtype)


@pytest.mark.parametrize("dtype", NUMPY)
def test_numpy_types_keep_their_type(dtype):
    x = sample(dtype)
    (y,) = identity(ONNX.get(dtype, dtype)).run(None, {"x": x})
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"])
def test_ml_dtypes(dtype):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.array([0, 1, -2, 0.5], dtype=getattr(ml_dtypes, dtype))
    session = identity(dtype.replace("float8_", "float8"))
    (y,) = session.run(None, {"x": x})
    assert y.dtype == x.dtype and y.tobytes() == x.tobytes()
    bits = x.view(np.uint16 if dtype == "bfloat16" else np.uint8)
    (y,) = session.run(None, {"x": bits})
    assert y.tobytes() == x.tobytes()


@pytest.mark.parametrize("dtype", ["int4", "uint4"])
@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_four_bit_types(dtype, count):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    low = -8 if dtype == "int4" else 0
    x = (np.arange(count) % 16 + low).astype(np.int8).astype(getattr(ml_dtypes, dtype))
    (y,) = identity(dtype).run(None, {"x": x})
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y.astype(np.int8), x.astype(np.int8))
    (y,) = identity(dtype).run(None, {"x": x.astype(np.int8 if low else np.uint8)})
    np.testing.assert_array_equal(y.astype(np.int8), x.astype(np.int8))


def test_bfloat16_without_ml_dtypes_is_uint16(tmp_path):
    import subprocess
    import sys

    (tmp_path / "ml_dtypes.py").write_text("raise ImportError('hidden')")
    (tmp_path / "m.onnx").write_bytes(model("g (bfloat16[n] x) => (bfloat16[n] y) { y = Identity(x) }", 25))
    code = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "import numpy as np, tenonrt as rt\n"
        "y, = rt.InferenceSession(sys.argv[1] + '/m.onnx').run(None, {'x': np.array([0x3f80, 0xc000], np.uint16)})\n"
        "assert y.dtype == np.uint16 and y.tolist() == [0x3f80, 0xc000], y"
    )
    package = rt.__path__[0].rpartition("/")[0]
    subprocess.run([sys.executable, "-c", code, str(tmp_path), package], check=True)


@pytest.mark.parametrize(
    "x",
    [
        np.array(["a", "", "straße", "x" * 50], dtype=np.str_),
        np.array(["a", "", "straße", "with\0zero"], dtype=object),
        np.array([b"a", b"bc"], dtype=np.bytes_),
        np.array([], dtype=object),
    ],
)
def test_strings(x):
    (y,) = identity("string").run(None, {"x": x})
    assert y.dtype == object and y.shape == x.shape
    assert y.tolist() == [s.decode() if isinstance(s, bytes) else s for s in x.tolist()]


def test_string_bytes_that_are_no_utf8_survive():
    session = identity("string")
    (y,) = session.run(None, {"x": np.array([b"\xff\xfe"], dtype=object)})
    (z,) = session.run(None, {"x": y})
    assert y.tolist() == z.tolist() and z[0].encode("utf-8", "surrogateescape") == b"\xff\xfe"
    with pytest.raises(rt.InvalidArgument, match="element 1 is int"):
        session.run(None, {"x": np.array(["a", 1], dtype=object)})


def test_lists_and_python_numbers():
    f, i, s, b = identity("float"), identity("int64"), identity("string"), identity("bool")
    assert f.run(None, {"x": [1, 2.5, 3]})[0].tolist() == [1, 2.5, 3]
    assert i.run(None, {"x": (1, 2)})[0].dtype == np.int64
    assert i.run(None, {"x": []})[0].shape == (0,)
    assert s.run(None, {"x": ["a", "b"]})[0].tolist() == ["a", "b"]
    assert b.run(None, {"x": [True, False]})[0].tolist() == [True, False]
    scalar = identity("float", "")
    for value in (2, 2.0, np.float32(2), np.array(2, np.float32), True):
        y = scalar.run(None, {"x": value})[0]
        assert y.shape == () and y.dtype == np.float32 and y == float(value)
    assert identity("uint8").run(None, {"x": [1, 255]})[0].tolist() == [1, 255]
    for session, value in ((i, [1.5]), (identity("uint8"), [256]), (identity("int32"), [2**40]), (identity("uint8"), [-1]), (f, ["a"])):
        with pytest.raises(rt.InvalidArgument, match="Unexpected input data type"):
            session.run(None, {"x": value})


def test_layouts_that_are_copied():
    session = identity("float", "[n, m]")
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    unaligned = np.frombuffer(b"\0" + base.tobytes(), dtype=np.uint8)[1:].view(np.float32).reshape(4, 6)
    read_only = base.copy()
    read_only.flags.writeable = False
    broadcast = np.broadcast_to(base[:1], (3, 6))
    others = (base.T, base[::2, 1::2], base[::-1], np.asfortranarray(base), base.astype(">f4"))
    for x in (*others, unaligned, read_only, broadcast):
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], x)


def test_outputs_own_their_memory_and_alias_nothing():
    session = rt.InferenceSession(model(SUMS))
    x = np.ones((2, 3), np.float32)
    total, same = session.run(None, {"x": x, "y": x})
    assert not np.shares_memory(x, same) and not np.shares_memory(total, same)
    same[:] = 7
    assert (x == 1).all() and same.flags.writeable
    del session, x
    gc.collect()
    assert (total == 2).all()


def test_constant_outputs_can_be_written():
    session = rt.InferenceSession(model("g (float[1] x) => (float[3] y, float[1] z) <float[3] y = {1, 2, 3}> { z = Relu(x) }"))
    for _ in range(2):
        y, _ = session.run(None, {"x": np.ones(1, np.float32)})
        assert y.tolist() == [1, 2, 3]
        y[:] = 0


def test_no_leaks():
    import sys

    session = rt.InferenceSession(model(SUMS))
    x = np.ones((2, 3), np.float32)
    before = sys.getrefcount(x)
    for _ in range(100):
        session.run(None, {"x": x, "y": x})
    assert sys.getrefcount(x) == before
    big = np.ones((100_000, 3), np.float32)
    import resource

    for _ in range(20):
        session.run(None, {"x": big, "y": big})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):
        session.run(None, {"x": big, "y": big})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 20_000


def test_empty_tensors():
    session = rt.InferenceSession(model("g (float[n, 3] x) => (float[n, 3] y) { y = Relu(x) }"))
    assert session.run(None, {"x": np.zeros((0, 3), np.float32)})[0].shape == (0, 3)


def test_sequences():
    session = rt.InferenceSession(
        model("g (float[2] a, float[3] b) => (seq(float[n]) s, int64 k) { s = SequenceConstruct(a, b)\n k = SequenceLength(s) }")
    )
    s, k = session.run(None, {"a": np.ones(2, np.float32), "b": np.zeros(3, np.float32)})
    assert isinstance(s, list) and [a.shape for a in s] == [(2,), (3,)] and k == 2
    value = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    at = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("SequenceAt", ["s", "i"], ["y"])], "g", [value, at], [out])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = rt.InferenceSession(made.SerializeToString())
    assert session.get_inputs()[0].type == "seq(tensor(float))"
    arrays = [np.array([1, 2], np.float32), np.array([[3]], np.float32)]
    assert session.run(None, {"s": arrays, "i": 1})[0].tolist() == [[3]]
    with pytest.raises(rt.InvalidArgument, match="Unexpected input data type"):
        session.run(None, {"s": [np.array([1.0])], "i": 0})
    with pytest.raises(rt.InvalidArgument, match="a list"):
        session.run(None, {"s": 3, "i": 0})


def test_optionals():
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    optional = helper.make_optional_type_proto(tensor)
    has = helper.make_tensor_value_info("has", TensorProto.BOOL, [])
    graph = helper.make_graph(
        [helper.make_node("OptionalHasElement", ["o"], ["has"])], "g", [helper.make_value_info("o", optional)], [has]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = rt.InferenceSession(made.SerializeToString())
    assert session.get_inputs()[0].type == "optional(tensor(float))"
    assert bool(session.run(None, {"o": np.ones(2, np.float32)})[0]) is True
    assert bool(session.run(None, {"o": None})[0]) is False


def test_maps_are_dicts():
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    for attribute, keys in ({"classlabels_int64s": [5, 7]}, [5, 7]), ({"classlabels_strings": ["a", "b"]}, ["a", "b"]):
        key = TensorProto.INT64 if keys[0] == 5 else TensorProto.STRING
        kind = helper.make_sequence_type_proto(helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, [])))
        node = helper.make_node("ZipMap", ["x"], ["z"], domain="ai.onnx.ml", **attribute)
        graph = helper.make_graph([node], "g", [x], [helper.make_value_info("z", kind)])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        session = rt.InferenceSession(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
        (z,) = session.run(None, {"x": np.array([[1, 2], [3, 4]], np.float32)})
        assert z == [{keys[0]: 1.0, keys[1]: 2.0}, {keys[0]: 3.0, keys[1]: 4.0}]
        assert type(z[0][keys[0]]) is float


def test_map_inputs():
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    node = helper.make_node("DictVectorizer", ["d"], ["y"], domain="ai.onnx.ml", string_vocabulary=["a", "b", "c"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([node], "g", [helper.make_value_info("d", kind)], [out])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    session = rt.InferenceSession(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    assert session.run(None, {"d": {"c": 3.0, "a": 1.0}})[0].ravel().tolist() == [1, 0, 3]
    assert onnx.__version__


def test_array_likes():
    class Like:
        def __array__(self, dtype=None, copy=None):
            return np.ones((2, 3), np.float32)

    session = rt.InferenceSession(model(SUMS))
    assert (session.run(None, {"x": Like(), "y": memoryview(np.ones((2, 3), np.float32))})[0] == 2).all()
