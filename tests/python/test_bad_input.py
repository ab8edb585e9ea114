"""Bad models, data, configurations and providers: each a clear error, none the end of the process."""
import numpy as np
import onnx
import pytest
import tenonrt as rt
from conftest import model
from onnx import TensorProto, helper, numpy_helper


def value(name, dtype=TensorProto.FLOAT, shape=("n",)):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def built(nodes, inputs, outputs, weights=(), opset=18, functions=(), extra=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), *extra], ir_version=9, functions=list(functions)).SerializeToString()


def load_error(data):
    with pytest.raises(Exception) as e:
        rt.InferenceSession(data, providers=["cpu"])
    return str(e.value)


GOOD = model("g (float[n] x) => (float[n] y) { y = Relu(x) }")


def test_every_truncation_of_a_model():
    for n in range(1, len(GOOD)):
        try:
            rt.InferenceSession(GOOD[:n], providers=["cpu"])
        except Exception as e:
            assert str(e)


def test_random_bytes_and_flipped_bits():
    rng = np.random.default_rng(5)
    for size in (1, 7, 100, 5000):
        assert load_error(rng.integers(0, 256, size, dtype=np.uint8).tobytes())
    for _ in range(300):
        data = bytearray(GOOD)
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        try:
            session = rt.InferenceSession(bytes(data), providers=["cpu"])
            session.run(None, {i.name: np.zeros([2] * len(i.shape or [1]), np.float32) for i in session.get_inputs()})
        except Exception as e:
            assert str(e)


def test_empty_model():
    assert "0 bytes" in load_error(b"")


@pytest.mark.parametrize("dtype", [TensorProto.STRING, TensorProto.BOOL])
def test_types_that_an_operator_lacks_although_its_body_would_cast_them(dtype):
    error = load_error(built([helper.make_node("ReduceLogSumExp", ["x"], ["y"])], [value("x", dtype)], [value("y", dtype, [1])]))
    assert f"node ReduceLogSumExp: cpu: element type {dtype}" in error
    assert "which the operator does not take" in error


def test_missing_file(tmp_path):
    with pytest.raises(rt.NoSuchFile, match="no-such-model"):
        rt.InferenceSession(str(tmp_path / "no-such-model.onnx"))


def test_cycle():
    nodes = [helper.make_node("Add", ["x", "b"], ["a"], name="one"), helper.make_node("Neg", ["a"], ["b"], name="two")]
    text = load_error(built(nodes, [value("x")], [value("b")]))
    assert "cycle" in text and "one" in text and "two" in text


def test_unknown_operator_opset_and_type():
    assert "Nonsense" in load_error(built([helper.make_node("Nonsense", ["x"], ["y"])], [value("x")], [value("y")]))
    assert "opset 999" in load_error(built([helper.make_node("Relu", ["x"], ["y"])], [value("x")], [value("y")], opset=999))
    weight = TensorProto(data_type=77, dims=[1], name="w", raw_data=b"1234")
    assert "77" in load_error(built([helper.make_node("Add", ["x", "w"], ["y"])], [value("x")], [value("y")], [weight]))


def test_names_that_nobody_makes():
    assert "nothing makes its input" in load_error(built([helper.make_node("Relu", ["z"], ["y"])], [value("x")], [value("y")]))
    assert "nothing makes its output" in load_error(built([helper.make_node("Relu", ["x"], ["y"])], [value("x")], [value("z")]))


def test_recursive_functions():
    f = helper.make_function("local", "F", ["x"], ["y"], [helper.make_node("F", ["x"], ["y"], domain="local")], [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)])
    text = load_error(built([helper.make_node("F", ["x"], ["y"], domain="local")], [value("x")], [value("y")], functions=[f], extra=[helper.make_opsetid("local", 1)]))
    assert "recurse" in text and "limits.nesting" in text


def external(tmp_path, location, **fields):
    weight = TensorProto(data_type=TensorProto.FLOAT, dims=[4], name="w", data_location=TensorProto.EXTERNAL)
    for key, v in {"location": location, **fields}.items():
        weight.external_data.add(key=key, value=str(v))
    path = tmp_path / "m" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(built([helper.make_node("Add", ["x", "w"], ["y"])], [value("x", shape=[4])], [value("y", shape=[4])], [weight]))
    return str(path)


