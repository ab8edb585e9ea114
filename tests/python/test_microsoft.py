"""Operators of com.microsoft beside onnxruntime: each case is one node; sizes and types must agree too."""
import numpy as np
import pytest

import tenonrt
from one_node import Case, check, i32, i8, named, positive, reals, rng, scale, seed, u8
from one_node import same_numbers  # noqa: F401: a fixture

seed()

BATCH, LENGTH, HEADS, SIZE = 2, 5, 4, 16
HIDDEN = HEADS * SIZE


def quantised():
    x = lambda zero, s=0.05: [u8(2, 3, 30), scale(s), np.uint8(zero)]
    out = [scale(0.04), np.uint8(90)]
    soft = [scale(1 / 256), np.uint8(0)]
    image, last = u8(1, 3, 8, 8), u8(1, 8, 8, 3)
    pool = [scale(0.05), np.uint8(128), scale(0.03), np.uint8(120)]
    yield Case("add", "QLinearAdd", [*x(3), u8(3, 30), scale(0.2), np.uint8(100), *out], (1, 2, 4, 5, 6, 7))
    signed = [i8(2, 3, 4), scale(0.1), np.int8(3), i8(3, 4), scale(0.2), np.int8(10), scale(0.3), np.int8(5)]
    yield Case("mul_i8", "QLinearMul", signed, (1, 2, 4, 5, 6, 7))
    yield Case("sigmoid", "QLinearSigmoid", [*x(128), *soft], (1, 2, 3, 4))
    yield Case("leaky", "QLinearLeakyRelu", [*x(128), *out], (1, 2, 3, 4), attributes={"alpha": 0.1})
    yield Case("softmax", "QLinearSoftmax", [*x(128), *soft], (1, 2, 3, 4), attributes={"axis": -1, "opset": 13})
    yield Case("softmax_flat", "QLinearSoftmax", [*x(128), *soft], (1, 2, 3, 4), attributes={"axis": 1, "opset": 11})
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    yield Case("average", "QLinearAveragePool", [image, *pool], (1, 2, 3, 4), attributes=window)
    yield Case("average_last", "QLinearAveragePool", [last, *pool], (1, 2, 3, 4), attributes={**window, "channels_last": 1})
    yield Case("global", "QLinearGlobalAveragePool", [image, *pool], (1, 2, 3, 4))
    yield Case("global_last", "QLinearGlobalAveragePool", [last, *pool], (1, 2, 3, 4), attributes={"channels_last": 1})
    parts = [u8(2, 3), scale(0.1), np.uint8(4), u8(2, 5), scale(0.05), np.uint8(7)]
    yield Case("concat", "QLinearConcat", [scale(0.1), np.uint8(10), *parts], (0, 1, 3, 4, 6, 7), attributes={"axis": 1})
    choices = [u8(2, 3), scale(0.1), np.uint8(3), u8(2, 3), scale(0.2), np.uint8(7), scale(0.15), np.uint8(5)]
    yield Case("where", "QLinearWhere", [rng.random((2, 3)) > 0.5, *choices], (2, 3, 5, 6, 7, 8))
    filters = [last, scale(0.02), np.uint8(120), i8(4, 3, 3, 3), scale(0.01), np.int8(0), scale(0.1), np.uint8(100)]
    yield Case("conv_last", "QLinearConv", filters, (1, 2, 3, 4, 5, 6, 7), attributes={"channels_last": 1, "kernel_shape": [3, 3]})
    yield Case("pool_last", "NhwcMaxPool", [last], attributes={"kernel_shape": [2, 2], "strides": [2, 2]})
    a, b = u8(5, 64), i8(64, 7)
    yield Case("to_float", "MatMulIntegerToFloat", [a, b, scale(0.02), positive(7), np.uint8(120), i8(7), reals(7)], (1, 2, 3, 4, 5, 6))
    yield Case("dynamic", "DynamicQuantizeMatMul", [reals(5, 64), b, positive(7), i8(7), reals(7)], (1, 2, 3, 4))
    bias = rng.integers(-1000, 1000, 7).astype(np.int32)
    gemm = [a, scale(0.02), np.uint8(120), i8(7, 64), scale(0.01), np.int8(3), bias, scale(0.1), np.uint8(100)]
    yield Case("gemm", "QGemm", gemm, (1, 2, 3, 4, 5, 6, 7, 8), attributes={"transB": 1})
    yield Case("gemm_float", "QGemm", [a, scale(0.02), np.uint8(120), b, positive(7), i8(7)], (1, 2, 3, 4, 5), attributes={"alpha": 1.5})


