"""Elements chosen by index, by condition, by value."""
import numpy as np

from ops.recipe import recipe
from ops.values import B, F, I, N, P, V, W

recipe("Gather", [V(3, 4), I([[0, 2], [1, 0]])])
recipe("Gather", [V(3, 4), I([-1, 0])], since=11, axis=1, sweep=False)
recipe("Gather", [V(3, 4), I(1)], axis=1, sweep=False)
recipe("Gather", [V(3, 4), F(np.zeros((0, 2), np.int64))], sweep=False)
recipe("GatherElements", [V(3, 4), I([[0, 2, 1, 0]])])
recipe("GatherElements", [V(3, 4), I([[3], [-1], [0]])], axis=1, sweep=False)
recipe("GatherND", [V(3, 4, 2), I([[0, 1], [2, 3]])])
recipe("GatherND", [V(2, 3, 4), I([[1], [-1]])], since=12, batch_dims=1, sweep=False)
recipe("ScatterElements", [V(3, 4), I([[0, 2, 1, 0]]), W(1, 4)])
recipe("ScatterElements", [V(3, 4), I([[3], [-1], [0]]), W(3, 1)], axis=1, sweep=False)
recipe("Scatter", [V(3, 4), I([[0, 2, 1, 0]]), W(1, 4)], expect=lambda i, a, t: [scattered(i)])
recipe("ScatterND", [V(4, 3), I([[1], [3]]), W(2, 3)])


def scattered(i):
    out = i[0].copy()
    for k, row in enumerate(i[1][0]):
        out[row, k] = i[2][0, k]
    return out


NUMERIC = lambda t: t.element("T") not in ("string", "bool") and "complex" not in t.element("T")  # noqa: E731
COMBINE = {"add": lambda a, b: a + b, "mul": lambda a, b: a * b, "max": max, "min": min}


def combined(inputs, how, nd):
    x, index, u = inputs
    out = x.copy()
    for at in np.ndindex(*index.shape[:1] if nd else index.shape):
        if nd:
            for j in range(x.shape[1]):
                out[index[at][0], j] = COMBINE[how](out[index[at][0], j], u[at[0], j])
        else:
            to = (index[at], at[1])
            out[to] = COMBINE[how](out[to], u[at])
    return [out]


for how in ("add", "mul", "max", "min"):
    first = 18 if how in ("max", "min") else 16
    recipe("ScatterElements", [V(3, 4), I([[0, 2, 1, 0], [0, 2, 2, 1]]), W(2, 4)], since=first, reduction=how, only=NUMERIC,
           expect=lambda i, a, t, how=how: combined(i, how, False))
    recipe("ScatterND", [V(4, 3), I([[1], [1]]), W(2, 3)], since=first, reduction=how, only=NUMERIC, expect=lambda i, a, t, how=how: combined(i, how, True))
recipe("OneHot", [N([0, 2, 1]), N([3]), N([0, 1])], expect=lambda i, a, t: [np.where(np.eye(3, dtype=bool)[[0, 2, 1]], i[2][1], i[2][0])])
recipe("OneHot", [I([-1, 5, 1]), I(3), N([2, 1])], sweep=False, axis=0,
       expect=lambda i, a, t: [np.array([[2, 2, 2], [2, 2, 1], [1, 2, 2]])])
recipe("Compress", [V(3, 4), B(3)], axis=0)
recipe("Compress", [V(3, 4), B(5)], sweep=False)
recipe("NonZero", [V(2, 5)])
recipe("NonZero", [V()], sweep=False, expect=lambda i, a, t: [np.zeros((0, 1), np.int64)])
recipe("Unique", [P(7)], outputs=4)
recipe("Unique", [V(7)], outputs=4, expect=lambda i, a, t: unique(i[0], False), sorted=0)
recipe("Unique", [V(4, 2)], axis=0, sweep=False, outputs=4)


def unique(x, ordered):
    """In the order of first appearance."""
    first, inverse, counts, seen = [], [], [], {}
    for k, v in enumerate(x.tolist()):
        if v not in seen:
            seen[v] = len(first)
            first.append(k)
            counts.append(0)
        inverse.append(seen[v])
        counts[seen[v]] += 1
    return [x[first], np.array(first), np.array(inverse), np.array(counts)]


recipe("TopK", [V(3, 5), I([2])], since=10, outputs=2)
recipe("TopK", [V(3, 5), I([2])], since=11, outputs=2, largest=0, axis=0, sweep=False)
recipe("TopK", [V(3, 5), I([0])], since=11, outputs=2, sweep=False)
recipe("TopK", [V(3, 5)], until=9, outputs=2, k=2, expect=lambda i, a, t: top(i[0]))


def top(x):
    order = np.argsort(-x.astype(np.float64), 1, kind="stable")[:, :2]
    return [np.take_along_axis(x, order, 1), order]


recipe("NonMaxSuppression", [F(np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 2, 1, 3]]], np.float32)), F(np.array([[[0.9, 0.75, 0.6]]], np.float32)),
                             I([3]), F(np.array([0.5], np.float32)), F(np.array([0.0], np.float32))])