def test_external_data(tmp_path):
    (tmp_path / "secret.bin").write_bytes(b"\0" * 64)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "w.bin").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    (tmp_path / "m" / "link.bin").symlink_to(tmp_path / "secret.bin")
    session = rt.InferenceSession(external(tmp_path, "w.bin", offset=8, length=16), providers=["cpu"])
    np.testing.assert_array_equal(session.run(None, {"x": np.zeros(4, np.float32)})[0], [2, 3, 4, 5])
    for location, fields, text in [("../secret.bin", {}, "leaves the model's folder"), ("link.bin", {}, "leaves the model's folder"),
                                   ("/etc/passwd", {}, "inside the model's folder"), ("w.bin", {"offset": 16}, "bytes 16 to 32 are wanted"),
                                   ("w.bin", {"offset": 2**63}, "bytes"), ("w.bin", {"length": 15}, "length says 15"), ("none.bin", {}, "none.bin")]:
        with pytest.raises(Exception, match=text):
            rt.InferenceSession(external(tmp_path, location, **fields), providers=["cpu"])
    with pytest.raises(Exception, match="given as bytes"):
        rt.InferenceSession(open(external(tmp_path, "w.bin"), "rb").read(), providers=["cpu"])


def run_error(data, feeds):
    session = rt.InferenceSession(data, providers=["cpu"])
    with pytest.raises(Exception) as e:
        session.run(None, feeds)
    return str(e.value)


@pytest.mark.parametrize("kind", ["Div", "Mod"])
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_integer_division(kind, dtype):
    onnx_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    data = built([helper.make_node(kind, ["a", "b"], ["y"], name="divide")], [value("a", onnx_type), value("b", onnx_type)], [value("y", onnx_type)])
    assert "zero" in run_error(data, {"a": np.array([6, 7], dtype), "b": np.array([2, 0], dtype)})
    least = np.array([np.iinfo(dtype).min], dtype)
    got = rt.InferenceSession(data, providers=["cpu"]).run(None, {"a": least, "b": np.array([-1], dtype)})[0]
    assert got[0] == (least[0] if kind == "Div" else 0)


@pytest.mark.parametrize("kind", ["Div", "Mod"])
@pytest.mark.parametrize("shape", ["Shape(x)", "Constant<value = int64[2] {4, 2}>()"])
def test_division_by_zero_in_shape_arithmetic(kind, shape):
    data = model(f"""g (float[n, 4] x) => (int64[2] y) {{
      s = {shape}
      z = Constant<value = int64[2] {{0, 2}}>()
      y = {kind}(s, z)
    }}""")
    assert f"({kind}): integer division by zero" in run_error(data, {"x": np.zeros((4, 4), np.float32)})


def test_shape_arithmetic_that_only_the_run_can_refuse():
    data = model("""g (float[n, 4] x, int64 by, int64[1] at) => (float[rows, columns] y) {
      s = Shape(x)
      smaller = Div(s, by)
      first = Gather(smaller, at)
      rest = Constant<value = int64[1] {-1}>()
      target = Concat<axis = 0>(first, rest)
      y = Reshape(x, target)
    }""")
    x = np.zeros((4, 4), np.float32)
    one = {"x": x, "by": np.int64(2), "at": np.array([1], np.int64)}
    assert rt.InferenceSession(data, providers=["cpu"]).run(None, one)[0].shape == (2, 8)
    assert "Div: integer division by zero" in run_error(data, one | {"by": np.int64(0)})
    assert "Gather: index 2 is outside [-2, 2)" in run_error(data, one | {"at": np.array([2], np.int64)})


@pytest.mark.parametrize("kind,extra", [("Gather", {}), ("GatherElements", {}), ("GatherND", {}), ("ScatterElements", {}), ("ScatterND", {})])
@pytest.mark.parametrize("index", [4, -5, 2**62])
def test_indices_out_of_range(kind, extra, index):
    indices = np.array([[index]] if kind.endswith("ND") else [index], np.int64)
    inputs = ["x", "i"] + (["u"] if kind.startswith("Scatter") else [])
    infos = [value("x", shape=[4]), value("i", TensorProto.INT64, indices.shape)] + ([value("u", shape=[1])] if len(inputs) == 3 else [])
    feeds = {"x": np.zeros(4, np.float32), "i": indices, "u": np.zeros(1, np.float32)}
    text = run_error(built([helper.make_node(kind, inputs, ["y"], name="pick", **extra)], infos, [value("y", shape=None or ["k"])]), {k: feeds[k] for k in inputs})
    assert "out of range" in text.lower() or "outside" in text.lower() or "index" in text.lower(), text


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Expand"])
def test_absurd_sizes(kind):
    inputs = ["s"] if kind == "ConstantOfShape" else ["x", "s"]
    infos = [value("s", TensorProto.INT64, [2])] + ([value("x", shape=[1])] if kind == "Expand" else [])
    data = built([helper.make_node(kind, inputs, ["y"], name="huge")], infos, [value("y", shape=["a", "b"])])
    feeds = {"s": np.array([2**31, 2**31], np.int64), "x": np.zeros(1, np.float32)}
    text = run_error(data, {k: feeds[k] for k in inputs})
    assert "limits.memory" in text or "63 bits" in text or "memory" in text, text
    feeds["s"] = np.array([-3, 2], np.int64)
    assert run_error(data, {k: feeds[k] for k in inputs})


