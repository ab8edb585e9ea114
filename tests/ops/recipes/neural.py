"""Convolutions, pools, norms, images and losses."""
import numpy as np

from ops.recipe import recipe
from ops.values import F, I, N, OMITTED, P, U, V, W

recipe("Conv", [V(1, 2, 5, 5), W(3, 2, 3, 3), V(3)])
recipe("Conv", [V(1, 2, 5, 5), W(4, 1, 3, 3)], group=2, strides=[2, 1], pads=[1, 0, 1, 2], sweep=False)
recipe("Conv", [V(1, 2, 7), W(3, 2, 3)], dilations=[2], auto_pad="SAME_UPPER", sweep=False)
recipe("Conv", [V(1, 1, 3, 4, 5), W(2, 1, 2, 2, 2)], sweep=False)
recipe("ConvTranspose", [V(1, 2, 3, 3), W(2, 2, 3, 3), V(2)])
recipe("ConvTranspose", [V(1, 2, 3, 3), W(2, 1, 2, 2)], group=2, strides=[2, 2], output_padding=[1, 1], pads=[1, 0, 0, 1], sweep=False)
recipe("DeformConv", [V(1, 1, 3, 3), W(1, 1, 2, 2), U(1, 8, 2, 2), V(1), U(1, 4, 2, 2)], kernel_shape=[2, 2])
recipe("ConvInteger", [I(np.arange(16).reshape(1, 1, 4, 4)), I(np.arange(4).reshape(1, 1, 2, 2)), I(3), I(1)], only=lambda t: True)
recipe("ConvInteger", [I(np.arange(16).reshape(1, 1, 4, 4)), I(np.arange(8).reshape(2, 1, 2, 2)), I(3), I([1, 2])], sweep=False,
       expect=lambda i, a, t: [conv_integer(i)])


def conv_integer(i):
    x, w = i[0].astype(np.int32) - int(i[2]), i[1].astype(np.int32) - i[3].astype(np.int32).reshape(-1, 1, 1, 1)
    return np.array([[[[(x[0, 0, y:y + 2, z:z + 2] * w[m, 0]).sum() for z in range(3)] for y in range(3)] for m in range(2)]])


recipe("CausalConvWithState", [V(1, 2, 4), W(2, 1, 3), V(2), V(1, 2, 2)], outputs=2)
recipe("CausalConvWithState", [V(1, 2, 4), W(2, 1, 3)], outputs=2, activation="silu", sweep=False)

recipe("AveragePool", [V(1, 2, 5, 5)], kernel_shape=[3, 2])
recipe("AveragePool", [V(1, 2, 5, 5)], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], sweep=False, since=7, count_include_pad=1)
recipe("AveragePool", [V(1, 2, 6, 6)], kernel_shape=[3, 3], strides=[2, 2], sweep=False, since=10, ceil_mode=1)
recipe("MaxPool", [V(1, 2, 5, 5)], kernel_shape=[3, 2],
       expect=lambda i, a, t: [np.array([[[[i[0][0, c, y:y + 3, z:z + 2].max() for z in range(4)] for y in range(3)] for c in range(2)]])])
recipe("MaxPool", [V(1, 2, 5, 5)], kernel_shape=[2, 2], strides=[2, 2], outputs=2, since=8, types={"T": lambda t: "tensor(float)"})
recipe("MaxPool", [V(1, 2, 6, 6)], kernel_shape=[3, 3], strides=[2, 2], sweep=False, since=10, ceil_mode=1, dilations=[1, 2])
recipe("LpPool", [V(1, 2, 5, 5)], kernel_shape=[3, 2], p=2, expect=lambda i, a, t: [lp_pool(i[0], 2)], since=2)
recipe("LpPool", [V(1, 2, 5, 5)], kernel_shape=[3, 2], p=2.0, expect=lambda i, a, t: [lp_pool(i[0], 2)], until=1)
recipe("LpPool", [V(1, 2, 5, 5)], kernel_shape=[3, 2], p=1, expect=lambda i, a, t: [lp_pool(i[0], 1)], since=2, sweep=False)


def lp_pool(x, p):
    x = np.abs(x.astype(np.float64)) ** p
    return np.array([[[[x[0, c, y:y + 3, z:z + 2].sum() for z in range(4)] for y in range(3)] for c in range(2)]]) ** (1 / p)


