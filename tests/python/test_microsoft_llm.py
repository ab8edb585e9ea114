"""Operators of com.microsoft that decoders are exported with, beside onnxruntime or a reference in numpy."""
import ml_dtypes
import numpy as np
import pytest

from one_node import Case, check, check_half, i32, named, positive, reals, rng, scale, seed, u8
from one_node import same_numbers  # noqa: F401: a fixture

seed()

SHAPES = [(2, 3, 8), (1, 1, 8), (2, 0, 8), (1, 5, 8)]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def swiglu(gate, up=None, alpha=1.0, beta=0.0, limit=0.0):
    gate, up = np.split(gate, 2, -1) if up is None else (gate, up)
    if limit > 0:
        gate, up = np.minimum(gate, limit), np.clip(up, -limit, limit)
    return (gate * sigmoid(alpha * gate) * (up + beta)).astype(np.float32)


def gates():
    for n, shape in enumerate(SHAPES):
        x, y = reals(*shape), reals(*shape)
        yield Case(f"{n}", "LinearAttentionGate", [x, reals(8), -positive(8)], kept=(1, 2))
        yield Case(f"beta_{n}", "LinearAttentionGate", [x, reals(8), -positive(8), y], (1, 2), 2, kept=(1, 2))
        for name in ("silu", "swish", "sigmoid"):
            yield Case(f"{name}_{n}", "GatedRMSNorm", [x, reals(4), y], (1,), attributes={"activation": name, "epsilon": 1e-3})
        yield Case(f"row_{n}", "GatedRMSNorm", [x, reals(8), y])
        yield Case(f"{n}", "GatedAdd", [x, y, reals(*shape[:-1], 1)])
        yield Case(f"{n}", "ScaledSiLU", [x], attributes={"alpha": 1.7})
        yield Case(f"given_{n}", "ScaledSiLU", [x, np.float32(0.3)], kept=(1,))
        yield Case(f"{n}", "SwiGLU", [x, y], reference=swiglu)
        clamped = {"activation_alpha": 1.702, "activation_beta": 1.0, "limit": 0.7}
        yield Case(f"clamped_{n}", "SwiGLU", [x], attributes=clamped, reference=lambda g: swiglu(g, None, 1.702, 1, 0.7))
        yield Case(f"rounded_{n}", "SwiGLU", [x, y], attributes={"round_activation": 1}, reference=swiglu)
    def gated(x, y, gate, weight):
        return x + y * sigmoid(gate @ weight)
    yield Case("projected", "GatedAdd", [reals(2, 3, 8), reals(2, 3, 8), reals(2, 3, 5), reals(5, 1)], (3,), reference=gated)


def streams():
    for lead in ((2, 3), (4,), (0, 3), ()):
        x, flat = reals(*lead, 4, 6), reals(*lead, 24)
        name = "x".join(map(str, lead))
        for size in ((24,), (4, 6), (6,)):
            label = name + "_" + "x".join(map(str, size))
            yield Case(label, "BranchwiseRMSNorm", [x, reals(*size)], (1,))
            yield Case(label + "_flat", "BranchwiseRMSNorm", [flat, reals(*size)], attributes={"num_branches": 4, "epsilon": 1e-2})
        yield Case(name, "BranchwiseRMSNorm", [x])
        if not lead:
            continue
        for size in ((4,), (4, 1), (4, 6)):
            label = name + "_" + "x".join(map(str, size))
            gate = reals(*lead, *size)
            yield Case(label, "HyperConnectionPreMix", [x, gate], attributes={"reduction_scale": 0.25})
            yield Case(label + "_flat", "HyperConnectionPreMix", [flat, gate], attributes={"num_branches": 4})
            yield Case(label, "HyperConnectionPostMix", [x, reals(*lead, 6), gate])
            yield Case(label + "_mixed", "HyperConnectionPostMix", [x, reals(*lead, 6), gate, reals(*lead, 4, 4)])
            yield Case(label + "_flat", "HyperConnectionPostMix", [flat, reals(*lead, 6), gate, reals(*lead, 4, 4)],
                       attributes={"num_branches": 4})
    for length in (3, 1, 0):
        inputs = [reals(2, length, 4, 6), reals(2, length, 4, 6), reals(2, length, 6), reals(4, 6), reals(4, 6)]
        yield Case(f"{length}", "EngramGate", inputs, (3, 4), attributes={"epsilon": 1e-3})
        yield Case(f"normed_{length}", "EngramGate", [*inputs, reals(4, 6)], (3, 4, 5), 2)


