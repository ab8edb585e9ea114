"""Models that hold operators nothing runs: all of them are named, with reasons, before any run."""
import json
import pathlib
import subprocess

import numpy as np
import pytest
import tenonrt as rt
from onnx import TensorProto, helper

TENON = pathlib.Path(rt.__path__[0]) / "bin/tenon"
FLOAT, TEXT, INT64 = TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64


def save(path, nodes, inputs, outputs, *opsets):
    infos = [[helper.make_tensor_value_info(*v) for v in values] for values in (inputs, outputs)]
    model = helper.make_model(helper.make_graph(nodes, "g", *infos), opset_imports=[helper.make_opsetid(*o) for o in opsets], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def folds(tmp_path):
    """Col2Im of text, which has no sum, twice; and a node that runs."""
    nodes = [helper.make_node("Relu", ["x"], ["a"], name="relu"), helper.make_node("Col2Im", ["s", "i", "b"], ["y"], name="fold"),
             helper.make_node("Col2Im", ["s", "i", "b"], ["z"], name="again")]
    return save(tmp_path / "folds.onnx", nodes, [("x", FLOAT, [2]), ("s", TEXT, [1, 4, 6]), ("i", INT64, [2]), ("b", INT64, [2])],
                [("a", FLOAT, [2]), ("y", TEXT, [1, 1, 3, 4]), ("z", TEXT, [1, 1, 3, 4])], ("", 18))


@pytest.fixture
def strange(tmp_path):
    nodes = [helper.make_node("Foo", ["x"], ["a"], name="f1", domain="acme"), helper.make_node("Foo", ["a"], ["b"], name="f2", domain="acme"),
             helper.make_node("Bar", ["b"], ["c"], name="b1", domain="acme"), helper.make_node("Swish", ["c"], ["y"], name="late")]
    return save(tmp_path / "strange.onnx", nodes, [("x", FLOAT, [2])], [("y", FLOAT, [2])], ("", 18), ("acme", 1))


def tenon(*args):
    return subprocess.run([TENON, *map(str, args)], capture_output=True, text=True, timeout=60)


def test_operators_without_a_kernel_are_listed(folds):
    done = tenon("inspect", folds, "--ops-missing", "--format", "json")
    assert done.returncode == 3
    (entry,) = json.loads(done.stdout)
    assert (entry["op"], entry["nodes"], entry["first"]) == ("Col2Im", 2, "fold")
    assert entry["why"] == [{"provider": "cpu", "device": 0, "reason": "dtype", "text": "text has no sum"}]
    assert "text has no sum" in tenon("inspect", folds, "--ops-missing").stdout


def test_nothing_missing(tmp_path):
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, [2])], [("y", FLOAT, [2])], ("", 18))
    done = tenon("inspect", path, "--ops-missing")
    assert done.returncode == 0 and "nothing is missing" in done.stdout


def test_a_load_names_every_node_and_reason(folds):
    with pytest.raises(Exception, match=r"(?s)2 of 3 nodes.*\"fold\" \(Col2Im\): cpu: text has no sum.*\"again\""):
        rt.InferenceSession(str(folds), providers=["cpu"])


def test_a_session_that_only_reports(folds, tmp_path, monkeypatch):
    config = tmp_path / "report.json"
    config.write_text('{"placement": {"on_unsupported": "report"}}')
    monkeypatch.setenv("TENON_CONFIG", str(config))
    session = rt.InferenceSession(str(folds))
    assert [p.name for p in session.get_inputs()] == ["x", "s", "i", "b"]
    with pytest.raises(Exception, match="no provider of this session runs 2 of 3 nodes"):
        session.run(["a"], {"x": np.zeros(2, np.float32), "s": np.full((1, 4, 6), "a", object), "i": np.array([3, 4]), "b": np.array([2, 2])})


def test_unknown_operators_are_named_together(strange):
    done = tenon("inspect", strange, "--ops-missing")
    assert done.returncode == 3
    for text in ("3 operators are not known", '"f1" (acme.Foo)', "(2 such nodes)", '"b1" (acme.Bar)', '"late" (Swish): opset 18 of "ai.onnx" has no Swish; it exists since 24'):
        assert text in done.stderr