recipe("GlobalAveragePool", [V(1, 2, 3, 4)])
recipe("GlobalMaxPool", [V(1, 2, 3, 4)])
recipe("GlobalLpPool", [V(1, 2, 3, 4)], since=2, p=2, expect=lambda i, a, t: [np.sqrt((i[0].astype(np.float64) ** 2).sum((2, 3), keepdims=True))])
recipe("GlobalLpPool", [V(1, 2, 3, 4)], since=2, p=3, sweep=False,
       expect=lambda i, a, t: [np.cbrt((np.abs(i[0].astype(np.float64)) ** 3).sum((2, 3), keepdims=True))])
recipe("GlobalLpPool", [V(1, 2, 3, 4)], until=1, p=2.0, expect=lambda i, a, t: [np.sqrt((i[0].astype(np.float64) ** 2).sum((2, 3), keepdims=True))])
recipe("MaxUnpool", [N([[[[1, 2], [3, 4]]]]), I([[[[5, 7], [13, 15]]]])], kernel_shape=[2, 2], strides=[2, 2])
recipe("MaxRoiPool", [V(1, 2, 6, 6), N([[0, 0, 0, 3, 3], [0, 1, 2, 5, 4]])], pooled_shape=[2, 2], expect=lambda i, a, t: [max_roi_pool(i)])


def max_roi_pool(i):
    x, rois = i[0].astype(np.float64), i[1].astype(np.float64)
    out = np.zeros((2, 2, 2, 2))
    for r, (n, x0, y0, x1, y1) in enumerate(rois.astype(int)):
        h, w = max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1)
        for p in range(2):
            for q in range(2):
                ys, ye = y0 + int(np.floor(p * h / 2)), y0 + int(np.ceil((p + 1) * h / 2))
                xs, xe = x0 + int(np.floor(q * w / 2)), x0 + int(np.ceil((q + 1) * w / 2))
                out[r, :, p, q] = x[n, :, ys:ye, xs:xe].max((1, 2))
    return out


ROIS = [V(1, 1, 6, 6), N([[0.5, 0.5, 3, 4], [1, 1, 5, 4.5]]), I([0, 0])]
recipe("RoiAlign", ROIS, since=16, output_height=2, output_width=2, sampling_ratio=2)
recipe("RoiAlign", ROIS, until=15, output_height=2, output_width=2, sampling_ratio=2, oracle=(16, {"coordinate_transformation_mode": "output_half_pixel"}))
recipe("RoiAlign", ROIS, output_height=2, output_width=2, since=16, coordinate_transformation_mode="output_half_pixel", sweep=False)

recipe("Resize", [V(1, 1, 2, 3), N([0, 0, 0, 0, 1, 1, 1, 1]), F(np.array([1, 1, 2, 2], np.float32))], until=12, since=11, mode="nearest", nearest_mode="floor",
       coordinate_transformation_mode="asymmetric", expect=lambda i, a, t: [i[0].repeat(2, 2).repeat(2, 3)])
recipe("Resize", [V(1, 1, 2, 3), OMITTED, F(np.array([1, 1, 2, 2], np.float32))], since=13, mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric",
       expect=lambda i, a, t: [i[0].repeat(2, 2).repeat(2, 3)])
recipe("Resize", [N([[[[1, 2, 3], [4, 0, 2]]]]), OMITTED, F(np.array([1, 1, 2, 2], np.float32))], since=13, mode="linear",
       only=lambda t: t.element("T1") in ("float", "double", "float16", "bfloat16"), sweep=False)
recipe("Resize", [V(1, 1, 4, 4), OMITTED, OMITTED, I([1, 1, 3, 7])], since=13, mode="cubic", sweep=False)
recipe("Resize", [V(1, 1, 2, 3), V(8), F(np.array([1, 1, 2, 1], np.float32))], since=11, sweep=True, mode="nearest",
       types={"T1": lambda t: "tensor(float)"}, only=lambda t: True)
recipe("Resize", [V(1, 1, 2, 3), F(np.array([1, 1, 2, 2], np.float32))], until=10, mode="nearest",
       expect=lambda i, a, t: [i[0].repeat(2, 2).repeat(2, 3)])