def fused():
    image, filters, bias = reals(1, 3, 8, 8), reals(4, 3, 3, 3), reals(4)
    leaky = {"activation": "LeakyRelu", "activation_params": [0.2]}
    clip = {"activation": "Clip", "activation_params": [0.0, 6.0]}
    yield Case("conv_leaky", "FusedConv", [image, filters, bias], (1, 2), attributes=leaky)
    yield Case("conv_clip", "FusedConv", [image, filters, bias], (1, 2), attributes=clip)
    yield Case("conv_sum", "FusedConv", [image, filters, bias, reals(1, 4, 6, 6)], (1, 2), attributes={"activation": "Relu"})
    product = {"activation": "Relu", "alpha": 0.5, "beta": 2.0}
    yield Case("gemm", "FusedGemm", [reals(4, 8), reals(8, 5), reals(5)], (1, 2), attributes=product)
    yield Case("matmul", "FusedMatMul", [reals(2, 8, 4), reals(2, 5, 8)], attributes={"alpha": 0.5, "transA": 1, "transB": 1})
    yield Case("matmul_batch", "FusedMatMul", [reals(4, 2, 3, 8), reals(2, 3, 8, 5)], attributes={"transBatchA": 1})
    words = rng.integers(0, 20, (2, 6)).astype(np.int32)
    kinds, mask = rng.integers(0, 2, (2, 6)).astype(np.int32), rng.integers(0, 2, (2, 6)).astype(np.int32)
    tables = [reals(20, 16), reals(10, 16)]
    norm = [reals(16), reals(16)]
    yield Case("embed", "EmbedLayerNormalization", [words, kinds, *tables, reals(2, 16), *norm, mask], (2, 3, 4, 5, 6), 2)
    yield Case("embed_sum", "EmbedLayerNormalization", [words, None, *tables, None, *norm], (2, 3, 5, 6), 3)
    yield Case("bias_gelu", "BiasGelu", [reals(2, 6, 16), reals(16)])
    yield Case("skip_norm", "SkipLayerNormalization", [reals(2, 6, 16), reals(2, 6, 16), *norm, reals(16)], (2, 3, 4))
    yield Case("unique", "Unique", [np.array([3, 1, 3, 2, 1], np.float32)], outputs=3)
    yield Case("distances", "CDist", [reals(4, 8), reals(5, 8)], attributes={"metric": "euclidean"})
    yield Case("range", "Range", [np.float32(1), np.float32(7)])
    yield Case("pad", "Pad", [reals(3, 4), np.array([0, 1, 2, 0], np.int64)], (1,))
    yield Case("expand_dims", "ExpandDims", [reals(2, 6), i32(1)], (1,))
    yield Case("sampled", "GridSample", [reals(1, 2, 5, 5), np.clip(reals(1, 3, 3, 2) / 2, -1, 1)], attributes={"mode": "bilinear"})


def weights():
    for kind in (0, 1):
        four = [reals(3, 64), u8(32 * 48), positive(48)]
        yield Case(f"bnb4_{kind}", "MatMulBnb4", four, (1, 2), attributes={"K": 64, "N": 48, "block_size": 64, "quant_type": kind})
    rows = np.array([[1, 3], [5, 19]], np.int64)
    block = {"block_size": 32, "quantize_axis": 1}
    four = [u8(20, 32), rows, positive(20, 2), u8(20, 1)]
    yield Case("rows_u4", "GatherBlockQuantized", four, (0, 2, 3), attributes={**block, "bits": 4})
    yield Case("rows_u4_plain", "GatherBlockQuantized", [u8(20, 32), rows, positive(20, 2)], (0, 2), attributes={**block, "bits": 4})
    yield Case("rows_u8", "GatherBlockQuantized", [u8(20, 64), rows, positive(20, 2)], (0, 2), attributes={**block, "bits": 8})
    # Small weights: onnxruntime rounds the input to 8 bits, tenon does so where weights are constant and it is not plain.
    lstm = [reals(5, 2, 8), u8(1, 8, 24), u8(1, 6, 24), reals(1, 48), None, None, None, None]
    lstm += [scale([0.002]), np.array([128], np.uint8), scale([0.002]), np.array([128], np.uint8)]
    yield Case("lstm", "DynamicQuantizeLSTM", lstm, (1, 2, 3, 8, 9, 10, 11), 3, 1e-2, {"hidden_size": 6})


