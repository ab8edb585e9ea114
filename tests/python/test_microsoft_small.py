"""Small operators of com.microsoft: beside onnxruntime where its CPU provider has them, else a reference in numpy."""
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import tenonrt
from one_node import Case, check, check_half, i32, i8, named, positive, reals, rng, run, scale, seed, u8
from one_node import same_numbers  # noqa: F401: a fixture

seed()


def ids(*shape, below=4):
    return rng.integers(0, below, shape).astype(np.int64)


def hashes():
    for kind in (np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64):
        for signed in (0, 1):
            for shape in ((3, 4), (0,), ()):
                numbers = np.asarray(rng.integers(0, 1000, shape)).astype(kind)
                name = f"{kind.__name__}_{signed}_{len(shape)}"
                yield Case(name, "MurmurHash3", [numbers], attributes={"positive": 1 - signed, "seed": 7}, exact=True)


def tokens():
    for n in (1, 2, 3, 5):
        for shape in ((3, 9), (3, 2), (2, 0), (0, 4)):
            yield Case(f"{n}_{shape}", "NGramRepeatBlock", [ids(*shape), reals(shape[0], 4)], attributes={"ngram_size": n}, half=False)
    for k in range(24):
        source, had, at = ids(8), ids(5), int(rng.integers(0, 9))
        next = np.concatenate([source[at:], [1]])
        if k % 2:
            next[rng.integers(0, len(next))] = 3
        inputs = [source, had, np.array([at], np.int64), next if k % 5 else None]
        least = {"min_ngram_size": 1 + k % 2, "max_ngram_size": 3}
        yield Case(f"{k}", "BifurcationDetector", inputs if inputs[3] is not None else inputs[:3], (), 2, attributes=least, exact=True)
    for shape in ((4, 6), (1, 5, 3), (1, 1), (7, 1), (1, 9)):
        yield Case(f"{shape}", "DynamicTimeWarping", [reals(*shape)], exact=True, half=False)


def images():
    boxes = np.array([[0, 0, 1, 1], [0.2, 0.3, 0.7, 0.9], [0.9, 0.8, 0.1, 0.2], [-0.2, -0.1, 1.1, 1.3]], np.float32)
    for mode in ("bilinear", "nearest"):
        for size in ((3, 4), (1, 1), (1, 5)):
            inputs = [reals(2, 3, 6, 7), boxes, i32([0, 1, 1, 0]), i32(size)]
            attributes = {"mode": mode, "extrapolation_value": 5.0}
            yield Case(f"{mode}_{size}", "CropAndResize", inputs, (3,), attributes=attributes, half=False)
    yield Case("told_late", "CropAndResize", [reals(2, 3, 6, 7), boxes, i32([0, 1, 1, 0]), i32([2, 3])], half=False)
    yield Case("none", "CropAndResize", [reals(2, 3, 6, 7), boxes[:0], i32([]), i32([2, 3])], (3,), half=False)
    for shape in ((3, 3), (2, 4, 4), (2, 0, 3, 3), (1, 1)):
        yield Case(f"{shape}", "Inverse", [reals(*shape) + 3 * np.eye(shape[-1], dtype=np.float32)], tolerance=1e-4)
    yield Case("double", "Inverse", [rng.standard_normal((2, 5, 5))], tolerance=1e-9)
    for pads in ([1, 0, 2, 1], [0, 0, 0, 0]):
        for stride in (1, 2):
            inputs = [reals(1, 3, 5, 6), reals(3, 2, 3, 3), np.array(pads, np.int64), reals(2)]
            attributes = {"strides": [stride, stride], "kernel_shape": [3, 3]}
            yield Case(f"{pads}_{stride}", "ConvTransposeWithDynamicPads", inputs, (1, 3), attributes=attributes)
            yield Case(f"{pads}_{stride}_known", "ConvTransposeWithDynamicPads", inputs, (1, 2, 3), attributes=attributes)


def movement():
    for dim, size, step in ((-1, 3, 1), (1, 2, 2), (0, 2, 1), (2, 4, 3)):
        attributes = {"dim": dim, "size": size, "step": step}
        yield Case(f"{dim}_{size}_{step}", "UnfoldTensor", [reals(2, 4, 7)], attributes=attributes)
    for kind in (np.int32, np.int64):
        yield Case(kind.__name__, "GatherND", [reals(3, 4, 5), rng.integers(0, 3, (2, 3, 2)).astype(kind)])
    lookup = lambda table, at: table[at]
    yield Case("rows", "TorchEmbedding", [reals(9, 4), ids(2, 3)], reference=lookup)
    yield Case("same", "SampleOp", [reals(2, 3)])