def test_wrong_feeds():
    session = rt.InferenceSession(model("g (float[2, n] x) => (float[2, n] y) { y = Relu(x) }"), providers=["cpu"])
    for feeds, text in [({"z": np.zeros((2, 1), np.float32)}, "z"), ({"x": np.zeros((2, 1))}, "double"), ({"x": np.zeros(2, np.float32)}, "rank"),
                        ({"x": np.zeros((3, 1), np.float32)}, "Expected: 2|expected 2"), ({}, "x")]:
        with pytest.raises(Exception, match=text):
            session.run(None, feeds)
    with pytest.raises(Exception, match="nothing"):
        session.run(["nothing"], {"x": np.zeros((2, 1), np.float32)})
    assert session.run(None, {"x": -np.ones((2, 1), np.float32)})[0].sum() == 0


def test_sizes_that_contradict_each_other_in_a_run():
    text = run_error(model("g (float[a] x, float[b] y) => (float[c] z) { z = Add(x, y) }"), {"x": np.zeros(3, np.float32), "y": np.zeros(4, np.float32)})
    assert "Add" in text


def test_deep_nesting():
    def leaf(name):
        return helper.make_graph([helper.make_node("Identity", ["x"], [name])], "leaf", [], [value(name)])
    graph = leaf("y0")
    for i in range(1, 9):
        graph = helper.make_graph([helper.make_node("If", ["c"], [f"y{i}"], then_branch=graph, else_branch=leaf(f"e{i}"))], "g", [], [value(f"y{i}")])
    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=leaf("e"))]
    data = built(nodes, [value("x"), value("c", TensorProto.BOOL, [])], [value("y")])
    assert rt.InferenceSession(data, providers=["cpu"]).run(None, {"x": np.ones(2, np.float32), "c": np.array(True)})[0].tolist() == [1, 1]
    options = rt.SessionOptions()
    options.add_session_config_entry("/limits/nesting", "5")
    with pytest.raises(Exception, match="limits.nesting = 5"):
        rt.InferenceSession(data, options, providers=["cpu"])


@pytest.mark.parametrize("text,part", [('{"schema": 1,', "syntax|parse|expected"), ('{"sesion": {}}', "session"), ('{"session": {"threads": "many"}}', "threads"),
                                       ('{"session": {"optimize": "all", "optimize": "none"}}', "given before"), ('{"limits": {"memory": "4 bananas"}}', "memory"), ("[]", "object")])
def test_bad_configuration(tmp_path, monkeypatch, text, part):
    path = tmp_path / "tenon.json"
    path.write_text(text)
    monkeypatch.setenv("TENON_CONFIG", str(path))
    with pytest.raises(Exception, match=part) as e:
        rt.InferenceSession(GOOD)
    assert "tenon.json" in str(e.value)


def provider_folder(tmp_path, library=b"not a library", manifest=None):
    folder = tmp_path / "providers"
    folder.mkdir()
    (folder / "acme.tenon.json").write_text(manifest or '{"manifest_version": 1, "id": "acme", "version": "1", "abi": {"major": 1, "min": 0, "target": 0},'
                                            ' "library": {"linux-x86_64": "libacme.so"}}')
    if library is not None:
        (folder / "libacme.so").write_bytes(library)
    return str(folder)


@pytest.mark.parametrize("library,part", [(None, "libacme.so"), (b"", "libacme.so"), (b"\x7fELF\x02\x01\x01", "libacme.so"), (b"text", "libacme.so")])
def test_libraries_that_cannot_load(tmp_path, monkeypatch, library, part):
    monkeypatch.setenv("TENON_ADD_PROVIDER_PATH", provider_folder(tmp_path, library))
    with pytest.raises(Exception, match=part):
        rt.InferenceSession(GOOD, providers=["acme"])
    assert rt.InferenceSession(GOOD, providers=["cpu"]).get_providers()


def test_library_of_another_machine(tmp_path, monkeypatch):
    # The head of an AArch64 shared object.
    head = bytes.fromhex("7f454c46020101000000000000000000" "0300b70001000000") + b"\0" * 4096
    monkeypatch.setenv("TENON_ADD_PROVIDER_PATH", provider_folder(tmp_path, head))
    with pytest.raises(Exception, match="libacme.so"):
        rt.InferenceSession(GOOD, providers=["acme"])


def test_manifest_of_another_abi(tmp_path, monkeypatch):
    text = '{"manifest_version": 1, "id": "acme", "version": "1", "abi": {"major": 7, "min": 0, "target": 0}, "library": {"linux-x86_64": "libacme.so"}}'
    monkeypatch.setenv("TENON_ADD_PROVIDER_PATH", provider_folder(tmp_path, manifest=text))
    with pytest.raises(Exception, match="7"):
        rt.InferenceSession(GOOD, providers=["acme"])


def test_unknown_provider_names_those_there_are():
    with pytest.raises(Exception, match="cpu"):
        rt.InferenceSession(GOOD, providers=["cpuu"])