recipe("Upsample", [V(1, 1, 2, 3), F(np.array([1, 1, 2, 2], np.float32))], since=9, mode="nearest", expect=lambda i, a, t: [i[0].repeat(2, 2).repeat(2, 3)])
recipe("Upsample", [V(1, 1, 2, 3)], since=7, until=8, mode="nearest", scales=[1.0, 1.0, 2.0, 2.0], expect=lambda i, a, t: [i[0].repeat(2, 2).repeat(2, 3)])
recipe("Upsample", [V(1, 1, 2, 3)], until=6, mode="nearest", height_scale=2.0, width_scale=2.0, expect=lambda i, a, t: [i[0].repeat(2, 2).repeat(2, 3)])
GRID = N([[[[-1, -1], [0, 0.5]], [[1, 1], [-0.5, 0]]]])
recipe("GridSample", [P(1, 1, 3, 3), GRID], mode="nearest", align_corners=1)
recipe("GridSample", [V(1, 1, 4, 4), GRID], sweep=False)
for mode in ("zeros", "border", "reflection"):
    recipe("GridSample", [V(1, 1, 4, 4), N([[[[-2, -1.5], [0, 0.5]], [[1.5, 1], [-0.5, 0]]]])], padding_mode=mode, sweep=False)
recipe("AffineGrid", [N([[[1, 0.5, 0], [0, 1, -0.5]]]), I([1, 1, 2, 3])], expect=lambda i, a, t: [affine(i[0])])


def affine(theta):
    y, x = np.meshgrid([-0.5, 0.5], [-2 / 3, 0, 2 / 3], indexing="ij")
    return np.stack([x, y, np.ones_like(x)], -1)[None] @ theta[0].astype(np.float64).T


recipe("AffineGrid", [N([[[1, 0.5, 0], [0, 1, -0.5]]]), I([1, 1, 2, 3])], align_corners=1, sweep=False)

EPSILON = float(np.float32(1e-5))
BATCH = [V(2, 3, 4), P(3), V(3), V(3), P(3)]
recipe("BatchNormalization", BATCH, since=9, expect=lambda i, a, t: [batch_norm(i)])
recipe("BatchNormalization", BATCH, since=14, training_mode=1, momentum=0.5, outputs=3)
recipe("BatchNormalization", BATCH, since=7, until=8, expect=lambda i, a, t: [batch_norm(i)])
recipe("BatchNormalization", BATCH, until=6, is_test=1, since=6, expect=lambda i, a, t: [batch_norm(i)])
recipe("BatchNormalization", BATCH, until=5, is_test=1, consumed_inputs=[0, 0, 0, 1, 1], expect=lambda i, a, t: [batch_norm(i)])


def batch_norm(i):
    x, s, b, m, v = (k.astype(np.float64) for k in i)
    c = lambda k: k.reshape(-1, 1)  # noqa: E731
    return (x - c(m)) / np.sqrt(c(v) + EPSILON) * c(s) + c(b)


recipe("InstanceNormalization", [V(2, 3, 4), P(3), V(3)], since=6, expect=lambda i, a, t: [instance_norm(i)])
recipe("InstanceNormalization", [V(2, 3, 4), P(3), V(3)], until=5, consumed_inputs=[0, 0, 0], expect=lambda i, a, t: [instance_norm(i)])


def instance_norm(i):
    x, s, b = (k.astype(np.float64) for k in i)
    return (x - x.mean(2, keepdims=True)) / np.sqrt(x.var(2, keepdims=True) + EPSILON) * s.reshape(3, 1) + b.reshape(3, 1)


recipe("GroupNormalization", [V(2, 4, 3), P(4), V(4)], since=21, num_groups=2, expect=lambda i, a, t: [group_norm(i)])
recipe("GroupNormalization", [V(2, 4, 3), P(2), V(2)], until=20, num_groups=2, expect=lambda i, a, t: [group_norm(i)])


def group_norm(i):
    x, s, b = (k.astype(np.float64) for k in i)
    g = x.reshape(2, 2, -1)
    g = ((g - g.mean(2, keepdims=True)) / np.sqrt(g.var(2, keepdims=True) + EPSILON)).reshape(x.shape)
    s, b = (k if len(k) == 4 else k.repeat(2) for k in (s, b))  # by channel or, in old versions, by group
    return g * s.reshape(4, 1) + b.reshape(4, 1)


recipe("LayerNormalization", [V(2, 3, 4), P(4), V(4)])
recipe("LayerNormalization", [V(2, 3, 4), P(4)], sweep=False)
recipe("LayerNormalization", [V(2, 3, 4), P(3, 4), V(3, 4)], outputs=3, axis=1, sweep=True, types={"T": lambda t: "tensor(float)"}, only=lambda t: True,
       stash_type=lambda t: t.number("U"), tolerance=(2e-2, 2e-2))