def routers():
    for shape in ((5, 16), (2, 3, 16), (0, 16)):
        name = "x".join(map(str, shape))
        logits, bias = reals(*shape), reals(16)
        for groups, chosen, best, experts in ((1, 1, 2, 4), (4, 2, 2, 3), (4, 1, 9, 2), (16, 5, 1, 5)):
            attributes = {"n_group": groups, "topk_group": chosen, "group_topk": best, "top_k": experts, "router_sentinel": -50.0}
            yield Case(f"{name}_{groups}_{experts}", "MoEGroupRouter", [logits, bias], (1,), attributes=attributes, kept=(1,))
    def full(logits, bias, weight=None):
        score = sigmoid(logits if weight is None else logits @ weight.T).reshape(-1, 16).astype(np.float32)
        return [score + bias, score]
    attributes = {"top_k": 2}
    whole = {"attributes": {"top_k": 2}, "reference": full, "kept": (1,), "skipped": 1}
    yield Case("full", "MoEGroupRouter", [reals(5, 16), reals(16)], (1,), 2, **whole)
    yield Case("projected", "MoEGroupRouter", [reals(5, 256), reals(16), reals(16, 256)], (1, 2), 2, **whole)


FP8, FP4 = ml_dtypes.float8_e4m3fn, ml_dtypes.float4_e2m1fn


def small_floats():
    def fp8(a, b, scales, a_scale=None, bias=0, block=0):
        weight = b.astype(np.float32) * np.repeat(scales, block, 1)[:, : b.shape[1]]
        if a_scale is not None:
            a = (a / a_scale).astype(FP8).astype(np.float32) * a_scale
        return (a @ weight.T + bias).astype(np.float32)

    for k, block in ((64, 32), (70, 32), (40, 128)):
        blocks = -(-k // block)
        inputs = [reals(2, 3, k), reals(5, k).astype(FP8), positive(5, blocks)]
        reference = lambda *given, block=block: fp8(*given, block=block)
        attributes = {"block_size": block}
        kept = (2, 3)
        yield Case(f"{k}", "MatMulBlockQuantizedFp8Weight", inputs, (1, 2), attributes=attributes, reference=reference, kept=kept)
        yield Case(f"bias_{k}", "MatMulBlockQuantizedFp8Weight", [*inputs, scale(0.03), reals(5)], (1, 2, 3, 4), attributes=attributes,
                   reference=reference, kept=kept)

    def fp4(a, b, scales, whole, _=None, bias=0, block=16):
        codes = np.stack([b & 15, b >> 4], -1).reshape(len(b), -1)
        weight = codes.astype(np.uint8).view(FP4).astype(np.float32)
        weight = weight * np.repeat(scales.view(FP8).astype(np.float32), block, 1)[:, : weight.shape[1]] * whole
        return (a @ weight.T + bias).astype(np.float32)

    for k in (64, 70, 6):
        blocks = -(-k // 16)
        scales = np.abs(reals(5, blocks)).astype(FP8).view(np.uint8)
        inputs = [reals(3, k), u8(5, k // 2), scales, scale(0.1)]
        yield Case(f"{k}", "MatMulBlockQuantizedFp4Weight", inputs, (1, 2, 3), reference=fp4, kept=(3, 4))
        yield Case(f"bias_{k}", "MatMulBlockQuantizedFp4Weight", [*inputs, scale(2), reals(5)], (1, 2, 3, 5), reference=fp4, kept=(3, 4))


CASES = [*gates(), *streams(), *routers(), *small_floats()]


@pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
@pytest.mark.parametrize("case", named(CASES))
def test_agrees(case, plain):
    check(case, plain)


@pytest.mark.parametrize("case", named(CASES))
def test_agrees_in_half(case):
    check_half(case)
