"""Values that break careless kernels: integers, floats, strings and whole arrays, drawn by a random.Random."""
import numpy as np
from onnx import TensorProto, helper

INTS = [0, 1, -1, 2, -2, 8, 255, 65536, 1000003, 2**31 - 1, -2**31, 2**31, 2**32, 2**32 + 1, 2**62, 2**63 - 1, -2**63, -2**63 + 1]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 1e-45, 1e10, -1e10, 3.4028235e38, -3.4028235e38, float("nan"), float("inf"), float("-inf")]
STRINGS = ["", "x", "a\0b", "é", "%s%n", "0", "-1", "nan", "1e999", "a" * 20_000, "\ud7ff\u2603" * 9]
# Types by their names in schemas; what only newer packages know stays out of an older one.
DTYPES = {f"tensor({text})": getattr(TensorProto, name) for name, text in [
    ("FLOAT", "float"), ("DOUBLE", "double"), ("FLOAT16", "float16"), ("BFLOAT16", "bfloat16"), ("INT8", "int8"), ("INT16", "int16"),
    ("INT32", "int32"), ("INT64", "int64"), ("UINT8", "uint8"), ("UINT16", "uint16"), ("UINT32", "uint32"), ("UINT64", "uint64"),
    ("BOOL", "bool"), ("STRING", "string"), ("COMPLEX64", "complex64"), ("COMPLEX128", "complex128"), ("UINT4", "uint4"), ("INT4", "int4"),
    ("UINT2", "uint2"), ("INT2", "int2"), ("FLOAT4E2M1", "float4e2m1"), ("FLOAT8E4M3FN", "float8e4m3fn"),
    ("FLOAT8E4M3FNUZ", "float8e4m3fnuz"), ("FLOAT8E5M2", "float8e5m2"), ("FLOAT8E5M2FNUZ", "float8e5m2fnuz"),
    ("FLOAT8E8M0", "float8e8m0"), ("FLOAT6E2M3", "float6e2m3"), ("FLOAT6E3M2", "float6e3m2")] if hasattr(TensorProto, name)}


def integer(rng, near=0):
    """Mostly small and around what was there, so that many cases still run."""
    if rng.random() < 0.65:
        return rng.choice([near + 1, near - 1, -near, 0, 1, 2, 3, rng.randint(-4, 8)])
    return rng.choice(INTS)


def clamped(number):
    return max(-2**63, min(2**63 - 1, int(number)))


def real(rng):
    return rng.choice(FLOATS) if rng.random() < 0.6 else rng.uniform(-2, 2)


def text(rng, words=()):
    return rng.choice(list(words)) if words and rng.random() < 0.7 else rng.choice(STRINGS)


def dimension(rng):
    return rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65])


def shape(rng, largest=1 << 14):
    """Rank 0 to 8, now and then a size of zero, never many elements."""
    dims = [dimension(rng) for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 8]))]
    while np.prod(dims, dtype=float) > largest:
        dims[rng.randrange(len(dims))] = rng.choice([1, 2, 3])
    return dims


def cast(array, dtype):
    """The array in another ONNX type: what has no value there becomes something else."""
    target = helper.tensor_dtype_to_np_dtype(dtype)
    if array.dtype == target:
        return array
    with np.errstate(all="ignore"):
        if dtype == TensorProto.STRING:
            return np.array([str(v) for v in array.ravel()] or [], object).reshape(array.shape)
        if array.dtype == object:
            array = np.array([len(str(v)) % 7 for v in array.ravel()], np.int64).reshape(array.shape)
        if array.dtype.kind == "c" and np.dtype(target).kind != "c":
            array = array.real
        if np.dtype(target).kind not in "biufc" and array.dtype != np.float32:
            array = array.astype(np.float32)
        return array.astype(target)


def special(rng, dtype):
    """One extreme value of a type, as something that numpy takes."""
    if dtype == TensorProto.STRING:
        return text(rng)
    if dtype == TensorProto.BOOL:
        return rng.random() < 0.5
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(dtype))
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return rng.choice([info.min, info.max, 0, max(-1, int(info.min)), 1, *[v for v in INTS if info.min <= v <= info.max]])
    return rng.choice(FLOATS)


def array(rng, dtype, dims):
    """Ordinary numbers, small integers, or extremes."""
    count = int(np.prod(dims, dtype=np.int64))
    style = rng.random()
    if dtype == TensorProto.STRING:
        return np.array([rng.choice(["a", "b", "abc", "1", "2.5", *STRINGS]) for _ in range(count)], object).reshape(dims)
    numbers = np.random.default_rng(rng.getrandbits(32))
    plain = numbers.standard_normal(count, np.float32) if style < 0.5 else numbers.integers(-3 if style < 0.75 else 0, 5, count)
    if dtype == TensorProto.BOOL:
        return (plain > 0).reshape(dims)
    out = cast(plain.reshape(dims), dtype)
    return sprinkled(rng, out, dtype) if style > 0.85 else out


def sprinkled(rng, values, dtype):
    """Some elements, or all, become extremes."""
    out = values.copy()
    flat = out.reshape(-1)
    if flat.size == 0:
        return out
    everywhere = rng.random() < 0.2 and flat.size < 5000
    places = range(flat.size) if everywhere else [rng.randrange(flat.size) for _ in range(rng.choice([1, 1, 2, 5]))]
    one = special(rng, dtype)
    with np.errstate(all="ignore"):
        for i in places:
            value = one if rng.random() < 0.5 else special(rng, dtype)
            flat[i] = value if out.dtype.kind in "Ob" else np.asarray(value).astype(out.dtype)
    return out
