"""One value in, one value out; two values with broadcasting; choices and logic."""
import math

import numpy as np

from ops.recipe import recipe
from ops.values import B, F, I, N, OMITTED, P, U, V, W

erf = np.vectorize(math.erf, otypes=[np.float64])
for op in ("Abs", "Ceil", "Cos", "Cosh", "Elu", "Exp", "Floor", "HardSigmoid", "LeakyRelu", "Mish", "Neg", "Relu", "Round", "Sigmoid",
           "Sign", "Sin", "Sinh", "Softplus", "Tan", "Tanh", "ThresholdedRelu", "Atan", "Asinh", "Celu", "Swish", "Shrink"):
    recipe(op, [V(2, 5)])
    recipe(op, [V()], sweep=False)
    recipe(op, [V(0, 3)], sweep=False)
EXACT = {"Erf": erf, "Gelu": lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))), "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1), "Softsign": lambda x: x / (1 + np.abs(x))}
for op, f in EXACT.items():  # the evaluator rounds these to float32
    for shape in ((2, 5), (), (0, 3)):
        recipe(op, [V(*shape)], sweep=shape == (2, 5), expect=lambda i, a, t, f=f: [f(i[0].astype(np.float64))])
for op in ("Acos", "Asin"):
    recipe(op, [U(2, 4)])
recipe("Atanh", [N([0.25, -0.5, 0, 0.5])])
for op in ("Acosh", "Log", "Sqrt", "Reciprocal"):
    recipe(op, [P(2, 5)])
recipe("BitwiseNot", [V(2, 5)])
recipe("Not", [B(2, 3)])
recipe("Gelu", [V(2, 5)], sweep=False, approximate="tanh")
recipe("Elu", [V(2, 5)], sweep=False, alpha=0.5)
recipe("Selu", [V(2, 5)], sweep=False, alpha=2.0, gamma=0.5)


def selu(i, a, t):
    alpha, gamma = map(float, (np.float32(1.6732), np.float32(1.0507)) if t.version < 6 else (np.float32(1.67326319217681884765625), np.float32(1.05070102214813232421875)))
    x = i[0].astype(np.float64)
    return [gamma * np.where(x > 0, x, alpha * (np.exp(x) - 1))]


for shape in ((2, 5), (), (0, 3)):
    recipe("Selu", [V(*shape)], sweep=shape == (2, 5), expect=selu)
recipe("LeakyRelu", [V(2, 5)], sweep=False, alpha=-0.5)
recipe("Celu", [V(2, 5)], sweep=False, alpha=2.0)
recipe("Swish", [V(2, 5)], sweep=False, alpha=0.5)
recipe("HardSigmoid", [V(2, 5)], sweep=False, alpha=0.5, beta=0.25)
recipe("ThresholdedRelu", [V(2, 5)], sweep=False, alpha=-0.5)
recipe("Shrink", [V(2, 5)], sweep=False, lambd=1.0, bias=0.5)
recipe("SwiGLU", [V(2, 4), W(2, 4)])
recipe("SwiGLU", [V(2, 4), W(2, 4)], sweep=False, alpha=0.5)

ODD = [np.nan, np.inf, -np.inf, 0, 1.5, -2]
for op in ("IsNaN", "IsInf"):
    recipe(op, [N(ODD)], only=lambda t: "float8" not in t.element("T1"))
    recipe(op, [N([0, 1, -2, 1.5])])
recipe("IsInf", [N(ODD)], sweep=False, detect_negative=0)
recipe("IsInf", [N(ODD)], sweep=False, detect_positive=0)

for op in ("Add", "Mul", "Sub", "Div"):
    recipe(op, [V(2, 1, 3), W(4, 3)], since=7)
    recipe(op, [V(2, 3), W(2, 3)], until=6)
    recipe(op, [V(2, 3, 2), W(3)], until=6, broadcast=1, axis=1)
    recipe(op, [V(2, 3, 2), W(3, 2)], until=6, broadcast=1)
    recipe(op, [V(), W(3)], since=7, sweep=False)
    recipe(op, [V(0, 3), W(1, 3)], since=7, sweep=False)
TRUNCATED = {"expect": lambda i, a, t: [np.trunc(i[0].astype(float) / i[1]) if i[0].dtype.kind in "iu" else i[0].astype(np.float64) / i[1].astype(np.float64)]}
recipe("Div", [N([7, -7, 7, -7]), N([2, 2, -2, -2])], since=7, **TRUNCATED)
recipe("Mod", [N([5, -5, 5, -5, 0]), N([3, 3, -3, -3, 2])], only=lambda t: t.element("T") not in FLOATING or t.version >= 28)
recipe("Mod", [N([5, -5, 5.5, -5, 0]), N([3, 3, -3, -3, 2])], fmod=1)
FLOATING = {"float", "double", "float16", "bfloat16"}
recipe("Pow", [P(2, 1, 3), P(4, 3)], since=7, types={"T1": lambda t: "tensor(float)" if t.version >= 12 else None},
       expect=lambda i, a, t: [i[0].astype(np.float64) ** i[1].astype(np.float64)])