def attention():
    heads = {"num_heads": HEADS}
    packed = [reals(BATCH, LENGTH, HIDDEN), reals(HIDDEN, 3 * HIDDEN) / 8, reals(3 * HIDDEN)]
    mask = i32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    for name, given in {"none": None, "keys": mask, "lengths": i32([3, 4]), "ranges": i32([3, 4, 1, 0]),
                        "rows": rng.integers(0, 2, (BATCH, LENGTH, LENGTH)).astype(np.int32)}.items():
        yield Case("mask_" + name, "Attention", [*packed, given], (1, 2), attributes=heads)
    bias = reals(BATCH, HEADS, LENGTH, LENGTH)
    yield Case("bias", "Attention", [*packed, mask, None, bias], (1, 2), attributes=heads)
    past = reals(2, BATCH, HEADS, 3, SIZE)
    yield Case("past", "Attention", [*packed, None, past], (1, 2), 2, attributes={**heads, "unidirectional": 1})
    eight = [u8(BATCH, LENGTH, HIDDEN), i8(HIDDEN, 3 * HIDDEN), reals(3 * HIDDEN)]
    eight += [scale(0.02), scale(0.005), mask, np.uint8(120), np.int8(3)]
    yield Case("quantised", "QAttention", eight, (1, 2, 3, 4, 6, 7), attributes=heads)
    q, k, v = reals(BATCH, LENGTH, HIDDEN), reals(BATCH, 7, HIDDEN), reals(BATCH, 7, HIDDEN)
    yield Case("multi", "MultiHeadAttention", [q, k, v], attributes=heads)
    yield Case("multi_scaled", "MultiHeadAttention", [q, k, v], attributes={**heads, "scale": 0.1})
    yield Case("multi_bias", "MultiHeadAttention", [q, k, v, reals(3 * HIDDEN)], (3,), attributes=heads)
    yield Case("multi_causal", "MultiHeadAttention", [q, q, q], attributes={**heads, "unidirectional": 1})
    yield Case("multi_mask", "MultiHeadAttention", [q, q, q, None, mask, bias[:1]], attributes=heads)
    yield Case("multi_cross", "MultiHeadAttention", [q, reals(BATCH, HEADS, 7, SIZE), reals(BATCH, HEADS, 7, SIZE)], attributes=heads)
    one = [reals(BATCH, 1, HIDDEN) for _ in range(3)]
    cache = [reals(BATCH, HEADS, 6, SIZE) for _ in range(2)]
    yield Case("multi_past", "MultiHeadAttention", [*one, reals(3 * HIDDEN), None, None, *cache], (3,), 3, attributes=heads)


