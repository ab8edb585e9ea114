"""Numbers to small numbers and back, and products of small numbers."""
import ml_dtypes
import numpy as np

from ops.recipe import recipe
from ops.values import F, I, N, P, V

ZERO_POINT = lambda t: t.element("T3" if "T3" in t.chosen else "T2")  # noqa: E731
recipe("QuantizeLinear", [N([0, 1, -2, 3, 100, -100]), N(2), N(0)], until=22, expect=lambda i, a, t: [quantize(i[0], 2, ZERO_POINT(t))])
recipe("QuantizeLinear", [N([0, 1, -2, 3, 100, -100]), N(1), N(0)], since=23, types={"T2": lambda t: t["T1"]},
       expect=lambda i, a, t: [quantize(i[0], float(i[1]), ZERO_POINT(t))])
recipe("QuantizeLinear", [N([0, 1, 2, 3]), N(1), N(0)], since=23, types={"T1": lambda t: t["T2"] if t.element("T2") != "float8e8m0" else "tensor(float)"},
       expect=lambda i, a, t: [quantize(i[0], float(i[1]), ZERO_POINT(t))])
recipe("QuantizeLinear", [V(2, 4), P(4), F(np.array([1, 2, 3, 4], np.uint8))], since=13, axis=1, sweep=False)
recipe("QuantizeLinear", [V(2, 4), P(2, 2)], since=21, axis=1, block_size=2, sweep=False, types={"T3": lambda t: "tensor(uint8)"})

LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767), "int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3)}
LARGEST = {"float8e4m3fn": 448, "float8e4m3fnuz": 240, "float8e5m2": 57344, "float8e5m2fnuz": 57344, "float4e2m1": 6, "float6e2m3": 7.5, "float6e3m2": 28}


def quantize(x, scale, to):
    y = x.astype(np.float64) / scale
    if to in LIMITS:
        return np.clip(np.rint(y), *LIMITS[to]).astype(np.int64)
    return np.clip(y, -LARGEST[to], LARGEST[to]).astype(np.float32)


def dequantized(i, a, t):
    zero = 0 if len(i) < 3 or i[2] is None else i[2].astype(np.float64)
    return [(i[0].astype(np.float64) - zero) * i[1].astype(np.float64)]


recipe("DequantizeLinear", [N([0, 1, 2, 3]), N(0.5), N(0)], only=lambda t: t.element("T1", t.get("T")) != "int32", expect=dequantized,
       types={"T3": lambda t: t["T2"]} , until=22)
recipe("DequantizeLinear", [N([0, 1, 2, 3]), N(0.5)], only=lambda t: t.element("T1", t.get("T")) == "int32", expect=dequantized, types={"T3": lambda t: t["T2"]}, until=22)
recipe("DequantizeLinear", [N([0, 1, 2, 3]), N(1), N(0)], since=23, only=lambda t: t.element("T1") != "int32",
       types={"T2": lambda t: "tensor(float)"}, output_dtype=lambda t: t.number("T3"), expect=dequantized)
recipe("DequantizeLinear", [N([0, 1, 2, 3]), N(1)], since=23, output_dtype=lambda t: t.number("T3"),
       expect=lambda i, a, t: [i[0].astype(np.float64) * i[1].astype(np.float64)])
recipe("DequantizeLinear", [N([[0, 1, 2, 3], [3, 2, 1, 0]]), P(4), I([0, 1, 2, 3])], since=13, axis=1, sweep=False, types={"T1": lambda t: "tensor(uint8)"}, expect=dequantized)
recipe("DynamicQuantizeLinear", [V(2, 5)], outputs=3)
SCALE = {"float": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
SMALL = ("uint8", "int8")
recipe("QLinearMatMul", [N([[1, 2, 3], [0, 1, 2]]), N(0.5), N(1), N([[1, 2], [3, 0], [1, 1]]), N(0.5), N(0), N(0.5), N(2)],
       only=lambda t: len({t.element(k) in SMALL for k in ("T1", "T2", "T3")}) == 1, expect=lambda i, a, t: [qmatmul(i, t.element("T3"))])


def qmatmul(i, to):
    y = (i[0].astype(np.float64) - i[2].astype(np.float64)) * float(i[1]) @ ((i[3].astype(np.float64) - i[5].astype(np.float64)) * float(i[4]))
    if to in LIMITS:
        return np.clip(np.rint(y / float(i[6])) + float(i[7]), *LIMITS[to])
    return np.clip(y / float(i[6]) + float(i[7].astype(np.float32)), -LARGEST[to], LARGEST[to]).astype(np.float32)


F32 = lambda v: F(np.array(v, np.float32))  # noqa: E731
recipe("QLinearConv", [N([[[[1, 2, 3], [0, 1, 2], [3, 1, 1]]]]), F32(0.5), N(1), N([[[[1, 2], [3, 0]]]]), F32(0.5), N(0), F32(0.5), N(2), I([4])],
       expect=lambda i, a, t: [qconv(i, t.element("T3"))])


def qconv(i, to):
    x, w = i[0].astype(np.float64)[0, 0] - float(i[2]), i[3].astype(np.float64)[0, 0] - float(i[5])
    acc = np.array([[(x[y:y + 2, z:z + 2] * w).sum() + float(i[8][0]) for z in range(2)] for y in range(2)])
    return np.clip(np.rint(acc * 0.25 / 0.5) + float(i[7]), *LIMITS[to]).reshape(1, 1, 2, 2)
