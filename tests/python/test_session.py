import copy
import json
import pathlib
import pickle

import numpy as np
import onnx
import pytest
import tenonrt as rt

from conftest import SUMS, model

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def session():
    return rt.InferenceSession(model(SUMS, author="somebody"))


def test_loads_bytes_str_and_paths(tmp_path):
    path = tmp_path / "sums ü.onnx"
    path.write_bytes(model(SUMS))
    for source in (model(SUMS), str(path), path, pathlib.PurePath(path)):
        assert rt.InferenceSession(source).run(["sum"], {"x": X, "y": X})[0][1, 2] == 10
    with pytest.raises(TypeError, match="Unable to load"):
        rt.InferenceSession(bytearray(model(SUMS)))
    with pytest.raises(TypeError):
        rt.InferenceSession(None)


def test_weights_of_a_model_of_bytes_are_read_by_two_packings():
    x, w = np.ones((4, 512), np.float32), np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    graph = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]> g (float[4, 512] x) => (float[4, 512] y, float[4, 512] z) { y = MatMul(x, w) z = Gemm<transB = 1>(x, w) }')
    graph.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    y, z = rt.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    np.testing.assert_allclose(y, x @ w, atol=1e-3)
    np.testing.assert_allclose(z, x @ w.T, atol=1e-3)


def test_describes_inputs_and_outputs(session):
    x, y = session.get_inputs()
    assert (x.name, x.type, x.shape) == ("x", "tensor(float)", ["batch", 3])
    assert y.name == "y"
    assert [o.name for o in session.get_outputs()] == ["sum", "same"]
    assert str(x) == "NodeArg(name='x', type='tensor(float)', shape=['batch', 3])"
    scalar = rt.InferenceSession(model("g (int64 a, float[?, 2] b) => (int64 c, float[?, 2] d) { c = Identity(a)\n d = Identity(b) }"))
    assert scalar.get_inputs()[0].shape == []
    assert scalar.get_inputs()[1].shape == [None, 2]


def test_loading_reports_and_stops():
    steps = []
    rt.InferenceSession(model(SUMS), progress=lambda fraction, what: steps.append((fraction, what)))
    assert steps[-1][0] == 1 and steps == sorted(steps, key=lambda s: s[0])
    token = rt.CancelToken()
    token.cancel()
    with pytest.raises(rt.ModelLoadCanceled):
        rt.InferenceSession(model(SUMS), cancel=token)
    with pytest.warns(UserWarning, match='"provider" is ignored'):
        rt.InferenceSession(model(SUMS), provider="cpu")


def test_runs_all_or_named_outputs_in_order(session):
    total, same = session.run(None, {"x": X, "y": X})
    np.testing.assert_array_equal(total, X + X)
    np.testing.assert_array_equal(same, X)
    same, total = session.run(["same", "sum"], {"y": X, "x": X})
    np.testing.assert_array_equal(total, X + X)
    assert len(session.run([], {"x": X, "y": X})) == 2
    twice = session.run(["sum", "sum"], {"x": X, "y": X})
    twice[0][:] = 0
    np.testing.assert_array_equal(twice[1], X + X)


def test_accepts_any_mapping(session):
    from collections import OrderedDict
    from types import MappingProxyType

    for feed in (OrderedDict(x=X, y=X), MappingProxyType({"x": X, "y": X})):
        np.testing.assert_array_equal(session.run(None, feed)[0], 2 * X)
    with pytest.raises(TypeError):
        session.run(None, [X, X])
    with pytest.raises(TypeError):
        session.run("sum", {"x": X, "y": X})


def test_shapes_may_change_from_run_to_run(session):
    for rows in (1, 5, 2, 0, 7, 1):
        x = np.random.default_rng(rows).random((rows, 3), dtype=np.float32)
        np.testing.assert_array_equal(session.run(["sum"], {"x": x, "y": x})[0], x + x)


def test_metadata(session):
    meta = session.get_modelmeta()
    assert meta.custom_metadata_map == {"author": "somebody"}
    assert meta.graph_name == "sums"
    assert meta.opsets[""] == 22