def integers():
    a, b = u8(2, 3, 4), u8(3, 4)
    for zero in (0, 130):
        quantise = {"QuantizeLinear": [reals(2, 3, 4), scale(0.03), np.uint8(zero)], "DequantizeLinear": [a, scale(0.03), np.uint8(zero)]}
        for op, inputs in quantise.items():
            yield Case(f"{zero}", op, inputs, (1, 2), half=False)
    yield Case("axis", "QuantizeLinear", [reals(2, 3, 4), positive(3) * 3, i8(3)], (1, 2), attributes={"axis": 1}, half=False)
    yield Case("axis", "DequantizeLinear", [i8(2, 3, 4), positive(4), i8(4)], (1, 2), attributes={"axis": -1}, half=False)
    short = rng.integers(-300, 300, (2, 3, 4)).astype(np.int16), rng.integers(-300, 300, (2, 4, 5)).astype(np.int16)
    yield Case("short", "MatMulInteger16", list(short), exact=True)
    def product(x, x_zero, y, y_zero=None):
        x, y = x.astype(np.int32), y.astype(np.int32)
        return (x - np.int32(0 if x_zero is None else x_zero)) * (y - np.int32(0 if y_zero is None else y_zero))
    yield Case("zeros", "MulInteger", [a, np.uint8(3), b, np.uint8(7)], (1, 3), reference=product, exact=True)
    yield Case("plain", "MulInteger", [a, None, b], reference=product, exact=True)
    for axes, kept in (([0], 1), ([0, 2], 0)):
        attributes = {"axes": axes, "keepdims": kept}
        total = lambda x, axes=axes, kept=kept: x.sum(tuple(axes), dtype=np.int32 if x.dtype == np.int8 else np.uint32, keepdims=bool(kept))
        yield Case(f"{axes}", "ReduceSumInteger", [a], attributes=attributes, reference=total, exact=True)
        yield Case(f"{axes}_i8", "ReduceSumInteger", [i8(2, 3, 4)], attributes=attributes, reference=total, exact=True)