KV_HEADS = 2
angles = np.arange(32)[:, None] / 10 ** (np.arange(SIZE // 2) / (SIZE // 2))[None]
TABLES = [np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)]


def grouped():
    def case(name, length, past, last, total, packed=False, **attributes):
        hidden = KV_HEADS * SIZE
        new = [reals(BATCH, length, size) for size in (HIDDEN, hidden, hidden)]
        if packed:
            new = [reals(BATCH, length, HIDDEN + 2 * hidden), None, None]
        cache = [reals(BATCH, KV_HEADS, past, SIZE) for _ in range(2)]
        turned = TABLES if attributes.get("do_rotary") else []
        return Case(name, "GroupQueryAttention", [*new, *cache, i32(last), i32([total]), *turned], (6, 7, 8)[: 1 + len(turned)], 3,
                    attributes={"num_heads": HEADS, "kv_num_heads": KV_HEADS, **attributes})

    yield case("prompt", LENGTH, 0, [LENGTH - 1] * 2, LENGTH)
    yield case("prompt_turned", LENGTH, 0, [LENGTH - 1] * 2, LENGTH, do_rotary=1)
    yield case("prompt_window", LENGTH, 0, [LENGTH - 1] * 2, LENGTH, local_window_size=3)
    yield case("prompt_capped", LENGTH, 0, [LENGTH - 1] * 2, LENGTH, softcap=2.0)
    yield case("next", 1, 6, [6, 6], 7, do_rotary=1)
    yield case("next_uneven", 1, 6, [6, 4], 7, do_rotary=1, rotary_interleaved=1)
    yield case("next_packed", 1, 6, [6, 6], 7, packed=True, do_rotary=1)
    yield case("next_window", 1, 6, [6, 6], 7, local_window_size=3)
    where = np.tile(np.arange(LENGTH), (BATCH, 1)).astype(np.int64)
    yield Case("turn_from", "RotaryEmbedding", [reals(BATCH, LENGTH, HIDDEN), np.array([3], np.int64), *TABLES], (2, 3))
    yield Case("turn_pairs", "RotaryEmbedding", [reals(BATCH, LENGTH, HIDDEN), where, *TABLES], (2, 3), attributes={"interleaved": 1})
    yield Case("turn_heads", "RotaryEmbedding", [reals(BATCH, HEADS, LENGTH, SIZE), where, *TABLES], (2, 3))
    part = {"num_heads": HEADS, "rotary_embedding_dim": SIZE}
    yield Case("turn_part", "RotaryEmbedding", [reals(BATCH, HEADS, LENGTH, 2 * SIZE), where, *TABLES], (2, 3), attributes=part)


def recurrent():
    small = [reals(5, 2, 8), u8(1, 8, 24), u8(1, 6, 24), reals(1, 48), None, None, None, None]
    small += [scale([0.002]), np.array([128], np.uint8), scale([0.002]), np.array([128], np.uint8)]
    yield Case("lstm_scales_given", "DynamicQuantizeLSTM", small, (1, 2, 3, 9, 11), 3, 1e-2, {"hidden_size": 6})
    both = [reals(7, 3, 24), i8(2, 24, 160), i8(2, 40, 160), reals(2, 320), i32([7, 2, 5]), reals(2, 3, 40), reals(2, 3, 40), reals(2, 120)]
    both += [positive(2, 160) / 20, np.zeros((2, 160), np.int8), positive(2, 160) / 20, np.zeros((2, 160), np.int8)]
    yield Case("lstm_both", "DynamicQuantizeLSTM", both, (1, 2, 3, 7, 8, 9, 10, 11), 3, 1e-2, {"hidden_size": 40, "direction": "bidirectional"})


@pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
@pytest.mark.parametrize("case", named([*quantised(), *fused(), *weights(), *attention(), *grouped(), *recurrent()]))
def test_agrees(case, plain):
    check(case, plain)


def test_packed_operands_are_the_same_as_apart():
    """onnxruntime's CPU provider refuses these."""
    q, k, v = (reals(BATCH, LENGTH, HIDDEN) for _ in range(3))
    heads = [x.reshape(BATCH, LENGTH, HEADS, SIZE) for x in (q, k, v)]
    bias = reals(3 * HIDDEN)
    attributes = {"num_heads": HEADS}

    def run(inputs):
        model, feeds = Case("", "MultiHeadAttention", inputs, attributes=attributes).model()
        return tenonrt.InferenceSession(model).run(None, feeds)[0]

    for more in ([], [bias]):
        apart = run([q, k, v, *more])
        np.testing.assert_allclose(run([np.stack(heads, 3), None, None, *more]), apart, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(run([q, np.stack(heads[1:], 3), None, *more]), apart, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("last", [[7, 7], [-1, 6], [6, 2**31 - 1]])
def test_a_sample_longer_than_its_cache_is_an_error(last):
    new = [reals(BATCH, 1, HIDDEN), reals(BATCH, 1, KV_HEADS * SIZE), reals(BATCH, 1, KV_HEADS * SIZE)]
    cache = [reals(BATCH, KV_HEADS, 6, SIZE) for _ in range(2)]
    case = Case("", "GroupQueryAttention", [*new, *cache, i32(last), i32([7])], (6,), 3,
                attributes={"num_heads": HEADS, "kv_num_heads": KV_HEADS})
    model, feeds = case.model()
    with pytest.raises(Exception, match="seqlens_k of sample"):
        tenonrt.InferenceSession(model).run(None, feeds)


@pytest.mark.parametrize("op", ["QLinearAdd", "QGemm", "FusedConv", "EmbedLayerNormalization", "GroupQueryAttention", "MatMulBnb4"])
def test_a_missing_input_is_an_error(op):
    model, _ = Case("", op, [reals(2, 3)]).model()
    with pytest.raises(Exception, match="node"):
        tenonrt.InferenceSession(model)


@pytest.mark.parametrize("op", ["Trilu", "QuickGelu", "QLinearSigmoid"])
def test_an_output_that_the_operator_has_not_is_an_error(op):
    inputs = [u8(2, 3), scale(0.1), np.uint8(0), scale(0.1), np.uint8(0)] if op == "QLinearSigmoid" else [reals(2, 3)]
    model, feeds = Case("", op, inputs, outputs=2).model()
    with pytest.raises(Exception, match="output"):
        tenonrt.InferenceSession(model).run(None, feeds)
