"""Models of one com.microsoft node, and how they are held against onnxruntime or a reference."""
import dataclasses

import numpy as np
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import tenonrt

rng = np.random.default_rng(7)


def seed(number=7):
    """The same numbers again, whatever else has drawn some."""
    rng.bit_generator.state = np.random.default_rng(number).bit_generator.state


@pytest.fixture(autouse=True)
def same_numbers():
    seed()


def reals(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def positive(*shape):
    return np.abs(reals(*shape)) * np.float32(0.01) + np.float32(0.001)


def u8(*shape):
    return rng.integers(0, 256, shape).astype(np.uint8)


def i8(*shape):
    return rng.integers(-127, 128, shape).astype(np.int8)


def scale(value):
    return np.array(value, np.float32)


def i32(value):
    return np.array(value, np.int32)


@dataclasses.dataclass
class Case:
    name: str
    op: str
    inputs: list
    constant: tuple = ()  # inputs that are initializers
    outputs: int = 1
    tolerance: float = 1e-5  # float outputs; quantised ones may differ by one step where a tie is rounded in float
    attributes: dict = dataclasses.field(default_factory=dict)
    reference: object = None  # a function of the inputs, where onnxruntime's CPU provider lacks the operator
    kept: tuple = ()  # float32 inputs that stay float32 where others become float16
    skipped: int = 0  # outputs in front that are omitted
    exact: bool = False  # integer outputs, where no step is forgiven
    half: bool = True  # also with its float32 operands in float16

    def __post_init__(self):
        self.inputs = [None if a is None else np.asarray(a) for a in self.inputs]

    def model(self):
        names = ["" if a is None else f"i{k}" for k, a in enumerate(self.inputs)]
        given = [(n, a) for n, a in zip(names, self.inputs) if a is not None]
        constant = {f"i{k}" for k in self.constant}
        feeds = {n: a for n, a in given if n not in constant}
        inputs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()]
        outputs = [""] * self.skipped + [f"o{k}" for k in range(self.outputs)]
        node = helper.make_node(self.op, names, outputs, "node", domain="com.microsoft", **self.attributes)
        graph = helper.make_graph(
            [node], "one", inputs, [helper.make_empty_tensor_value_info(f"o{k}") for k in range(self.outputs)],
            [numpy_helper.from_array(a, n) for n, a in given if n in constant],
        )
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString(), feeds

    def expected(self):
        if self.reference:
            made = self.reference(*self.inputs)
            return list(made) if isinstance(made, (tuple, list)) else [made]
        model, feeds = self.model()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, feeds)

    def in_half(self):
        """The same case with float16 operands, and one with the same numbers in float32."""
        changed = [k for k, a in enumerate(self.inputs) if a is not None and a.dtype == np.float32 and k not in self.kept]
        narrow = [a.astype(np.float16) if k in changed else a for k, a in enumerate(self.inputs)]
        wide = [a.astype(np.float32) if k in changed else a for k, a in enumerate(narrow)]
        return dataclasses.replace(self, inputs=narrow), dataclasses.replace(self, inputs=wide)


def run(case, plain=False):
    model, feeds = case.model()
    return tenonrt.InferenceSession(model, providers=[("cpu", {"plain": True})] if plain else ["cpu"]).run(None, feeds)


def check(case, plain=False):
    for want, got in zip(case.expected(), run(case, plain), strict=True):
        want = np.asarray(want)
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        if want.dtype.kind in "iu":
            assert np.abs(want.astype(np.int64) - got.astype(np.int64)).max(initial=0) <= (0 if case.exact else 1)
        elif want.dtype.kind in "bSUO":
            assert (got == want).all()
        else:
            np.testing.assert_allclose(got, want, rtol=case.tolerance, atol=case.tolerance)


def check_half(case, tolerance=4e-3):
    narrow, wide = case.in_half()
    for want, got in zip(wide.expected(), run(narrow), strict=True):
        assert got.shape == want.shape
        if want.dtype == np.float32:
            assert got.dtype in (np.float16, np.float32)
            np.testing.assert_allclose(got.astype(np.float32), want, rtol=tolerance, atol=tolerance * max(1, np.abs(want).max(initial=0)))


def named(cases):
    return [pytest.param(c, id=f"{c.op}-{c.name}") for c in cases]
