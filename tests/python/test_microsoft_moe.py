"""Mixtures of experts, beside onnxruntime; what its CPU provider lacks or rounds beside numpy."""
import numpy as np
import pytest

from one_node import Case, check, check_half, named, positive, reals, rng, run, seed, u8
from one_node import same_numbers  # noqa: F401: a fixture

seed()

EXPERTS = 4


def gelu(x):
    return 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3)))


ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "gelu": gelu, "silu": lambda x: x / (1 + np.exp(-x)), "identity": lambda x: x}


def swiglu(gate, up, alpha=1.0, beta=0.0, limit=np.inf):
    gate, up = np.minimum(gate, limit), np.clip(up, -limit, limit)
    return gate / (1 + np.exp(-alpha * gate)) * (up + beta)


def mixture(x, scores, experts, k, over_all=True, normalised=False, mixing=None):
    """experts: functions of a row."""
    shape, rows = x.shape, x.reshape(-1, x.shape[-1]).astype(np.float64)
    out = np.zeros_like(rows)
    for t, row in enumerate(rows):
        chosen = np.argsort(-scores[t], kind="stable")[:k]
        if mixing is not None:
            shares = mixing[t][chosen]
            shares = shares / shares.sum() if normalised else shares
        else:
            e = np.exp(scores[t] - scores[t].max())
            shares = e[chosen] / (e.sum() if over_all and not normalised else e[chosen].sum())
        out[t] = sum(s * experts[c](row) for s, c in zip(shares, chosen))
    return out.reshape(shape).astype(np.float32)


def moe(name, tokens, act="relu", fusion=0, bias=True, rank=2, constant=True, third=False, k=2, hidden=32, inter=24, reference=None,
        **more):
    paired = 2 if act == "swiglu" and fusion else 1
    x = reals(tokens, hidden) if rank == 2 else reals(1, tokens, hidden)
    inputs = [x, reals(tokens, EXPERTS), reals(EXPERTS, paired * inter, hidden) / 4, reals(EXPERTS, paired * inter) if bias else None,
              reals(EXPERTS, hidden, inter) / 4, reals(EXPERTS, hidden) if bias else None]
    if third:
        inputs += [reals(EXPERTS, inter, hidden) / 4, reals(EXPERTS, inter)]
    while inputs[-1] is None:
        inputs.pop()
    fixed = [i for i in range(2, len(inputs)) if inputs[i] is not None] if constant else []
    attributes = {"k": k, "activation_type": act, **more, **({"swiglu_fusion": fusion} if fusion else {})}
    return Case(name, "MoE", inputs, tuple(fixed), tolerance=1e-4, attributes=attributes, reference=reference)


def floats():
    for tokens in (1, 5, 40, 0):
        for act in ACTIVATIONS:
            yield moe(f"{act}_{tokens}", tokens, act)
        yield moe(f"normalised_{tokens}", tokens, bias=False, rank=3, constant=False, normalize_routing_weights=1)
        yield moe(f"one_{tokens}", tokens, "silu", k=1)
        yield moe(f"every_{tokens}", tokens, "silu", k=EXPERTS, hidden=7, inter=5)
        clamped = {"activation_alpha": 1.702, "activation_beta": 1.0, "swiglu_limit": 0.5}
        yield moe(f"pairs_{tokens}", tokens, "swiglu", 1, **clamped)

        def halves(x, scores, w1, b1, w2, b2):
            gate = lambda row, e: np.split(w1[e] @ row + b1[e], 2)
            return mixture(x, scores, [lambda row, e=e: w2[e] @ swiglu(*gate(row, e)) + b2[e] for e in range(EXPERTS)], 2)

        yield moe(f"halves_{tokens}", tokens, "swiglu", 2, reference=halves)

        def apart(x, scores, w1, b1, w2, b2, w3, b3):
            between = lambda row, e: swiglu(w1[e] @ row + b1[e], w3[e] @ row + b3[e])
            return mixture(x, scores, [lambda row, e=e: w2[e] @ between(row, e) + b2[e] for e in range(EXPERTS)], 2)

        yield moe(f"apart_{tokens}", tokens, "swiglu", third=True, reference=apart)

        def gated(x, scores, w1, b1, w2, b2, w3, b3):
            between = lambda row, e: ACTIVATIONS["silu"](w1[e] @ row + b1[e]) * (w3[e] @ row + b3[e])
            return mixture(x, scores, [lambda row, e=e: w2[e] @ between(row, e) + b2[e] for e in range(EXPERTS)], 2)

        yield moe(f"gated_{tokens}", tokens, "silu", third=True, reference=gated)


