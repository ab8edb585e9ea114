"""Gradient of ai.onnx.preview.training: each operator's beside differences of the model's own outputs, in float64."""
import numpy as np
import onnx
import pytest

import tenonrt

rng = np.random.default_rng(11)
DOMAIN = "ai.onnx.preview.training"


def reals(*shape):
    return rng.uniform(-2, 2, shape)


def positive(*shape):
    return rng.uniform(0.5, 2, shape)


def graph(body, inputs, results="y", symbolic=False):
    """inputs: name to array. Every dimension is a symbol of its own when symbolic."""

    def port(name, a):
        kind = {"float64": "double", "int64": "int64", "float32": "float", "bool": "bool"}[str(a.dtype)]
        if not a.shape and not symbolic:
            return f"{kind} {name}"
        return f"{kind}[{','.join(f'{name}{i}' if symbolic else str(d) for i, d in enumerate(a.shape))}] {name}"  # []: of any rank

    made = ", ".join(f"double {r}" for r in results.split())
    return f"g ({', '.join(port(n, a) for n, a in inputs.items())}) => ({made}) {{ {body} }}"


def session(text):
    """Of a graph in text form, where an output without brackets is a scalar: the shapes are left to inference."""
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21, "{DOMAIN}" : 1]>\n{text}')
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return tenonrt.InferenceSession(model.SerializeToString())


def derivatives(run, inputs, name, step=1e-6):
    """Of the sum of y with respect to every element of one input."""
    x, out = inputs[name], np.zeros_like(inputs[name])
    for at in np.ndindex(x.shape):
        moved = []
        for sign in (1, -1):
            other = x.copy()
            other[at] += sign * step
            moved.append(run({**inputs, name: other}).sum())
        out[at] = (moved[0] - moved[1]) / (2 * step)
    return out


def check(body, inputs, xs=None, symbolic=False):
    xs = xs or [n for n, a in inputs.items() if a.dtype == np.float64]
    zs = [n for n in inputs if n not in xs]
    quoted = lambda names: "[" + ", ".join(f'"{n}"' for n in names) + "]"
    attributes = f"xs = {quoted(xs)}, y = \"y\"" + (f", zs = {quoted(zs)}" if zs else "")
    call = f"{', '.join('d' + x for x in xs)} = {DOMAIN}.Gradient <{attributes}> ({', '.join(xs + zs)})"
    whole = session(graph(f"{body} {call}", inputs, " ".join(["y"] + ["d" + x for x in xs]), symbolic))
    forward = lambda feeds: whole.run(["y"], feeds)[0]
    got = whole.run(["d" + x for x in xs], inputs)
    for name, gradient in zip(xs, got):
        assert gradient.shape == inputs[name].shape, name
        np.testing.assert_allclose(gradient, derivatives(forward, inputs, name), rtol=1e-4, atol=1e-6, err_msg=name)


UNARY = {
    "Abs": reals, "Cos": reals, "Elu <alpha = 0.7>": reals, "Erf": reals, "Exp": reals, "Identity": reals, "LeakyRelu <alpha = 0.2>": reals,
    "Log": positive, "LogSoftmax <axis = 0>": reals, "Neg": reals, "Reciprocal": positive, "Relu": reals, "Sigmoid": reals, "Sin": reals,
    "Softmax": reals, "Softmax <axis = 0>": reals, "Softplus": reals, "Sqrt": positive, "Tanh": reals, "Transpose": reals,
    "Transpose <perm = [1, 0]>": reals, "Flatten <axis = 0>": reals, "ReduceSum": reals, "ReduceMean": reals,
    "ReduceSumSquare <keepdims = 0>": reals, "ReduceSum <noop_with_empty_axes = 1>": reals,
}


@pytest.mark.parametrize("op", UNARY)
def test_unary(op):
    name, _, attributes = op.partition(" ")
    # A second function on top, so that what flows back is not all ones.
    check(f"a = {name} {attributes} (x) y = Mul(a, a)", {"x": UNARY[op](3, 4)})


SHAPES = [((3, 4), (3, 4)), ((3, 4), (4,)), ((4,), (3, 4)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 1, 3), (4, 1)), ((2, 0), (1, 0))]


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Pow", "Sum", "Mean"])
def test_broadcast(op, shapes, symbolic):
    inputs = {"p": positive(*shapes[0]), "q": positive(*shapes[1])}
    check(f"a = {op}(p, q) y = Mul(a, a)", inputs, symbolic=symbolic)