def test_reports(session):
    session.run(None, {"x": X, "y": X})
    report = session.explain("dict")
    assert report["schema"] == "tenon.placement" and report["version"] == 1
    assert {"nodes", "parts", "copies", "devices", "values", "memory", "notes"} <= set(report)
    assert json.loads(session.explain("json"))["nodes"] == report["nodes"]
    add, = [n for n in session.placement() if n.op == "Add"]
    assert isinstance(add, rt.PlacedNode)
    assert (add.provider, add.device, add.part, add.graph, add.measured) == ("cpu", "cpu", 0, "", False)
    assert add.reason in ("only provider", "only claim", "cost") and add.cost_ns > 0
    with pytest.raises(AttributeError):
        add.provider = "else"
    assert "runs on" in session.explain() and session.explain("html").startswith("<!DOCTYPE html>")
    with pytest.raises(rt.InvalidArgument, match="html"):
        session.explain("xml")
    assert session.graph_text() and session.plan_text()


def test_profile_is_a_chrome_trace(tmp_path):
    import json

    options = rt.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    session = rt.InferenceSession(model(SUMS), options)
    session.run(None, {"x": X, "y": X})
    path = session.end_profiling()
    assert path.startswith(str(tmp_path / "profile")) and path.endswith(".json")
    trace = json.load(open(path))
    events = trace["traceEvents"] if isinstance(trace, dict) else trace
    assert len(events) > 0
    assert rt.InferenceSession(model(SUMS)).end_profiling() == ""


def test_can_be_subclassed_copied_and_pickled(tmp_path):
    path = tmp_path / "sums.onnx"
    path.write_bytes(model(SUMS))

    class Mine(rt.InferenceSession):
        def __init__(self, path):
            super().__init__(path, None)
            self.extra = 1

    assert Mine(path).run(None, {"x": X, "y": X})[0].shape == (2, 3)
    for source in (path, model(SUMS)):
        session = pickle.loads(pickle.dumps(rt.InferenceSession(source)))
        np.testing.assert_array_equal(session.run(None, {"x": X, "y": X})[0], 2 * X)
    options = rt.SessionOptions()
    options.intra_op_num_threads = 3
    options.add_session_config_entry("precision", "high")
    for other in (copy.deepcopy(options), pickle.loads(pickle.dumps(options))):
        assert other.intra_op_num_threads == 3 and other.get_session_config_entry("precision") == "high"


def test_is_a_context_manager():
    with rt.InferenceSession(model(SUMS)) as session:
        assert session.get_inputs()


def test_initializer_inputs_may_be_overridden():
    text = "g (float[2] x, float[2] w = {1, 2}) => (float[2] y) { y = Add(x, w) }"
    session = rt.InferenceSession(model(text))
    assert [a.name for a in session.get_inputs()] == ["x"]
    assert [a.name for a in session.get_overridable_initializers()] == ["w"]
    x = np.zeros(2, np.float32)
    assert session.run(None, {"x": x})[0].tolist() == [1, 2]
    assert session.run(None, {"x": x, "w": x + 5})[0].tolist() == [5, 5]
    assert session.run(None, {"x": x, "w": None})[0].tolist() == [1, 2]


def test_weights_are_in_memory_once(tmp_path):
    """Mapped, aligned and packed forms of a weight do not pile up while a model is loaded."""
    import subprocess
    import sys

    from onnx import helper, numpy_helper
    shape, count = (2048, 4096), 4
    weights = [numpy_helper.from_array(np.full(shape if i % 2 == 0 else shape[::-1], 1e-3, np.float32), f"w{i}") for i in range(count)]
    nodes = [helper.make_node("MatMul", [f"v{i}" if i else "x", f"w{i}"], [f"v{i + 1}"]) for i in range(count)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", shape[0]])],
                              [helper.make_tensor_value_info(f"v{count}", 1, ["n", shape[0]])], weights)
    path = tmp_path / "large.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    code = f"""
import resource, tenonrt as rt
rt.InferenceSession({str(tmp_path / 'small.onnx')!r})
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
session = rt.InferenceSession({str(path)!r})
print(peak() - before)"""
    (tmp_path / "small.onnx").write_bytes(model(SUMS))
    taken = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": rt.__path__[0].rpartition("/")[0]}).stdout)
    assert taken < 1.6 * path.stat().st_size