def codes(packed, bits, count):
    flat = np.unpackbits(packed, axis=-1, bitorder="little")[..., : count * bits]
    return (flat.reshape(*packed.shape[:-1], count, bits) << np.arange(bits)).sum(-1).astype(np.float32)


def decoded(weights, scales, zeros, bits, block):
    inputs = weights.shape[-1] * 8 // bits
    outputs = weights.shape[1]
    if block:
        zero = 2 ** (bits - 1) if zeros is None else np.repeat(codes(zeros, bits, inputs // block), block, -1)
        return (codes(weights, bits, inputs) - zero) * np.repeat(scales, block, -1)
    zero = 2 ** (bits - 1) if zeros is None else codes(zeros, bits, outputs)[..., None]
    return (codes(weights, bits, inputs) - zero) * scales[..., None]


def qmoe(name, tokens, act="silu", fusion=0, bits=4, block=0, zeros=False, bias=False, mixing=False, k=2, hidden=64, inter=32, second=None,
         reference=None, **more):
    second = second or bits
    first_out = 2 * inter if act == "swiglu" else inter

    def projection(n, inputs, width):
        weights = u8(EXPERTS, n, inputs * width // 8)
        scales = positive(EXPERTS, n, inputs // block) if block else positive(EXPERTS, n)
        zero = u8(EXPERTS, n, (inputs // block * width + 7) // 8) if block else u8(EXPERTS, (n * width + 7) // 8)
        return weights, scales, zero if zeros else None

    w1, s1, z1 = projection(first_out, hidden, bits)
    w2, s2, z2 = projection(hidden, inter, second)
    b1, b2 = (reals(EXPERTS, first_out), reals(EXPERTS, hidden)) if bias else (None, None)
    inputs = [reals(tokens, hidden), reals(tokens, EXPERTS), w1, s1, b1, w2, s2, b2, None, None, None, z1, z2, None,
              np.abs(reals(tokens, EXPERTS)) if mixing else None]
    while inputs[-1] is None:
        inputs.pop()
    attributes = {"k": k, "activation_type": act, "expert_weight_bits": bits, **more}
    if second != bits:
        attributes["fc2_expert_weight_bits"] = second
    if block:
        attributes["block_size"] = block
    if fusion:
        attributes["swiglu_fusion"] = fusion
    fixed = tuple(i for i in (2, 3, 4, 5, 6, 7, 11, 12) if i < len(inputs) and inputs[i] is not None)

    def by_hand(x, scores, w1, s1, b1, w2, s2, b2=None, *rest):
        first, last = decoded(w1, s1, z1, bits, block), decoded(w2, s2, z2, second, block)
        def expert(e):
            def answer(row):
                h = first[e] @ row + (0 if b1 is None else b1[e])
                if fusion:
                    pair = (h[0::2], h[1::2]) if fusion == 1 else np.split(h, 2)
                    h = swiglu(*pair, more.get("activation_alpha", 1.0), more.get("activation_beta", 0.0), more.get("swiglu_limit", np.inf))
                else:
                    h = ACTIVATIONS[act](h)
                return last[e] @ h + (0 if b2 is None else b2[e])
            return answer
        return mixture(x, scores, [expert(e) for e in range(EXPERTS)], k, False, mixing=rest[-1] if mixing else None)

    return Case(name, "QMoE", inputs, fixed, tolerance=2e-4, attributes=attributes, reference=by_hand if reference else None)


def quantised():
    for tokens in (1, 5, 40, 0):
        for bits in (2, 4, 8):
            for block in (0, 16, 32):
                for zeros in (False, True):
                    # onnxruntime rounds rows of blocks of 8 bits to 8 bits as well, and of 2 bits in its tables.
                    by_hand = bool(block and bits != 4)
                    name = f"{bits}_{block}_{zeros}_{tokens}"
                    yield qmoe(name, tokens, bits=bits, block=block, zeros=zeros, bias=zeros, reference=by_hand)
        yield qmoe(f"mixing_{tokens}", tokens, mixing=True, bias=True)
        yield qmoe(f"mixing_normalised_{tokens}", tokens, mixing=True, normalize_routing_weights=1)
        clamped = {"activation_alpha": 1.702, "activation_beta": 1.0, "swiglu_limit": 0.5}
        yield qmoe(f"pairs_{tokens}", tokens, "swiglu", 1, **clamped)
        yield qmoe(f"halves_{tokens}", tokens, "swiglu", 2, zeros=True, block=32, reference=True, **clamped)
        yield qmoe(f"widths_{tokens}", tokens, block=16, second=8, reference=True)
        yield qmoe(f"three_{tokens}", tokens, "swiglu", 1, bits=3, block=32, weights_prepacked=0, reference=True)
    for act in ACTIVATIONS:
        yield qmoe(act, 5, act, zeros=True)
    # Outputs and inputs that fill no vector; more rows than one product takes at once.
    yield qmoe("odd", 9, hidden=48, inter=80, zeros=True, block=16)
    yield qmoe("odd_row", 9, hidden=40, inter=24, zeros=True)
    yield qmoe("many", 700, k=1, block=32)


CASES = [*floats(), *quantised()]


@pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
@pytest.mark.parametrize("case", named(CASES))
def test_agrees(case, plain):
    if case.inputs[0].size == 0 and case.reference is None:
        # onnxruntime divides by the number of rows.
        assert run(case, plain)[0].shape == case.inputs[0].shape
        return
    check(case, plain)


# Rounded scores may choose another expert where two are alike; these do not.
@pytest.mark.parametrize("case", named(c for c in CASES if c.inputs[0].size and "many" not in c.name))
def test_agrees_in_half(case):
    check_half(case, 1e-2)


def test_scores_that_are_no_numbers_choose_some_expert():
    case = moe("", 3, "silu")
    case.inputs[1][:] = [[np.nan, 1, np.nan, 0], [np.nan] * 4, [np.inf, -np.inf, np.inf, 0]]
    assert run(case)[0].shape == (3, 32)


def test_weights_may_have_one_form_in_many_sessions():
    case = qmoe("", 5, block=16, zeros=True)
    np.testing.assert_array_equal(run(case)[0], run(case)[0])


@pytest.mark.parametrize("change, word", [
    ({"k": 5}, "k is 5 for 4 experts"),
    ({"k": 0}, "k must be positive"),
    ({"activation_type": "tanh"}, "activation_type"),
    ({"activation_type": "swiglu"}, "swiglu_fusion"),
    ({"use_sparse_mixer": 1}, "use_sparse_mixer"),
])
def test_attributes_that_cannot_be(change, word):
    case = moe("", 3, "silu")
    case.attributes.update(change)
    with pytest.raises(Exception, match=word):
        run(case)


@pytest.mark.parametrize("i, shape", [(1, (3, 5)), (2, (4, 24, 31)), (2, (3, 24, 32)), (3, (4, 23)), (4, (4, 32, 25)), (5, (4, 31))])
def test_shapes_that_do_not_fit(i, shape):
    for constant in (False, True):
        case = moe("", 3, "silu", constant=constant)
        case.inputs[i] = reals(*shape)
        with pytest.raises(Exception, match="fit|router_probs"):
            run(case)


@pytest.mark.parametrize("i, shape", [(3, (4, 32, 3)), (11, (4, 32, 1)), (2, (4, 32, 30)), (5, (4, 64, 8))])
def test_quantised_shapes_that_do_not_fit(i, shape):
    case = qmoe("", 3, block=16, zeros=True)
    case.inputs[i] = positive(*shape) if i == 3 else u8(*shape)
    for plain in (False, True):
        with pytest.raises(Exception, match="fit|must be one for each block|block_size"):
            run(case, plain)
