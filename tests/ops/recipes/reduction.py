"""Sums and their kin along axes, positions of extremes, running sums."""
import numpy as np

from ops.recipe import recipe
from ops.values import I, P, V, W

REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare")
LOOSE = {"ReduceLogSum", "ReduceLogSumExp", "ReduceL2", "ReduceMean"}


def plain(op):
    """In float64 or complex numbers; integers as the evaluator has them, cut to whole numbers."""
    def reduced(i, a, t):
        x = i[0].astype(np.float64) if i[0].dtype.kind != "b" else i[0]
        axes = tuple(a["axes"]) if "axes" in a else tuple(int(v) for v in i[1]) if len(i) > 1 and i[1] is not None else None
        keep = bool(a.get("keepdims", 1))
        with np.errstate(all="ignore"):
            y = {"ReduceL1": lambda: np.abs(x).sum(axes, keepdims=keep), "ReduceL2": lambda: np.sqrt((x * x).sum(axes, keepdims=keep)),
                 "ReduceLogSum": lambda: np.log(x.sum(axes, keepdims=keep)), "ReduceLogSumExp": lambda: np.log(np.exp(x).sum(axes, keepdims=keep)),
                 "ReduceMax": lambda: x.max(axes, keepdims=keep), "ReduceMean": lambda: x.mean(axes, keepdims=keep),
                 "ReduceMin": lambda: x.min(axes, keepdims=keep), "ReduceProd": lambda: x.prod(axes, keepdims=keep),
                 "ReduceSum": lambda: x.sum(axes, keepdims=keep), "ReduceSumSquare": lambda: (x * x).sum(axes, keepdims=keep)}[op]()
        return [np.trunc(y) if i[0].dtype.kind in "iu" else y]
    return reduced


for op in REDUCTIONS:
    make = P if op in ("ReduceLogSum", "ReduceProd", "ReduceLogSumExp") else V
    axes_input = 13 if op == "ReduceSum" else 18
    recipe(op, [make(2, 3, 4), I([1])], since=axes_input, expect=plain(op))
    recipe(op, [make(2, 3, 4)], until=axes_input - 1, axes=[1], expect=plain(op))
    recipe(op, [make(2, 3, 4), I([0, -1])], since=axes_input, keepdims=0, sweep=False, expect=plain(op))
    recipe(op, [make(2, 3, 4)], sweep=False, expect=plain(op))
    recipe(op, [make(2, 3)], since=axes_input, noop_with_empty_axes=1, sweep=False)
for op in ("ReduceSum", "ReduceProd", "ReduceSumSquare", "ReduceL1", "ReduceL2"):
    recipe(op, [V(2, 0, 3), I([1])], since=18, sweep=False, expect=plain(op))
for op in ("ArgMax", "ArgMin"):
    recipe(op, [V(3, 5)], axis=1)
    recipe(op, [V(3, 5)], axis=0, keepdims=0, sweep=False)
    recipe(op, [V(3, 5)], axis=-1, select_last_index=1, since=12, sweep=False)
for op in ("CumSum", "CumProd"):
    recipe(op, [W(2, 3), I(1)])
    recipe(op, [W(2, 3), I(-1)], exclusive=1, reverse=1, sweep=False)
    recipe(op, [W(2, 3), I(0)], reverse=1, sweep=False)
