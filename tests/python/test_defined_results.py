"""Every row of plugins/DEFINED_RESULTS.md, on scalar and on vector kernels."""
import pathlib
import re

import numpy as np
import pytest
import tenonrt as rt
from onnx import TensorProto, helper

PAGE = pathlib.Path(__file__).resolve().parents[2] / "plugins/DEFINED_RESULTS.md"


def rows():
    for line in PAGE.read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")] if line.startswith("|") else []
        if len(cells) == 5 and cells[0] not in ("operator", "---"):
            for dtype in cells[1].split():
                yield pytest.param(dtype, *cells[:1], *cells[2:], id=f"{cells[0]}-{dtype}-{cells[2]}-{cells[3]}")


def names_for(dtype):
    names = {"inf": np.inf, "nan": np.nan, "True": True, "False": False, "zeros": lambda *shape: np.zeros(shape)}
    if dtype not in ("string", "bool"):
        d = np.dtype(dtype)
        if d.kind in "iu":
            names |= {"min": int(np.iinfo(d).min), "max": int(np.iinfo(d).max), "width": d.itemsize * 8, "lowest": int(np.iinfo(d).min), "highest": int(np.iinfo(d).max)}
        else:
            names |= {"lowest": -np.inf, "highest": np.inf}
    return names


def value(text, dtype):
    """'int64 [0, 1]', '[max, 1]', 'empty' as an array of its own or the row's type."""
    if m := re.match(r"(int64|uint8|float32) (.*)", text):
        dtype, text = m.groups()
    if text == "empty":
        return np.zeros(0, dtype)
    made = np.array(eval(text, {"__builtins__": {}}, names_for(dtype)), object if dtype == "string" else dtype)
    return made.astype(str).astype(object) if dtype == "string" else made


@pytest.mark.parametrize("plain", [False, True], ids=["vector", "scalar"])
@pytest.mark.parametrize("dtype,op,inputs,attributes,result", list(rows()))
def test_row(dtype, op, inputs, attributes, result, plain):
    feeds = {f"x{i}": value(v.strip(), dtype) for i, v in enumerate(inputs.split(";"))}
    given = eval(f"dict({attributes})", {"__builtins__": {"dict": dict}})
    out = dtype
    if "to" in given:
        out = given["to"]
        given["to"] = helper.np_dtype_to_tensor_dtype(np.dtype(out))
    infos = [helper.make_tensor_value_info(k, TensorProto.STRING if v.dtype == object else helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feeds.items()]
    outputs = ["y0", "y1"] if op == "TopK" else ["y0"]
    graph = helper.make_graph([helper.make_node(op, list(feeds), outputs, **given)], "row", infos, [helper.make_empty_tensor_value_info(outputs[0])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 28)], ir_version=14).SerializeToString()
    run = lambda: rt.InferenceSession(model, providers=[("cpu", {"plain": plain})]).run(None, feeds)[0]  # noqa: E731
    if result.startswith("error: "):
        with pytest.raises(Exception, match=re.escape(result[7:])):
            run()
        return
    got = run()
    if op in ("Equal", "NonZero", "ArgMax", "OneHot", "QuantizeLinear"):
        out = {"Equal": "bool", "OneHot": "float32", "QuantizeLinear": "uint8"}.get(op, "int64")
    want = value(result, out)
    assert got.dtype == want.dtype and got.shape == want.shape
    np.testing.assert_array_equal(got, want)


def test_the_page_has_rows():
    assert len(list(rows())) > 120