recipe("Pow", [P(2, 3), P(2, 3)], until=6)
recipe("Pow", [P(2, 3, 2), P(3)], until=6, broadcast=1, axis=1)
recipe("PRelu", [V(2, 3, 4), V(3, 1)], since=7)
recipe("PRelu", [V(2, 3, 4), V(3)], until=6, expect=lambda i, a, t: [np.where(i[0] < 0, i[0] * i[1].reshape(3, 1), i[0])])

for op in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"):
    recipe(op, [V(2, 1, 5), V(4, 5)], since=7)
    recipe(op, [V(2, 5), V(2, 5)], until=6)
    recipe(op, [V(2, 5), V(5)], until=6, broadcast=1)
for op in ("And", "Or", "Xor"):
    recipe(op, [B(2, 1, 3), B(4, 3)], since=7)
    recipe(op, [B(2, 3), B(2, 3)], until=6)
    recipe(op, [B(2, 3), B(3)], until=6, broadcast=1)
for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
    recipe(op, [V(2, 1, 3), W(4, 3)])
for way in ("LEFT", "RIGHT"):
    recipe("BitShift", [P(2, 3), I([1, 0, 2])], direction=way)

recipe("Mean", [V(2, 1, 3), W(4, 3), V(1)], since=8, expect=lambda i, a, t: [sum(v.astype(np.float64) for v in i) / 3])
recipe("Mean", [V(2, 3), W(2, 3)], until=7)
for op in ("Max", "Min", "Sum"):
    recipe(op, [V(2, 1, 3), W(4, 3), V(1)], since=8)
    recipe(op, [V(2, 3), W(2, 3)], until=7)
    recipe(op, [V(2, 3)], sweep=False)
recipe("Max", [N([np.nan, 1, -np.inf]), N([0, np.nan, 2])], sweep=False, since=8)
recipe("Min", [N([np.nan, 1, -np.inf]), N([0, np.nan, 2])], sweep=False, since=8)
recipe("Clip", [V(2, 5), N(-1), N(1)], since=11)
recipe("Clip", [V(2, 5), OMITTED, N(1)], since=11, sweep=False)
recipe("Clip", [V(2, 5), N(-1)], since=11, sweep=False)
recipe("Clip", [V(2, 5)], until=10, min=-1.0, max=1.0, oracle=(6, {}))
recipe("Clip", [V(2, 5)], until=10, max=0.5, sweep=False, oracle=(6, {}))
recipe("Where", [B(2, 1, 3), V(4, 3), W(1)])

recipe("Cast", [N([0, 1, 2, 3])], to=lambda t: t.number("T2"), since=6, only=lambda t: not (t.element("T1") == "string" and t.element("T2") != "string"))
recipe("Cast", [F(np.array(["1", "2", "-1.5", "1e2"], object))], to=lambda t: t.number("T2"), since=9, sweep=True,
       only=lambda t: t.element("T1") == "string" and t.element("T2") in FLOATING)
recipe("Cast", [F(np.array(["1", "2", "0", "3"], object))], to=lambda t: t.number("T2"), since=9, sweep=True,
       only=lambda t: t.element("T1") == "string" and t.element("T2") not in FLOATING, expect=lambda i, a, t: [np.array([1.0, 2, 2.0 ** -127 if t.element("T2") == "float8e8m0" else 0, 3])])
NAMES = {"float": "FLOAT", "double": "DOUBLE", "float16": "FLOAT16", "bool": "BOOL"}
recipe("Cast", [N([0, 1, 2, 3])], to=lambda t: NAMES.get(t.element("T2"), t.element("T2").upper()), until=5,
       expect=lambda i, a, t: [i[0]])
recipe("CastLike", [N([0, 1, 2, 3]), N([1])], only=lambda t: t.element("T1") != "string" or t.element("T2") == "string")
recipe("CastLike", [F(np.array(["1", "2", "0"], object)), N([1])], only=lambda t: t.element("T1") == "string" and t.element("T2") != "string",
       expect=lambda i, a, t: [np.array([1.0, 2, 2.0 ** -127 if t.element("T2") == "float8e8m0" else 0])])

BITS = {"bool": 8, "int4": 4, "uint4": 4, "float4e2m1": 4, "int2": 2, "uint2": 2}


def bits(name):
    return BITS.get(name) or np.dtype(__import__("ops.values", fromlist=["DTYPES"]).DTYPES[name]).itemsize * 8


def bit_cast(inputs, attributes, types):
    x = inputs[0]
    to = types.element("T2")
    from ops.values import DTYPES
    if bits(to) < 8:  # one element a byte in numpy
        raw = x.view(np.uint8) & (2 ** bits(to) - 1)
        if to in ("int4", "int2"):
            half = 1 << (bits(to) - 1)
            raw = ((raw.astype(np.int16) ^ half) - half).astype(np.int8)
            return [raw.astype(DTYPES[to])]
        return [raw.view(DTYPES[to]) if to == "float4e2m1" else raw.astype(DTYPES[to])]
    return [x.view(DTYPES[to])]


recipe("BitCast", [N([0, 1, 1, 0])], to=lambda t: t.number("T2"), only=lambda t: bits(t.element("T1")) == bits(t.element("T2")), expect=bit_cast)