recipe("RMSNormalization", [V(2, 3, 4), P(4)])
recipe("RMSNormalization", [V(2, 3, 4), P(3, 4)], axis=1, epsilon=0.5, sweep=False)
recipe("LpNormalization", [W(2, 3)])
recipe("LpNormalization", [W(2, 3)], p=1, axis=0, sweep=False, expect=lambda i, a, t: [i[0] / np.abs(i[0]).sum(0)])
recipe("LRN", [V(1, 5, 2, 2)], size=3, expect=lambda i, a, t: [lrn(i[0], 3, 1e-4, 0.75, 1)])
recipe("LRN", [V(1, 5, 4)], size=4, alpha=0.5, beta=0.5, bias=2.0, sweep=False, expect=lambda i, a, t: [lrn(i[0], 4, 0.5, 0.5, 2)])


def lrn(x, size, alpha, beta, bias):
    x = x.astype(np.float64)
    square = np.stack([(x[:, max(0, c - (size - 1) // 2):c + size // 2 + 1] ** 2).sum(1) for c in range(5)], 1)
    return x / (bias + np.float32(alpha).astype(float) / size * square) ** beta


recipe("MeanVarianceNormalization", [V(2, 3, 2, 2)], expect=lambda i, a, t: [mean_variance(i[0].astype(np.float64))])


def mean_variance(x):
    return (x - x.mean((0, 2, 3), keepdims=True)) / (x.std((0, 2, 3), keepdims=True) + 1e-9)




def soft(op, x, axis, flat):
    """Over one axis; in old versions over everything from the axis on."""
    x = x.astype(np.float64)
    y = x.reshape(int(np.prod(x.shape[:axis])), -1) if flat else np.moveaxis(x, axis, -1)
    if op == "Hardmax":
        z = (np.arange(y.shape[-1]) == y.argmax(-1)[..., None]).astype(np.float64)
    else:
        z = np.exp(y - y.max(-1, keepdims=True))
        z = z / z.sum(-1, keepdims=True)
        z = np.log(z) if op == "LogSoftmax" else z
    return [z.reshape(x.shape) if flat else np.moveaxis(z, -1, axis)]


for op in ("Softmax", "LogSoftmax", "Hardmax"):
    recipe(op, [V(2, 3, 4)], axis=1, expect=lambda i, a, t, op=op: soft(op, i[0], 1, t.version < 13))
    recipe(op, [V(2, 3, 4)], sweep=False, expect=lambda i, a, t, op=op: soft(op, i[0], 1 if t.version < 13 else 2, t.version < 13))
    recipe(op, [V(2, 0, 4)], axis=-1, sweep=False, since=13)
recipe("NegativeLogLikelihoodLoss", [V(3, 4), I([0, 2, 3]), P(4)])
recipe("NegativeLogLikelihoodLoss", [V(3, 4, 2), I([[0, 2], [3, 1], [1, 1]])], reduction="none", ignore_index=1, sweep=False)
recipe("SoftmaxCrossEntropyLoss", [V(3, 4), I([0, 2, 3]), P(4)], outputs=2)
recipe("SoftmaxCrossEntropyLoss", [V(3, 4), I([0, 2, 3])], reduction="sum", sweep=False)
recipe("Dropout", [V(2, 3)], since=7)
recipe("Dropout", [V(2, 3), F(np.array(0.5, np.float32)), F(np.array(False))], since=12, sweep=False, outputs=2)
recipe("Dropout", [V(2, 3), N(0.5)], since=12, types={"T": lambda t: "tensor(float)"})
recipe("Dropout", [V(2, 3)], since=6, until=6, is_test=1, expect=lambda i, a, t: [i[0]])
recipe("Dropout", [V(2, 3)], until=5, is_test=1, consumed_inputs=[0], expect=lambda i, a, t: [i[0]])
recipe("ImageDecoder", [F(np.frombuffer(b"P6 2 2 255\n" + bytes(range(12)), np.uint8))], expect=lambda i, a, t: [np.arange(12).reshape(2, 2, 3)])
recipe("ImageDecoder", [F(np.frombuffer(b"P6 2 2 255\n" + bytes(range(12)), np.uint8))], pixel_format="BGR", sweep=False,
       expect=lambda i, a, t: [np.arange(12).reshape(2, 2, 3)[..., ::-1]])
