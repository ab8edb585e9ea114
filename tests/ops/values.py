"""Input values of a recipe: each maker gives its numbers for whatever element type is asked.

The numbers are exact in every type (small multiples of 1/2, small integers), so that a movement is compared bit by bit
and arithmetic of a small type with the same arithmetic of a wide one.
"""
import ml_dtypes
import numpy as np

# Names of TypeProto's text form ("tensor(float8e5m2)") to numpy.
DTYPES = {
    "float": np.float32, "double": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64,
    "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
    "bool": np.bool_, "string": np.object_, "complex64": np.complex64, "complex128": np.complex128,
    "float8e4m3fn": ml_dtypes.float8_e4m3fn, "float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz, "float8e5m2": ml_dtypes.float8_e5m2,
    "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz, "float8e8m0": ml_dtypes.float8_e8m0fnu, "float6e2m3": ml_dtypes.float6_e2m3fn,
    "float6e3m2": ml_dtypes.float6_e3m2fn, "float4e2m1": ml_dtypes.float4_e2m1fn,
    "int4": ml_dtypes.int4, "uint4": ml_dtypes.uint4, "int2": ml_dtypes.int2, "uint2": ml_dtypes.uint2,
}
FLOATS = {"float", "double", "float16", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float6e2m3", "float6e3m2",
          "float4e2m1"}
UNSIGNED = {"uint2", "uint4", "uint8", "uint16", "uint32", "uint64"}


def numbers(name, reals):
    """An array of numpy's type for these real numbers; what a type cannot hold is brought into its range, the same way everywhere."""
    x = np.asarray(reals, np.float64)
    if name == "string":
        out = np.empty(x.shape, object)
        out.reshape(-1)[:] = [f"w{v:g}" for v in x.reshape(-1)]
        return out
    if name == "bool":
        return x > 0
    if name.startswith("complex"):
        return (x + 1j * np.flip(x)).astype(DTYPES[name])
    if name == "float8e8m0":
        return (2.0 ** np.round(x)).astype(DTYPES[name])
    if name in FLOATS:
        return x.astype(DTYPES[name])
    x = np.round(x)
    x = np.abs(x) if name in UNSIGNED else x
    if name in ("int2", "uint2"):
        x = np.clip(x, -2, 1) if name == "int2" else np.clip(x, 0, 3)
    return x.astype(np.int64).astype(DTYPES[name])


class Maker:
    """Makes one input. type_text: 'tensor(float)', 'seq(tensor(int8))', 'optional(...)', or None for a fixed type of the schema."""

    def __init__(self, make):
        self.make = make

    def __call__(self, type_text):
        return wrap(self.make, type_text)


def wrap(make, type_text):
    if type_text.startswith("seq("):
        return [wrap(make, type_text[4:-1]), wrap(make, type_text[4:-1])]
    if type_text.startswith("optional("):
        return wrap(make, type_text[9:-1])
    if type_text.startswith("sparse_tensor("):
        raise NotImplementedError(type_text)
    return make(type_text[7:-1])


def cycle(shape, pool, step=3):
    n = int(np.prod(shape, dtype=np.int64))
    return np.array([pool[(i * step + i // 5) % len(pool)] for i in range(n)], np.float64).reshape(shape)


def V(*shape):
    """Numbers of both signs, zero among them."""
    return Maker(lambda t: numbers(t, cycle(shape, [-1.5, 0.5, 2, -1, 0, 1.5, 1, -0.5, -2, 3])))


def W(*shape):
    """Other numbers of both signs, without zero: a divisor, a second operand."""
    return Maker(lambda t: numbers(t, cycle(shape, [1, -2, 1.5, 2, -1, 3, -1.5])))


def P(*shape):
    """Positive numbers from 1."""
    return Maker(lambda t: numbers(t, cycle(shape, [1, 2, 1.5, 3, 1])))


def U(*shape):
    """Numbers in [-1, 1]."""
    return Maker(lambda t: numbers(t, cycle(shape, [-1, 0.5, 0.25, 1, -0.5, 0, -0.25])))


def I(values):
    """Exactly these integers."""
    return Maker(lambda t: np.asarray(values).astype(DTYPES[t]))


def N(values):
    """Exactly these numbers, as far as the type has them."""
    return Maker(lambda t: numbers(t, values))


def B(*shape):
    """Truth values."""
    return Maker(lambda t: cycle(shape, [1, 0, 1, 1, 0]).astype(bool))


def S(values):
    """Exactly these strings; numbers for other types."""
    return Maker(lambda t: np.array(values, object) if t == "string" else numbers(t, cycle(np.shape(values), [1, 2, 3, -1])))


def F(array):
    """A fixed array, whatever the type."""
    return Maker(lambda t: np.asarray(array))


OMITTED = object()
