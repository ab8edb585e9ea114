"""The tests of the Python package. They take tenonrt from where Python finds it, else from build/release."""
import importlib.util
import os
import pathlib
import sys

import onnx
import onnx.parser
import pytest

root = pathlib.Path(__file__).resolve().parent.parent.parent
if importlib.util.find_spec("tenonrt") is None:
    sys.path.insert(0, str(root / "build/release/python"))


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes; runs when TENON_SLOW=1")


def pytest_collection_modifyitems(items):
    if os.environ.get("TENON_SLOW") != "1":
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow; set TENON_SLOW=1"))


@pytest.fixture(autouse=True)
def own_configuration(monkeypatch, tmp_path):
    """No file of the machine or the user has a say."""
    monkeypatch.delenv("TENON_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def model(text: str, opset: int = 22, **metadata: str) -> bytes:
    """A model from ONNX's text form: the graph alone."""
    ml = ', "ai.onnx.ml" : 3' if "ai.onnx.ml" in text else ""
    made = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}{ml}]>\n{text}')
    onnx.helper.set_model_props(made, metadata)
    return made.SerializeToString()


SUMS = """sums (float[batch, 3] x, float[batch, 3] y) => (float[batch, 3] sum, float[batch, 3] same) {
  sum = Add(x, y)
  same = Identity(x)
}"""
FOREVER = """forever (int64 limit, float[1] x) => (float[1] y) {
  yes = Constant<value = bool {1}>()
  y = Loop(limit, yes, x) <body = step (int64 i, bool go, float[1] a) => (bool stay, float[1] b) {
    stay = Identity(go)
    b = Sin(a)
  }>
}"""