FACTORS = [((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
           ((2, 1, 3, 4), (5, 4, 2)), ((4,), (2, 4, 5)), ((2, 3, 4), (4,)), ((0, 4), (4, 5)), ((3, 0), (0, 5))]


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("shapes", FACTORS)
def test_matmul(shapes, symbolic):
    check("a = MatMul(p, q) y = Mul(a, a)", {"p": reals(*shapes[0]), "q": reals(*shapes[1])}, symbolic=symbolic)


@pytest.mark.parametrize("turn_a", [0, 1])
@pytest.mark.parametrize("turn_b", [0, 1])
@pytest.mark.parametrize("bias", [(3, 5), (5,), (3, 1), ()])
def test_gemm(turn_a, turn_b, bias):
    inputs = {"p": reals(*((4, 3) if turn_a else (3, 4))), "q": reals(*((5, 4) if turn_b else (4, 5))), "c": reals(*bias)}
    check(f"a = Gemm <transA = {turn_a}, transB = {turn_b}, alpha = 0.5, beta = 1.5> (p, q, c) y = Mul(a, a)", inputs)


CASES = {
    "squeeze": ("i = Constant<value_ints = [1]>() a = Squeeze(x, i) y = Mul(a, a)", {"x": reals(3, 1, 2)}),
    "unsqueeze": ("i = Constant<value_ints = [0, -1]>() a = Unsqueeze(x, i) y = Mul(a, a)", {"x": reals(3, 2)}),
    "reshape": ("i = Constant<value_ints = [-1, 4]>() a = Reshape(x, i) y = Mul(a, a)", {"x": reals(2, 3, 2)}),
    "reduce_axes": ("i = Constant<value_ints = [-1, 0]>() a = ReduceMean<keepdims = 0>(x, i) y = Mul(a, a)", {"x": reals(2, 3, 4)}),
    "reduce_kept": ("i = Constant<value_ints = [1]>() a = ReduceSum(x, i) y = Mul(a, a)", {"x": reals(2, 3, 4)}),
    "expand": ("i = Constant<value_ints = [2, 3, 4]>() a = Expand(x, i) y = Mul(a, a)", {"x": reals(3, 1)}),
    "concat": ("a = Concat<axis = -1>(p, q, p) y = Mul(a, a)", {"p": reals(2, 3), "q": reals(2, 1)}),
    "split": ("i = Constant<value_ints = [1, 3]>() a, b = Split<axis = 1>(x, i) c = ReduceSum(b) y = Mul(a, c)", {"x": reals(2, 4)}),
    "split_half": ("a, b = Split<axis = 0, num_outputs = 2>(x) y = Exp(b)", {"x": reals(4, 2)}),
    "where": ("a = Where(c, p, q) y = Mul(a, a)", {"c": rng.random((3, 1)) > 0.5, "p": reals(3, 4), "q": reals(4)}),
    "clip": ("l = Constant<value = double {-1.0}>() h = Constant<value = double {1.0}>() a = Clip(x, l, h) y = Mul(a, a)",
             {"x": reals(4, 4)}),
    "pow_whole": ("i = Constant<value = int64 {3}>() y = Pow(x, i)", {"x": reals(3)}),
    "pow_zero": ("i = Constant<value = double[3] {0.0, 1.0, 2.0}>() y = Pow(x, i)", {"x": np.array([0.0, 0.0, 1.5])}),
    "several": ("a = Exp(x) b = Mul(a, x) c = Tanh(b) d = Add(c, a) y = Mul(d, x)", {"x": reals(3)}),
    "layers": ("h = MatMul(x, v) r = Tanh(h) o = Gemm(r, w, b) s = LogSoftmax(o) m = Mul(s, t) e = ReduceMean(m) y = Neg(e)",
               {"x": reals(5, 3), "v": reals(3, 4), "w": reals(4, 2), "b": reals(2), "t": rng.random((5, 2))}),
    "whole_untouched": ("i = Constant<value = int64[2] {1, 2}>() k = Cast<to = 11>(i) a = Mul(k, x) y = Exp(a)", {"x": reals(2)}),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    check(*CASES[name])


def test_axis_that_only_the_run_knows_to_be_stretched():
    whole = session(graph(f'y = Mul(p, q) dp = {DOMAIN}.Gradient<xs = ["p"], zs = ["q"], y = "y">(p, q)',
                                {"p": reals(2, 3), "q": reals(2, 3)}, "y dp", symbolic=True))
    for shapes in (((2, 3), (2, 3)), ((1, 3), (2, 3)), ((2, 1), (2, 3)), ((1, 1), (4, 5)), ((2, 3), (1, 1))):
        p, q = (reals(*shape) for shape in shapes)
        dp = whole.run(["dp"], {"p": p, "q": q})[0]
        want = np.broadcast_to(q, np.broadcast_shapes(p.shape, q.shape))
        for axis in (0, 1):
            if p.shape[axis] == 1:
                want = want.sum(axis, keepdims=True)
        np.testing.assert_allclose(dp, want)


X = {"x": np.array([0.5, -1.5])}


def run(body, results, feeds=X, **options):
    return session(graph(body, feeds, results, **options)).run(results.split(), feeds)


def test_second_order():
    body = (f'a = Mul(x, x) y = Mul(a, x) d = {DOMAIN}.Gradient<xs = ["x"], y = "y">(x) e = {DOMAIN}.Gradient<xs = ["x"], y = "d">(x) '
            f'f = {DOMAIN}.Gradient<xs = ["x"], y = "e">(x)')
    d, e, f = run(body, "d e f")
    np.testing.assert_allclose(d, 3 * X["x"] ** 2)
    np.testing.assert_allclose(e, 6 * X["x"])
    np.testing.assert_allclose(f, [6, 6])


def test_gradients_of_gradients_end():
    chain = " ".join(f'd{i + 1} = {DOMAIN}.Gradient<xs = ["x"], y = "d{i}">(x)' for i in range(30))
    with pytest.raises(tenonrt.Error, match="limits.nodes"):
        run(f"d0 = Tanh(x) {chain}", "d30")


def test_at_other_values():
    body = (f'h = Exp(x) y = Mul(h, x) z = Neg(x) d = {DOMAIN}.Gradient<xs = ["x"], y = "y">(z) '
            f'e = {DOMAIN}.Gradient<xs = ["x"], y = "y">(x)')
    d, e, y = run(body, "d e y")
    slope = lambda v: np.exp(v) * (1 + v)
    np.testing.assert_allclose(d, slope(-X["x"]))
    np.testing.assert_allclose(e, slope(X["x"]))
    np.testing.assert_allclose(y, np.exp(X["x"]) * X["x"])


def test_at_values_of_another_size():
    feeds = {"x": reals(2, 1), "v": reals(3, 4)}
    (d,) = run(f'y = Mul(x, x) d = {DOMAIN}.Gradient<xs = ["x"], y = "y">(v)', "d", feeds)
    np.testing.assert_allclose(d, 2 * feeds["v"])


def test_of_a_tensor_between():
    h, x = run(f'h = Exp(x) y = Mul(h, x) dh, dx = {DOMAIN}.Gradient<xs = ["h", "x"], y = "y">(h, x)', "dh dx")
    np.testing.assert_allclose(h, X["x"])
    np.testing.assert_allclose(x, np.exp(X["x"]))  # h is held: it does not depend on x


def test_of_what_does_not_depend_on_it():
    feeds = {"x": reals(2), "w": reals(3)}
    body = (f'y = Neg(x) dw = {DOMAIN}.Gradient<xs = ["w"], zs = ["x"], y = "y">(w, x) '
            f'dy = {DOMAIN}.Gradient<xs = ["y"], y = "y">(y)')
    w, y = run(body, "dw dy", feeds)
    assert w.tolist() == [0, 0, 0] and y.tolist() == [1, 1]


def test_outputs_that_nobody_wants():
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21, "{DOMAIN}" : 1]>\n' + graph(
        f'y = Mul(x, w) dx, dw = {DOMAIN}.Gradient<xs = ["x", "w"], y = "y">(x, w)', {"x": reals(2), "w": reals(2)}, "dw"))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.node[1].output[0] = ""
    feeds = {"x": reals(2), "w": reals(2)}
    np.testing.assert_allclose(tenonrt.InferenceSession(model.SerializeToString()).run(None, feeds)[0], feeds["x"])


