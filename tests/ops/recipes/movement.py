"""Elements that move and do not change: shapes, slices, joins, copies."""
import numpy as np
from onnx import helper

from ops.model import tensor_proto
from ops.recipe import recipe
from ops.values import F, I, N, P, V, W, numbers

recipe("Identity", [V(2, 3)], only=lambda t: t.get("V", t.get("T")).startswith("tensor("))
recipe("Identity", [V(2)], only=lambda t: not t.get("V", "tensor(float)").startswith("tensor("))
recipe("Reshape", [V(2, 3, 4), I([4, -1])], since=5)
recipe("Reshape", [V(2, 3, 4), I([0, -1])], since=5, sweep=False)
recipe("Reshape", [V(0, 3), I([3, 0])], since=14, sweep=False, allowzero=1)
recipe("Reshape", [V(2, 3, 4)], until=4, shape=[4, -1], expect=lambda i, a, t: [i[0].reshape(4, 6)])
recipe("Flatten", [V(2, 3, 4)], axis=2)
recipe("Flatten", [V(2, 3, 4)], sweep=False, since=11, axis=-1)
recipe("Flatten", [V(2, 3, 4)], sweep=False, axis=0)
recipe("Shape", [V(2, 3, 4)])
recipe("Shape", [V(2, 3, 4)], since=15, sweep=False, start=-2, end=5)
recipe("Shape", [V()], sweep=False)
recipe("Size", [V(2, 3, 4)])
recipe("Squeeze", [V(1, 3, 1), I([0])], since=13)
recipe("Squeeze", [V(1, 3, 1)], since=13, sweep=False)
recipe("Squeeze", [V(1, 3, 1)], until=12, axes=[0])
recipe("Unsqueeze", [V(3, 2), I([0, -1])], since=13)
recipe("Unsqueeze", [V(3, 2)], until=12, axes=[0, 3])
recipe("Transpose", [V(2, 3, 4)], perm=[2, 0, 1])
recipe("Transpose", [V(2, 3, 4)], sweep=False)
recipe("Transpose", [V(2, 3, 4, 5)], sweep=False, perm=[0, 2, 3, 1])
recipe("Concat", [V(2, 3), W(2, 2)], axis=1)
recipe("Concat", [V(2, 3), W(0, 3), P(1, 3)], since=4, axis=0)
recipe("Split", [V(2, 5), I([2, 3])], since=13, outputs=2, axis=1)
recipe("Split", [V(2, 5)], since=2, until=12, outputs=2, axis=1, split=[2, 3])
recipe("Split", [V(2, 5)], since=18, sweep=False, outputs=3, axis=1, num_outputs=3)
recipe("Split", [V(2, 5)], until=1, outputs=2, axis=1, split=[2, 3], expect=lambda i, a, t: np.split(i[0], [2], 1))
recipe("Slice", [V(4, 5), I([3, 1]), I([0, -1]), I([0, 1]), I([-2, 1])], since=10)
recipe("Slice", [V(4, 5), I([0]), I([2])], since=10, sweep=False)
recipe("Slice", [V(4, 5), I([-100]), I([100]), I([-1])], since=10, sweep=False)
recipe("Slice", [V(4, 5), I([3]), F(np.array([-2**63])), I([0]), I([-1])], since=10, sweep=False)
recipe("Slice", [V(4, 5), I([3]), F(np.array([2**31 - 1])), I([0]), I([-1])], since=10, sweep=False)
recipe("Slice", [V(4, 5)], until=9, starts=[1, 0], ends=[3, -1], axes=[0, 1], expect=lambda i, a, t: [i[0][1:3, 0:-1]])
recipe("Expand", [V(3, 1), I([2, 1, 4])])
recipe("Expand", [V(), I([1])], sweep=False)
recipe("Expand", [V(3, 1), I([0, 3, 1])], sweep=False)
recipe("Tile", [V(2, 3), I([2, 1])], since=6)
recipe("Tile", [V(2, 3), N(2), N(1)], until=5, constant=(1, 2), expect=lambda i, a, t: [np.tile(i[0], (1, 2))])
recipe("Pad", [V(2, 3), I([1, 0, 0, 2]), N(2)], since=11)
recipe("Pad", [V(2, 3), I([1, 0, 0, 2])], since=11, sweep=False)
recipe("Pad", [V(2, 5), I([0, -1, 1, -2]), N(2)], since=11, sweep=False, expect=lambda i, a, t: [np.pad(i[0][:, 1:-2], ((0, 1), (0, 0)), constant_values=2)])
for mode in ("reflect", "edge"):
    recipe("Pad", [V(3, 4), I([1, 2, 2, 1])], since=11, sweep=False, mode=mode)
recipe("Pad", [V(3, 4), I([1, 2, 2, 1])], since=19, sweep=False, mode="wrap")
recipe("Pad", [V(2, 3, 4), I([1, 2]), N(2), I([-1])], since=18)
recipe("Pad", [V(2, 3)], since=2, until=10, pads=[1, 0, 0, 2], value=2.0, expect=lambda i, a, t: [np.pad(i[0], ((1, 0), (0, 2)), constant_values=2)])
recipe("Pad", [V(2, 3)], until=1, paddings=[1, 0, 0, 2], value=2.0, expect=lambda i, a, t: [np.pad(i[0], ((1, 0), (0, 2)), constant_values=2)])