def waves():
    def complex_of(x):
        return x[..., 0] + 1j * x[..., 1]

    def parts(z):
        return np.stack([z.real, z.imag], -1).astype(np.float32)

    for shapes in (((3, 4, 2), (3, 4, 2)), ((3, 4, 2), (4, 2)), ((0, 2), (0, 2))):
        inputs = [reals(*s) for s in shapes]
        yield Case(f"{shapes}", "ComplexMul", inputs, reference=lambda a, b: parts(complex_of(a) * complex_of(b)))
        yield Case(f"{shapes}", "ComplexMulConj", inputs, reference=lambda a, b: parts(complex_of(a) * complex_of(b).conj()))
    for n in (8, 2, 6):
        yield Case(f"{n}", "Rfft", [reals(3, n)], attributes={"signal_ndim": 1}, reference=lambda x: parts(np.fft.rfft(x)))
        inverse = lambda x: np.fft.irfft(complex_of(x)).astype(np.float32)
        half = reals(2, n // 2 + 1, 2)
        half[:, [0, -1], 1] = 0
        yield Case(f"{n}", "Irfft", [half], attributes={"signal_ndim": 1}, reference=inverse)


def elementwise():
    yield Case("finite", "IsAllFinite", [reals(2, 3), reals(4)], reference=lambda *x: np.array(True), half=False)
    odd = np.array([1, np.nan], np.float32), np.array([1, np.inf], np.float32)
    only = {"isinf_only": 1}, {"isnan_only": 1}
    for bad, attributes, answer in ((odd[0], {}, False), (odd[1], {}, False), (odd[0], only[0], True), (odd[1], only[1], True)):
        name = f"{bad[1]}_{len(attributes)}"
        yield Case(name, "IsAllFinite", [reals(2), bad], attributes=attributes, reference=lambda *x, a=answer: np.array(a), half=False)
    dropout = lambda x, b, r=0: [x + b + r, np.ones(x.shape, bool)]
    yield Case("mask", "BiasDropout", [reals(2, 3, 4), reals(4)], (), 2, reference=dropout, half=False)
    yield Case("residual", "BiasDropout", [reals(2, 3, 4), reals(4), reals(2, 3, 4)], reference=lambda *x: dropout(*x)[0])
    yield Case("same", "BitmaskDropout", [reals(2, 3)], reference=lambda x: x)
    def gelu(x, w, b=0):
        y = x @ w + b
        return 0.5 * y * (1 + np.tanh(0.7978845608 * (y + 0.044715 * y**3)))
    yield Case("plain", "GemmFastGelu", [reals(2, 3, 4), reals(4, 5)], reference=gelu)
    yield Case("bias", "GemmFastGelu", [reals(2, 3, 4), reals(4, 5), reals(5)], reference=gelu)
    def gemma(emb, q, q_rot, k, k_rot):
        cos, sin = np.cos(emb)[:, None], np.sin(emb)[:, None]
        return [q * cos + q_rot * sin, k * cos + k_rot * sin]
    yield Case("turned", "GemmaRotaryEmbedding", [reals(2, 3, 8), *(reals(2, 4, 3, 8) for _ in range(4))], (), 2, reference=gemma)


def bert():
    words, kinds = i32(ids(2, 6, below=20)), i32(ids(2, 6, below=2))
    mask = i32([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
    numbers = [scale(0.01 * k + 0.01) for k in range(5)], [np.uint8(120 + k) for k in range(5)]
    tables = [u8(20, 16), u8(10, 16), u8(2, 16), u8(16), u8(16)]
    inputs = [words, kinds, *tables, mask, *numbers[0], *numbers[1]]
    yield Case("all", "QEmbedLayerNormalization", inputs, tuple(range(2, 7)), 2, half=False)
    # Rows of words alone, where onnxruntime's CPU provider asks for segments: numpy says what is meant.
    def norm(ids, _, word, position, *rest):
        del rest
        x = (word[ids].astype(np.float32) - 120) * 0.01 + ((position[np.arange(ids.shape[1])].astype(np.float32) - 121) * 0.02)[None]
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return [x * ((tables[3].astype(np.float32) - 123) * 0.04) + (tables[4].astype(np.float32) - 124) * 0.05, i32([0, 0])]
    apart = list(inputs)
    for k in (1, 4, 7, 10, 15):
        apart[k] = None
    yield Case("words", "QEmbedLayerNormalization", apart, (2, 3, 5, 6), 2, reference=norm, tolerance=1e-4, half=False)


def nbits():
    def weights(n):
        return [u8(n, 2, 16), positive(n, 2).reshape(-1)]
    sizes = {"K": 64, "bits": 4, "block_size": 32}
    def product(a, packed, scales, bias):
        codes = np.stack([packed & 15, packed >> 4], -1).reshape(len(packed), -1).astype(np.float32) - 8
        return a @ (codes * np.repeat(scales.reshape(-1, 2), 32, 1)).T + (0 if bias is None else bias)
    def norm(a, skip, by, epsilon):
        total = a if skip is None else a + skip
        return (a if by is None else total / np.sqrt((total**2).mean(-1, keepdims=True) + epsilon) * by), total
    def mlp(a, skip=None, by=None, *w):
        x, total = norm(a, skip, by, 1e-5)
        gate, up = product(x, *w[:3]), product(x, *w[3:])
        return [gate / (1 + np.exp(-gate)) * up, total][: 1 if skip is None else 2]
    def qkv(a, skip, by, *w):
        x, total = norm(a, skip, by, 1e-6)
        return [product(x, *w[k : k + 3]) for k in (0, 3, 6)] + ([] if skip is None else [total])
    for name, skip, by in (("plain", None, None), ("norm", None, reals(64)), ("skip", reals(2, 3, 64), reals(64))):
        inputs = [reals(2, 3, 64), skip, by, *weights(24), reals(24), *weights(24), reals(24)]
        attributes = {**sizes, "N": 24, "activation": "silu"}
        yield Case(name, "MatMulNBitsMlp", inputs, tuple(range(3, 9)), 1 if skip is None else 2, 1e-4, attributes, reference=mlp)
        if by is None:
            continue
        inputs = [reals(2, 3, 64), skip, by, *weights(24), reals(24), *weights(8), reals(8), *weights(8), reals(8)]
        attributes = {**sizes, "Nq": 24, "Nkv": 8}
        yield Case(name, "MatMulNBitsQkv", inputs, tuple(range(3, 12)), 3 if skip is None else 4, 1e-4, attributes, reference=qkv)


CASES = [*hashes(), *tokens(), *images(), *movement(), *integers(), *waves(), *elementwise(), *bert(), *nbits()]


@pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
@pytest.mark.parametrize("case", named(CASES))
def test_agrees(case, plain):
    check(case, plain)


@pytest.mark.parametrize("case", named(c for c in CASES if c.half and not c.exact))
def test_agrees_in_half(case):
    check_half(case)


def text_model(op, shape, **attributes):
    node = helper.make_node(op, ["x"], ["y"], "node", domain="com.microsoft", **attributes)
    value = helper.make_tensor_value_info("x", TensorProto.STRING, shape)
    graph = helper.make_graph([node], "one", [value], [helper.make_empty_tensor_value_info("y")])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def both(op, texts, **attributes):
    texts = np.array(texts, dtype=object)
    model = text_model(op, texts.shape, **attributes)
    want = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": texts})[0]
    return want, tenonrt.InferenceSession(model).run(None, {"x": texts})[0]


def test_text_is_hashed():
    want, got = both("MurmurHash3", [["hello", "x", ""], ["longer text", "abc", "日本語"]], seed=3)
    assert (got == want).all() and got.dtype == want.dtype


RULES = {
    "space": {"separators": [" "]},
    "three": {"separators": [" ", ",", ";"]},
    "class": {"separators": ["[ ,;]+"]},
    "words": {"tokenexp": "[a-z]+"},
    "longest": {"tokenexp": "a|ab|o|on"},
    "nothing": {"tokenexp": "[a-z]*"},
    "characters": {"separators": [""]},
    "dot": {"tokenexp": "."},
}


@pytest.mark.parametrize("shape", [(5,), (1, 5)], ids=["list", "table"])
@pytest.mark.parametrize("shortest", [1, 2])
@pytest.mark.parametrize("mark", [0, 1])
@pytest.mark.parametrize("rule", RULES)
def test_text_is_cut(rule, mark, shortest, shape):
    if rule in ("characters", "dot") and shortest > 1:
        pytest.skip("characters have no length to be too short")
    texts = np.array(["hello big world", "  a  b ", "", "one,two;three", "日本語 text"], dtype=object).reshape(shape)
    want, got = both("Tokenizer", texts, mark=mark, mincharnum=shortest, pad_value="#", **RULES[rule])
    assert got.shape == want.shape and (got == want).all()


@pytest.mark.parametrize("mark", [0, 1])
def test_text_of_separators_alone_has_no_tokens(mark):
    want, got = both("Tokenizer", ["  ", " "], mark=mark, mincharnum=1, pad_value="#", separators=[" "])
    assert got.shape == want.shape == (2, 0)


@pytest.mark.parametrize("attributes, word", [({"tokenexp": "("}, "missing"), ({}, "separators")])
def test_rules_of_a_tokenizer_that_cannot_be(attributes, word):
    with pytest.raises(Exception, match=word):
        tenonrt.InferenceSession(text_model("Tokenizer", (2,), mark=0, mincharnum=1, pad_value="", **attributes))


def test_a_token_without_a_score_is_an_error():
    with pytest.raises(Exception, match="input_ids has 9"):
        run(Case("", "NGramRepeatBlock", [np.array([[9, 9]], np.int64), reals(1, 4)], attributes={"ngram_size": 1}))


def test_slices_longer_than_the_tensor():
    """Found by mutating these cases: a list of as many numbers as a slice is long took a minute."""
    for size in (8, 2**31 - 1):
        assert run(Case("", "UnfoldTensor", [reals(2, 7)], attributes={"dim": -1, "size": size}))[0].shape == (2, 0, 7)


def test_the_layout_of_one_machine_is_refused():
    node = helper.make_node("ReorderInput", ["x"], ["y"], "node", domain="com.microsoft.nchwc")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 16, 4, 4))
    graph = helper.make_graph([node], "one", [value], [helper.make_empty_tensor_value_info("y")])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft.nchwc", 1)]
    with pytest.raises(Exception, match='node "node".*extended'):
        tenonrt.InferenceSession(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