def test_in_a_body():
    body = (f'yes = Constant<value = bool {{1}}>() out = If(yes) <then_branch = t () => (double[2] o) {{ a = Mul(x, x) '
            f'o = {DOMAIN}.Gradient<xs = ["x"], y = "a">(x) }}, else_branch = e () => (double[2] o2) {{ o2 = Identity(x) }}>')
    np.testing.assert_allclose(run(body, "out")[0], 2 * X["x"])


@pytest.mark.parametrize("body, text", [
    ('k = Floor(x) y = Mul(k, k) d = {D}.Gradient<xs = ["x"], y = "y">(x)', "Floor"),
    ('y = Neg(x) d = {D}.Gradient<xs = ["nothing"], y = "y">(x)', "nothing"),
    ('y = Neg(x) d = {D}.Gradient<xs = ["x"], y = "nothing">(x)', "nothing"),
    ('y = Neg(x) d = {D}.Gradient<xs = ["x", "x"], y = "y">(x, x)', "twice"),
    ('y = Neg(x) d = {D}.Gradient<xs = ["x"], y = "y">(x, x)', "one input each"),
    ('y = Mul(x, d) d = {D}.Gradient<xs = ["x"], y = "y">(x)', "cycle"),
    ('s = Shape(x) y = Identity(x) d = {D}.Gradient<xs = ["x"], y = "s">(x)', "float"),
])
def test_refused(body, text):
    with pytest.raises(tenonrt.Error, match=text):
        run(body.replace("{D}", DOMAIN), "d")