def center_crop_pad(i, a, t):
    x = i[0][:, 1:4]
    out = np.empty((5, 3), x.dtype)
    out[...] = "" if x.dtype == object else np.zeros((), x.dtype)
    out[1:4] = x
    return [out]


recipe("CenterCropPad", [V(3, 5), I([5, 3])], expect=center_crop_pad)
recipe("CenterCropPad", [V(3, 5), I([2])], sweep=False, axes=[1])
recipe("DepthToSpace", [V(1, 8, 2, 3)], blocksize=2)
recipe("DepthToSpace", [V(1, 8, 2, 3)], since=11, blocksize=2, mode="CRD", sweep=False)
recipe("SpaceToDepth", [V(1, 2, 4, 6)], blocksize=2,
       expect=lambda i, a, t: [i[0].reshape(1, 2, 2, 2, 3, 2).transpose(0, 3, 5, 1, 2, 4).reshape(1, 8, 2, 3)])
recipe("Trilu", [V(3, 4)], expect=lambda i, a, t: [np.where(np.triu(np.ones((3, 4), bool)), i[0], "" if i[0].dtype == object else np.zeros((), i[0].dtype))])
recipe("Trilu", [V(2, 3, 4), I(1)], upper=0, sweep=False)
recipe("Trilu", [V(3, 4), I(-5)], sweep=False)
recipe("ReverseSequence", [V(4, 3, 2), I([1, 4, 2])],
       expect=lambda i, a, t: [np.stack([np.concatenate([i[0][:n, b][::-1], i[0][n:, b]]) for b, n in enumerate(i[1])], 1)])
recipe("ReverseSequence", [V(3, 4), I([1, 4, 2])], batch_axis=0, time_axis=1, sweep=False,
       expect=lambda i, a, t: [np.stack([np.concatenate([i[0][b, :n][::-1], i[0][b, n:]]) for b, n in enumerate(i[1])])])

recipe("Constant", [], value=lambda t: tensor_proto(numbers(t.element("T"), [[1, 2], [0, 1]]), "c"))
recipe("Constant", [], since=12, sweep=False, value_floats=[1.0, 2.5])
recipe("Constant", [], since=12, sweep=False, value_float=1.5)
recipe("Constant", [], since=12, sweep=False, types={"T": lambda t: "tensor(int64)"}, value_ints=[1, 2])
recipe("Constant", [], since=12, sweep=False, types={"T": lambda t: "tensor(int64)"}, value_int=3)
recipe("Constant", [], since=12, sweep=False, types={"T": lambda t: "tensor(string)"}, value_string="x", expect=lambda i, a, t: [np.array("x", object)])
recipe("Constant", [], since=12, sweep=False, types={"T": lambda t: "tensor(string)"}, value_strings=["x", "yz"],
       expect=lambda i, a, t: [np.array(["x", "yz"], object)])


def sparse(t):
    values = numbers(t.element("T"), [1, 2])
    return helper.make_sparse_tensor(tensor_proto(values, "v"), tensor_proto(np.array([1, 5]), "i"), [2, 3])


recipe("Constant", [], since=11, sweep=False, sparse_value=sparse, expect=lambda i, a, t: [np.array([[0, 1, 0], [0, 0, 2]])])
recipe("ConstantOfShape", [I([2, 3])], value=lambda t: tensor_proto(numbers(t.element("T2"), [1]), "c"))
recipe("ConstantOfShape", [I([2, 0])], sweep=False)
recipe("ConstantOfShape", [F(np.zeros(0, np.int64))], sweep=False)
recipe("EyeLike", [V(3, 4)], dtype=lambda t: t.number("T2"), k=1, expect=lambda i, a, t: [np.eye(3, 4, 1)])
recipe("EyeLike", [V(3, 4)], sweep=False, k=-1, expect=lambda i, a, t: [np.eye(3, 4, -1)])
recipe("Range", [N(1), N(8), N(2)])
recipe("Range", [N(3), N(-2), N(-1)], sweep=False)
recipe("Range", [N(3), N(-2), N(1)], sweep=False)
recipe("TensorScatter", [V(2, 5, 3), W(2, 2, 3), I([1, 3])], axis=1)
recipe("TensorScatter", [V(2, 5, 3), W(2, 2, 3), I([4, 3])], axis=1, mode="circular", sweep=False)
recipe("Col2Im", [V(1, 4, 6), I([3, 4]), I([2, 2])], expect=lambda i, a, t: [col2im(i[0])])


def col2im(x):
    """Blocks of 2 x 2 summed into an image of 3 x 4; text is what came last."""
    out = np.empty((1, 1, 3, 4), x.dtype)
    out[...] = "" if x.dtype == object else np.zeros((), x.dtype)
    for k in range(4):
        for n in range(6):
            y, z = n // 3 + k // 2, n % 3 + k % 2
            v = x[0, k, n]
            old = out[0, 0, y, z]
            out[0, 0, y, z] = (bool(old) or bool(v)) if x.dtype == bool else old + v
    return out
