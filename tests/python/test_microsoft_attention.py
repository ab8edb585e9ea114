"""Forms of attention of com.microsoft that decoders use: caches of many kinds, states, pages. Beside onnxruntime, or numpy."""
import numpy as np
import onnxruntime
import pytest

from one_node import Case, check, check_half, i32, named, reals, rng, run, scale, seed
from one_node import same_numbers  # noqa: F401: a fixture

seed()

BATCH, HEADS, KV_HEADS, SIZE = 2, 4, 2, 16
HIDDEN, KV_HIDDEN = HEADS * SIZE, KV_HEADS * SIZE
TABLES = [f((np.arange(64)[:, None] / 10 ** (np.arange(SIZE // 2) / (SIZE // 2))[None])).astype(np.float32) for f in (np.cos, np.sin)]


def placed(inputs, more):
    """The inputs, and those of a dict at their places."""
    inputs = list(inputs) + [None] * (max(more, default=-1) + 1 - len(inputs))
    for i, value in more.items():
        inputs[i] = value
    return inputs


def softmax(x, sink=None):
    top = x.max(-1, keepdims=True)
    e = np.exp(x - top)
    return e / (e.sum(-1, keepdims=True) + (0 if sink is None else np.exp(sink - top)))


# ---- GroupQueryAttention ----------------------------------------------------------------------------------------------


def group(name, length, past, last, total, more=(), outputs=3, cache=np.float32, batch=BATCH, **attributes):
    new = [reals(batch, length, size) for size in (HIDDEN, KV_HIDDEN, KV_HIDDEN)]
    width = SIZE // 2 if attributes.get("kv_cache_bit_width") == 4 else SIZE
    limits = (0, 1) if cache == np.float32 else (np.iinfo(cache).min, np.iinfo(cache).max + 1)
    caches = [rng.integers(*limits, (batch, KV_HEADS, past, width)).astype(cache) for _ in range(2)]
    if cache == np.float32:
        caches = [reals(*c.shape) for c in caches]
    inputs = placed([*new, *caches, i32(last), i32([total])], dict(more))
    return Case(name, "GroupQueryAttention", inputs, (6,), outputs, attributes={"num_heads": HEADS, "kv_num_heads": KV_HEADS, **attributes},
                kept=(12, 13))


def grouped():
    for name, at in {"prompt": (5, 0, [4, 4], 5), "next": (1, 6, [6, 4], 7), "buffer": (1, 12, [6, 4], 9)}.items():
        yield group(f"sink_{name}", *at, {11: reals(HEADS)})
        yield group(f"sink_window_{name}", *at, {11: reals(HEADS)}, local_window_size=3)
        yield group(f"smooth_{name}", *at, smooth_softmax=1, softcap=1.5)
        for shown in (1, 2):
            yield group(f"scores_{shown}_{name}", *at, outputs=4, qk_output=shown, softcap=1.0)
        turned = {7: TABLES[0], 8: TABLES[1]}
        yield group(f"positions_{name}", *at, {**turned, 9: rng.integers(0, 60, (BATCH, at[0])).astype(np.int64)}, do_rotary=1)
        if name != "buffer":
            yield group(f"bias_{name}", *at, {10: reals(1, HEADS, at[0], at[3])}, do_rotary=0)
        for bits, kind in ((8, np.int8), (4, np.uint8)):
            # Neither a scale that clamps nor one that rounds all to zero.
            size = 0.03 if bits == 8 else 0.3
            for way, shape in (("PER_TENSOR", (1,)), ("PER_CHANNEL", (1, KV_HEADS, 1, SIZE))):
                scales = {12: np.abs(reals(*shape)) * np.float32(0.01) + np.float32(size), 13: np.full(shape, size, np.float32)}
                quantised = {"k_quant_type": way, "v_quant_type": way, "kv_cache_bit_width": bits}
                yield group(f"bits_{bits}_{way}_{name}", *at, {**scales, **turned}, cache=kind, do_rotary=1, **quantised)
    yield group("both_ways", 5, 0, [4, 4], 5, causal=0)


def turned(x, place, half=SIZE // 2):
    cos, sin = TABLES[0][place], TABLES[1][place]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], -1)


def normed(x, by):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * by


def test_norms_of_queries_and_keys():
    """onnxruntime's CPU provider refuses them."""
    weights = {7: TABLES[0], 8: TABLES[1], 14: reals(SIZE), 15: reals(SIZE)}
    case = group("", 3, 4, [6], 7, weights, batch=1, do_rotary=1)
    y, keys, values = run(case)
    q, k, v, past_k, past_v = case.inputs[:5]
    heads = lambda x: x.reshape(1, 3, -1, SIZE).transpose(0, 2, 1, 3)
    places = np.arange(4, 7)
    q, k = turned(normed(heads(q), weights[14]), places), turned(normed(heads(k), weights[15]), places)
    k, v = np.concatenate([past_k, k], 2), np.concatenate([past_v, heads(v)], 2)
    np.testing.assert_allclose(keys, k, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(values, v)
    scores = q @ np.repeat(k, 2, 1).transpose(0, 1, 3, 2) / 4 + np.triu(np.full((3, 7), -np.inf), 5)
    want = (softmax(scores) @ np.repeat(v, 2, 1)).transpose(0, 2, 1, 3).reshape(1, 3, HIDDEN)
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("counts", [[3, 5], [0, 2], [1, 1]])
def test_padded_chunks_of_queries(counts):
    """Rows of padding are unspecified; so are rows of the cache behind the last one."""
    case = group("", 5, 8, [6, 4], 13, {7: TABLES[0], 8: TABLES[1], 16: i32(counts)}, do_rotary=1)
    want, got = case.expected(), run(case)
    for b, count in enumerate(counts):
        np.testing.assert_allclose(got[0][b, :count], want[0][b, :count], rtol=1e-4, atol=1e-5)
        rows = case.inputs[5][b] + 1
        for o in (1, 2):
            np.testing.assert_allclose(got[o][b, :, :rows], want[o][b, :, :rows], rtol=1e-5, atol=1e-5)


def resident(length, rows, window):
    slack = rows - window + 1
    return length if length <= rows else length - slack * -(-(length - rows) // slack)


@pytest.mark.parametrize("bits", [32, 8])
@pytest.mark.parametrize("length, last", [(1, [6, 8]), (1, [2, 5]), (1, [20, 11]), (5, [9]), (5, [22]), (12, [11])])
@pytest.mark.parametrize("rows, window", [(8, 4), (4, 4), (6, 5)])
def test_a_cache_that_slides(rows, window, length, last, bits):
    more = {7: TABLES[0], 8: TABLES[1]}
    kind, attributes = np.float32, {}
    if bits == 8:
        more |= {12: scale([0.03]), 13: scale([0.03])}
        kind, attributes = np.int8, {"k_quant_type": "PER_TENSOR", "v_quant_type": "PER_TENSOR", "kv_cache_bit_width": 8}
    case = group("", length, rows, last, max(last) + 1, more, cache=kind, batch=len(last), do_rotary=1, sliding_window_cache=1,
                 local_window_size=window, **attributes)
    want, got = case.expected(), run(case)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-4, atol=1e-5)
    for b, at in enumerate(last):
        kept = resident(at + 1, rows, window)
        for o in (1, 2):
            ours, theirs = (x[o][b, :, :kept].astype(np.float32) for x in (got, want))
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("counts", [[6, 2], [-1, 2], [5, 6]])
def test_more_queries_than_there_are(counts):
    with pytest.raises(Exception, match="seqlens_k of sample"):
        run(group("", 5, 8, [6, 4], 13, {16: i32(counts)}))


# ---- MultiHeadAttention with a cache of its final size -------------------------------------------------------------------


def shared():
    heads = {"num_heads": HEADS}
    same = {**heads, "past_present_share_buffer": 1}
    for past in (0, 3, 11):
        new, cache = [reals(BATCH, 1, HIDDEN) for _ in range(3)], [reals(BATCH, HEADS, 12, SIZE) for _ in range(2)]
        mask = rng.integers(0, 2, (BATCH, past + 1)).astype(np.int32)
        mask[:, -1] = 1
        bias, beams = reals(1, HEADS, 1, past + 1), rng.integers(0, 2, (1, 2, 12)).astype(np.int32)
        at, both = i32([past]), reals(3 * HIDDEN)
        yield Case(f"shared_{past}", "MultiHeadAttention", [*new, None, None, None, *cache, at], (8,), 3, attributes=heads)
        yield Case(f"shared_bias_{past}", "MultiHeadAttention", [*new, both, None, bias, *cache, at], (3, 8), 3, attributes=heads)
        yield Case(f"shared_mask_{past}", "MultiHeadAttention", [*new, None, mask, None, *cache, at], (), 3, attributes=heads)
        yield Case(f"beams_{past}", "MultiHeadAttention", [*new, None, None, None, *cache, at, beams], (8,), 3, attributes=heads)
        op = "DecoderMaskedMultiHeadAttention"
        yield Case(f"shared_{past}", op, [*new, None, None, *cache, at], (), 3, attributes=same)
        yield Case(f"shared_masks_{past}", op, [*new, mask, bias, *cache, at], (7,), 3, 1e-4, attributes=same)
        yield Case(f"beams_{past}", op, [*new, None, None, *cache, at, i32([2]), beams, reals(3 * HIDDEN)], (7, 8, 10), 3, attributes=same)
    other = [reals(BATCH, HEADS, 6, SIZE) for _ in range(2)]
    mask = i32([[1, 1, 0, 1, 0, 0], [0, 1, 1, 1, 1, 1]])
    yield Case("cross", op, [new[0], *other, mask], attributes={**heads, "scale": 0.2})
    yield Case("alone", op, new, attributes=heads)


@pytest.mark.parametrize("past", [-1, 12, 2**31 - 1])
def test_a_cache_that_is_too_short(past):
    inputs = [*(reals(1, 1, HIDDEN) for _ in range(3)), None, None, None, *(reals(1, HEADS, 12, SIZE) for _ in range(2)), i32([past])]
    with pytest.raises(Exception, match="past_sequence_length is"):
        run(Case("", "MultiHeadAttention", inputs, (), 3, attributes={"num_heads": HEADS}))


def test_a_beam_that_is_none():
    inputs = [*(reals(2, 1, HIDDEN) for _ in range(3)), None, None, None, *(reals(2, HEADS, 4, SIZE) for _ in range(2)), i32([3])]
    with pytest.raises(Exception, match="cache_indirection has 5"):
        run(Case("", "MultiHeadAttention", [*inputs, np.full((1, 2, 4), 5, np.int32)], (), 3, attributes={"num_heads": HEADS}))


def test_a_masked_decoder_is_its_parts():
    """onnxruntime's CPU provider has no DecoderMaskedSelfAttention, and packed operands only with a shared cache."""
    x, weight, bias, past = reals(BATCH, 1, HIDDEN), reals(HIDDEN, 3 * HIDDEN) / 8, reals(3 * HIDDEN), reals(2, BATCH, HEADS, 5, SIZE)
    qkv = np.split((x @ weight + bias).astype(np.float32), 3, -1)
    heads = {"num_heads": HEADS}
    want = run(Case("", "MultiHeadAttention", [*qkv, None, None, None, *past], (), 3, attributes=heads))
    inputs = [np.concatenate(qkv, -1), None, None, None, None, *past]
    packed = run(Case("", "DecoderMaskedMultiHeadAttention", inputs, (), 3, attributes=heads))
    whole = run(Case("", "DecoderMaskedSelfAttention", [x, weight, bias, None, past], (1, 2), 2, attributes=heads))
    for a, b in zip(packed, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(whole[0], want[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(whole[1], np.stack(want[1:]), rtol=1e-4, atol=1e-5)


# ---- SparseAttention: onnxruntime wants past and present at one address -----------------------------------------------------


def sparse(length, total, lengths, layouts, packed=False, **attributes):
    blocks = [np.tril(rng.random((4, 4)) < 0.6) | np.eye(4, dtype=bool) for _ in range(layouts)]
    columns = [np.nonzero(b)[1] for b in blocks]
    width = max(map(len, columns))
    new = [reals(BATCH, length, HIDDEN), reals(BATCH, length, KV_HIDDEN), reals(BATCH, length, KV_HIDDEN)]
    if packed:
        new = [reals(BATCH, length, HIDDEN + 2 * KV_HIDDEN), None, None]
    rows = [np.concatenate([[0], np.cumsum(b.sum(1))]) for b in blocks]
    lists = [rows, [np.pad(c, (0, width - len(c)), constant_values=-1) for c in columns]]
    caches = [reals(BATCH, KV_HEADS, 64, SIZE) for _ in range(2)]
    inputs = [*new, *caches, *(np.array(x, np.int32) for x in lists), i32([total]), i32(lengths)]
    if attributes.get("do_rotary"):
        inputs += TABLES
    return Case("", "SparseAttention", inputs, (), 3,
                attributes={"num_heads": HEADS, "kv_num_heads": KV_HEADS, "sparse_block_size": 16, **attributes})


@pytest.mark.parametrize("layouts", [1, 2])
@pytest.mark.parametrize("attributes", [{}, {"do_rotary": 1}, {"do_rotary": 1, "rotary_interleaved": 1, "scale": 0.3, "packed": True}])
@pytest.mark.parametrize("at", [(40, 40, [40, 40]), (1, 50, [50, 50]), (1, 64, [64, 64])])
def test_blocks_of_keys(at, attributes, layouts):
    case = sparse(*at, layouts, **attributes)
    model, feeds = case.model()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, value in feeds.items():
        tensor = onnxruntime.OrtValue.ortvalue_from_numpy(value.copy())
        binding.bind_ortvalue_input(name, tensor)
        if name in ("i3", "i4"):
            binding.bind_ortvalue_output("o1" if name == "i3" else "o2", tensor)
    binding.bind_output("o0")
    session.run_with_iobinding(binding)
    # In the order in which they were bound.
    want = dict(zip(("o1", "o2", "o0"), (o.numpy() for o in binding.get_outputs()), strict=True))
    for plain in (False, True):
        got = run(case, plain)
        np.testing.assert_allclose(got[0], want["o0"], rtol=1e-4, atol=1e-5)
        for o, rows in ((1, "o1"), (2, "o2")):
            for b, length in enumerate(at[2]):
                np.testing.assert_allclose(got[o][b, :, :length], want[rows][b, :, :length], rtol=1e-5, atol=1e-5)


def test_blocks_of_keys_for_samples_of_different_length():
    """Each sample is what it is alone; onnxruntime's CPU provider takes blocks of the longest."""
    case = sparse(1, 50, [50, 33], 2)
    whole = run(case)
    for b, length in enumerate([50, 33]):
        alone = [x[b : b + 1] if k < 5 else x for k, x in enumerate(case.inputs)]
        alone[7], alone[8] = i32([length]), i32([length])
        for got, want in zip(whole, run(Case("", case.op, alone, (), 3, attributes=case.attributes)), strict=True):
            np.testing.assert_allclose(got[b : b + 1], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change, word", [((5, 99), "block_row_indices"), ((6, 7), "block_col_indices"), ((8, 99), "key_total")])
def test_lists_of_blocks_that_cannot_be(change, word):
    case = sparse(1, 50, [50, 33], 1)
    case.inputs[change[0]] = np.full_like(case.inputs[change[0]], change[1])
    if change[0] == 5:
        case.inputs[5][0, 0] = 0
    with pytest.raises(Exception, match=word):
        run(case)


# ---- PagedAttention: onnxruntime has it for CUDA only -----------------------------------------------------------------------


@pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
@pytest.mark.parametrize("way", ["", "packed", "window", "capped", "sinks", "turned", "normed", "slots", "both_ways"])
def test_pages(way, plain):
    lengths, past, pages, rows, most = [3, 1, 0, 4], [4, 0, 3, 6], 12, 4, 3
    tokens = sum(lengths)
    q, k, v = (reals(tokens, width) for width in (HIDDEN, KV_HIDDEN, KV_HIDDEN))
    caches = [reals(pages, rows, KV_HEADS, SIZE) for _ in range(2)]
    table = rng.permutation(pages).reshape(4, most).astype(np.int32)
    more, attributes = {}, {"num_heads": HEADS, "kv_num_heads": KV_HEADS}
    where = lambda b, places: np.array([table[b, p // rows] * rows + p % rows for p in places], np.int32)
    slots = np.concatenate([where(b, range(past[b], past[b] + n)) for b, n in enumerate(lengths)])
    match way:
        case "window": attributes["local_window_size"] = 3
        case "capped": attributes["softcap"] = 0.8
        case "sinks": more[11] = reals(HEADS)
        case "turned": attributes["do_rotary"], more[8], more[9] = 1, *TABLES
        case "normed": more[12], more[13] = reals(SIZE), reals(SIZE)
        case "slots":
            more[10] = slots = slots.copy()
            slots[1] = -1
        case "both_ways": attributes["is_causal"] = 0
    new = [np.concatenate([q, k, v], 1), None, None] if way == "packed" else [q, k, v]
    inputs = placed([*new, *caches, i32(np.concatenate([[0], np.cumsum(lengths)])), i32(past), table], more)
    y, keys, values = run(Case("", "PagedAttention", inputs, (), 3, attributes=attributes), plain)

    heads = [x.reshape(tokens, -1, SIZE) for x in (q, k, v)]
    place = np.concatenate([np.arange(past[b], past[b] + n) for b, n in enumerate(lengths)]).astype(int)
    if way == "normed":
        heads[:2] = normed(heads[0], more[12]), normed(heads[1], more[13])
    if way == "turned":
        heads[:2] = (turned(x, place[:, None]) for x in heads[:2])
    whole = [c.copy().reshape(-1, KV_HEADS, SIZE) for c in caches]
    for t in range(tokens):
        if slots[t] >= 0:
            whole[0][slots[t]], whole[1][slots[t]] = heads[1][t], heads[2][t]
    np.testing.assert_allclose(keys, whole[0].reshape(keys.shape), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(values, whole[1].reshape(values.shape), rtol=1e-5, atol=1e-5)
    t = 0
    for b, n in enumerate(lengths):
        at = where(b, range(past[b] + n))
        for i in range(n):
            end = past[b] + (n if way == "both_ways" else i + 1)
            seen = at[max(0, past[b] + i - 2) if way == "window" else 0 : end]
            kk, vv = (np.repeat(w[seen], 2, 1) for w in whole)
            scores = np.einsum("hd,khd->hk", heads[0][t], kk) / 4
            if way == "capped":
                scores = 0.8 * np.tanh(scores / 0.8)
            shares = softmax(scores, more[11][:, None] if way == "sinks" else None)
            np.testing.assert_allclose(y[t].reshape(HEADS, SIZE), np.einsum("hk,khd->hd", shares, vv), rtol=1e-4, atol=1e-5)
            t += 1


@pytest.mark.parametrize("ends, past", [([0, 3, 2], [0, 0]), ([0, 1, 9], [0, 0]), ([0, 1, 2], [99, -1]), ([1, 1, 2], [0, 0])])
def test_pages_of_samples_that_cannot_be(ends, past):
    new, caches = [reals(2, width) for width in (HIDDEN, KV_HIDDEN, KV_HIDDEN)], [reals(4, 4, KV_HEADS, SIZE) for _ in range(2)]
    inputs = [*new, *caches, i32(ends), i32(past), i32([[0, 1], [2, 3]])]
    with pytest.raises(Exception, match="is in no sample"):
        run(Case("", "PagedAttention", inputs, (), 3, attributes={"num_heads": HEADS, "kv_num_heads": KV_HEADS}))


# ---- states -----------------------------------------------------------------------------------------------------------------


def states():
    for rule in ("linear", "gated", "delta", "gated_delta"):
        for q_heads, heads in ((4, 4), (4, 2), (2, 4)):
            for tokens in (1, 5, 0):
                for wide in (1, 8):
                    gate = -np.abs(reals(BATCH, tokens, heads * wide)) if "gated" in rule else None
                    beta = np.abs(reals(BATCH, tokens, 1 if tokens == 5 else heads)) if "delta" in rule else None
                    past = reals(BATCH, heads, 8, 6) if wide == 1 else None
                    q, k, v = (reals(BATCH, tokens, width) for width in (q_heads * 8, heads * 8, heads * 6))
                    inputs = [q, k / 3, v, past, gate, beta]
                    while inputs[-1] is None:
                        inputs.pop()
                    attributes = {"q_num_heads": q_heads, "kv_num_heads": heads, "update_rule": rule}
                    yield Case(f"{rule}_{q_heads}_{heads}_{tokens}_{wide}", "LinearAttention", inputs, (), 2, 1e-4, attributes)
    for rule in ("linear", "gated", "delta", "gated_delta"):
        for act in ("none", "softplus", "sigmoid"):
            for wide in (1, 8) if "gated" in rule else (1,):
                for unit in (0, 1):
                    gate = (-np.abs(reals(6, 4)) if wide == 1 else -np.abs(reals(6, 4, 8))) if "gated" in rule else None
                    beta = np.abs(reals(6, 4)) if "delta" in rule else None
                    ends = i32([0, 2, 6]) if unit else None
                    inputs = [reals(6, 2, 8), reals(6, 2, 8) / 3, reals(6, 4, 6), ends, gate, beta, reals(2, 4, 6, 8)]
                    if act != "none":
                        inputs += [reals(4), reals(4) if wide == 1 else reals(4, 8)]
                    attributes = {"update_rule": rule, "gate_activation": act, "qk_l2_norm": unit}
                    attributes["beta_activation"] = "sigmoid" if unit else "none"
                    yield Case(f"{rule}_{act}_{wide}_{unit}", "GatedDeltaNet", inputs, (), 2, 1e-4, attributes, kept=(6, 7, 8))
    gate = [None, -np.abs(reals(6, 4)), np.abs(reals(6, 4)), reals(2, 4, 6, 8)]
    yield Case("packed", "GatedDeltaNet", [reals(6, 2 * 2 * 8 + 4 * 6) / 3, None, None, *gate], (), 2, 1e-4, kept=(6,))
    split = [reals(2, 3, 2, 8), reals(2, 3, 2, 8) / 3, reals(2, 3, 4, 6), None, *(x.reshape(2, 3, 4) for x in gate[1:3]), gate[3]]
    yield Case("batched", "GatedDeltaNet", split, (), 2, 1e-4, kept=(6,))
    for act in ("none", "silu", "swish"):
        for last in (0, 1):
            for dilation in (1, 2):
                for tokens in (1, 5, 2):
                    for old in (0, 1):
                        reach = 3 * dilation
                        x = reals(BATCH, tokens, 6) if last else reals(BATCH, 6, tokens)
                        past = reals(BATCH, reach, 6) if last else reals(BATCH, 6, reach)
                        inputs = [x, reals(6, 1, 4), reals(6), past][: 3 + old]
                        attributes = {"activation": act, "channels_last": last, "dilation": dilation}
                        name = f"{act}_{last}_{dilation}_{tokens}_{old}"
                        yield Case(name, "CausalConvWithState", inputs, (1, 2), 2, attributes=attributes)
    packed = [reals(9, 6), reals(6, 1, 4), i32([0, 4, 5, 9]), reals(6), reals(3, 6, 6)]
    yield Case("packed", "VarlenCausalConvWithState", packed, (1,), 2, attributes={"activation": "silu", "dilation": 2})


@pytest.mark.parametrize("tokens", [1, 5, 2])
@pytest.mark.parametrize("op", ["LinearAttention", "CausalConvWithState"])
def test_a_window_of_states(op, tokens):
    """Each slot is the state after a prefix; onnxruntime's CPU provider has no window."""
    window = 3
    if op == "LinearAttention":
        x = [reals(BATCH, tokens, 32), reals(BATCH, tokens, 32) / 3, reals(BATCH, tokens, 24)]
        state, attributes = reals(BATCH, 4, 8, 6), {"q_num_heads": 4, "kv_num_heads": 4, "update_rule": "linear"}
        prefix = lambda n: [*(v[:, :n] for v in x), state]
    else:
        x, weights = reals(BATCH, 6, tokens), [reals(6, 1, 4), reals(6)]
        state, attributes = reals(BATCH, 6, 3), {}
        prefix = lambda n: [x[:, :, :n], *weights, state]
    inputs = prefix(tokens)
    inputs[3] = np.stack([reals(*state.shape), reals(*state.shape), state])
    y, slots = run(Case("", op, inputs, (), 2, attributes={**attributes, "state_window": window}))
    assert slots.shape == (window, *state.shape)
    np.testing.assert_allclose(y, run(Case("", op, prefix(tokens), (), 2, attributes=attributes))[0], rtol=1e-5, atol=1e-5)
    for j in range(window):
        seen = tokens - (window - 1 - j)
        want = run(Case("", op, prefix(seen), (), 2, attributes=attributes))[1] if seen > 0 else np.zeros_like(state)
        np.testing.assert_allclose(slots[j], want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ends", [[0, 5, 2], [-1, 2, 6], [0, 2, 99]])
def test_samples_that_cannot_be(ends):
    inputs = [reals(6, 2, 8), reals(6, 2, 8), reals(6, 4, 6), i32(ends), -np.abs(reals(6, 4)), np.abs(reals(6, 4)), reals(2, 4, 6, 8)]
    with pytest.raises(Exception, match="cu_seqlens goes from"):
        run(Case("", "GatedDeltaNet", inputs, (), 2))
    with pytest.raises(Exception, match="cumulative_sequence_length goes from"):
        run(Case("", "VarlenCausalConvWithState", [reals(6, 6), reals(6, 1, 4), i32(ends), reals(6), reals(2, 6, 3)], (), 2))


# ---- three positions a token --------------------------------------------------------------------------------------------------


def positions():
    where = rng.integers(0, 60, (3, BATCH, 5)).astype(np.int64)
    for layout in (0, 1):
        for section in ([4, 2, 2], [2, 3, 3], [8, 0, 0]):
            for pairs in (0, 1):
                attributes = {"mrope_section": section, "mrope_layout": layout, "interleaved": pairs}
                name = f"{layout}_{section[0]}_{pairs}"
                yield Case(name, "MRotaryEmbedding", [reals(BATCH, HEADS, 5, SIZE), where, *TABLES], (2, 3), attributes=attributes)
    part = {"mrope_section": [4, 2, 2], "num_heads": 2, "rotary_embedding_dim": SIZE}
    yield Case("part", "MRotaryEmbedding", [reals(BATCH, 5, 4 * SIZE), where, *TABLES], (2, 3), attributes=part)
    flat = reals(BATCH, 5, HIDDEN)
    yield Case("scaled", "RotaryEmbedding", [flat, where[0], *TABLES], (2, 3), attributes={"scale": 2.0, "is_packed_batching": 1})


def test_a_position_outside_the_tables():
    where = np.full((3, 1, 5), 64, np.int64)
    with pytest.raises(Exception, match="position 64 is outside 64"):
        run(Case("", "MRotaryEmbedding", [reals(1, HEADS, 5, SIZE), where, *TABLES], attributes={"mrope_section": [4, 2, 2]}))


CASES = [*grouped(), *shared(), *states(), *positions()]


@pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
@pytest.mark.parametrize("case", named(CASES))
def test_agrees(case, plain):
    check(case, plain)


# A quantised cache may round to the next step where operands were rounded before.
@pytest.mark.parametrize("case", named(c for c in CASES if "bits" not in c.name))
def test_agrees_in_half(case):
    check_half(case)
