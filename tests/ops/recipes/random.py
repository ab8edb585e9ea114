"""Random numbers: type, shape, range and seed are what can be checked."""
import numpy as np

from ops.recipe import recipe
from ops.values import DTYPES, N, V


def between(low, high, shape):
    def check(inputs, outputs, types):
        x = outputs[0].astype(np.float64)
        if list(x.shape) != shape:
            return f"shape {x.shape} where {shape} is due"
        if not (np.isfinite(x).all() and x.min() >= low and x.max() <= high):
            return f"numbers from {x.min()} to {x.max()}, {low} to {high} is due"
        spread = x.max() - x.min()
        return "" if spread > (high - low) * 0.2 else f"all numbers are near {x.min()}"
    return check


def typed(constraint, check):
    def checked(inputs, outputs, types):
        due = np.dtype(DTYPES[types.element(constraint)])
        return check(inputs, outputs, types) if outputs[0].dtype == due else f"type {outputs[0].dtype} where {due} is due"
    return checked


recipe("RandomUniform", [], shape=[4, 50], dtype=lambda t: t.number("T"), seed=1.0, low=-1.0, high=3.0, check=typed("T", between(-1, 3, [4, 50])))
recipe("RandomNormal", [], shape=[4, 50], dtype=lambda t: t.number("T"), seed=1.0, check=typed("T", between(-7, 7, [4, 50])))
recipe("RandomUniformLike", [V(4, 50)], dtype=lambda t: t.number("T2"), seed=1.0, check=typed("T2", between(0, 1, [4, 50])))
recipe("RandomNormalLike", [V(4, 50)], dtype=lambda t: t.number("T2"), seed=1.0, check=typed("T2", between(-7, 7, [4, 50])))
recipe("Bernoulli", [N(np.full((4, 50), 0.5))], dtype=lambda t: t.number("T2"), seed=1.0, check=typed("T2", between(0, 1, [4, 50])))
recipe("Multinomial", [N([[0, 0, 0], [0, 1, 0]])], sample_size=50, dtype=lambda t: t.number("T2"), seed=1.0, check=typed("T2", between(0, 2, [2, 50])))
