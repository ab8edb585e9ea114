"""Time of single operators beside onnxruntime: the most used ones at typical shapes, one thread, one process, turn by turn.

  operators.py [--filter TEXT] [--seconds S] [--threads N]

A line for each: microseconds of both and the ratio (below 1: tenon is faster); at the end the geometric mean and the slowest.
onnxruntime comes from PyPI and is needed here only.
"""
import argparse
import math
import time

import numpy as np
import onnxruntime as ort
import tenonrt as rt
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)


def real(*shape):
    return RNG.standard_normal(shape, np.float32)


def whole(high, *shape, dtype=np.int64):
    return RNG.integers(0, high, shape).astype(dtype)


IMAGE = real(1, 64, 56, 56)
TOKENS = real(1, 128, 768)
SCORES = real(1, 12, 128, 128)

# name, operator, fed values, constants, attributes, outputs
OPERATORS = [
    *((op, op, [IMAGE], [], {}) for op in ("Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Abs", "Neg", "Floor", "LeakyRelu", "HardSwish", "Softplus", "Elu", "Gelu", "Sin",
                                           "Softsign", "HardSigmoid", "Round", "Sign")),
    *((op, op, [np.abs(IMAGE) + 1], [], {}) for op in ("Sqrt", "Log", "Reciprocal")),
    *((op, op, [TOKENS, TOKENS + 1], [], {}) for op in ("Add", "Mul", "Sub", "Div", "Min", "Max", "Equal", "Greater")),
    ("Add bias", "Add", [TOKENS], [real(768)], {}),
    ("Mul channel", "Mul", [IMAGE, real(1, 64, 1, 1)], [], {}),
    ("Add scalar", "Add", [TOKENS], [np.float32(1.5)], {}),
    ("Pow 2", "Pow", [TOKENS], [np.float32(2)], {}),
    ("Pow", "Pow", [np.abs(TOKENS)], [np.float32(1.7)], {}),
    ("Clip", "Clip", [IMAGE], [np.float32(0), np.float32(6)], {}),
    ("PRelu", "PRelu", [IMAGE], [real(64, 1, 1)], {}),
    ("Where", "Where", [TOKENS > 0, TOKENS, TOKENS + 1], [], {}),
    ("Mod", "Mod", [whole(1000, 65536), np.array([7])], [], {}),
    ("And", "And", [TOKENS > 0, TOKENS > 1], [], {}),
    ("Not", "Not", [TOKENS > 0], [], {}),
    ("Add int64", "Add", [whole(99, 65536), whole(99, 65536)], [], {}),
    ("Cast to int64", "Cast", [TOKENS], [], {"to": TensorProto.INT64}),
    ("Cast to float16", "Cast", [TOKENS], [], {"to": TensorProto.FLOAT16}),
    ("Cast bool to float", "Cast", [TOKENS > 0], [], {"to": TensorProto.FLOAT}),
    ("Concat channels", "Concat", [IMAGE, IMAGE], [], {"axis": 1}),
    ("Concat last", "Concat", [TOKENS, TOKENS], [], {"axis": -1}),
    ("Split", "Split", [real(1, 128, 2304)], [np.array([768, 768, 768])], {"axis": -1}, 3),
    ("Slice", "Slice", [TOKENS], [np.array([0]), np.array([384]), np.array([2])], {}),
    ("Slice steps", "Slice", [IMAGE], [np.array([0, 0]), np.array([56, 56]), np.array([2, 3]), np.array([2, 2])], {}),
    ("Transpose heads", "Transpose", [real(1, 128, 12, 64)], [], {"perm": [0, 2, 1, 3]}),
    ("Transpose last", "Transpose", [real(1, 12, 128, 64)], [], {"perm": [0, 1, 3, 2]}),
    ("Transpose NHWC", "Transpose", [IMAGE], [], {"perm": [0, 2, 3, 1]}),
    ("Reshape", "Reshape", [TOKENS], [np.array([1, 128, 12, 64])], {}),
    ("Gather rows", "Gather", [whole(30000, 1, 128)], [real(30000, 256)], {}, 1, [1, 0]),
    ("Gather axis 1", "Gather", [TOKENS], [np.array([0])], {"axis": 1}),
    ("GatherElements", "GatherElements", [TOKENS, whole(128, 1, 128, 768)], [], {"axis": 1}),
    ("GatherND", "GatherND", [real(64, 64, 64), whole(64, 1000, 2)], [], {}),
    ("ScatterND", "ScatterND", [real(1000, 64), whole(1000, 100, 1), real(100, 64)], [], {}),
    ("ScatterElements", "ScatterElements", [real(128, 768), whole(128, 64, 768), real(64, 768)], [], {}),
    ("Expand", "Expand", [real(1, 1, 128, 128)], [np.array([1, 12, 128, 128])], {}),
    ("Tile", "Tile", [real(128, 64)], [np.array([1, 12])], {}),
    ("Pad", "Pad", [IMAGE], [np.array([0, 0, 1, 1, 0, 0, 1, 1])], {}),
    ("Pad reflect", "Pad", [IMAGE], [np.array([0, 0, 1, 1, 0, 0, 1, 1])], {"mode": "reflect"}),
    ("DepthToSpace", "DepthToSpace", [IMAGE], [], {"blocksize": 2}),
    ("Trilu", "Trilu", [real(512, 512)], [], {}),
    ("ReduceSum last", "ReduceSum", [TOKENS], [np.array([-1])], {}),
    ("ReduceMean last", "ReduceMean", [TOKENS], [np.array([-1])], {}),
    ("ReduceMean image", "ReduceMean", [IMAGE], [np.array([2, 3])], {}),
    ("ReduceMax channels", "ReduceMax", [IMAGE], [np.array([1])], {}),
    ("ReduceL2", "ReduceL2", [TOKENS], [np.array([-1])], {}),
    ("ArgMax", "ArgMax", [real(64, 1000)], [], {"axis": 1}),
    ("CumSum", "CumSum", [TOKENS], [np.array(1)], {}),
    ("Softmax", "Softmax", [SCORES], [], {"axis": -1}),
    ("Softmax classes", "Softmax", [real(1, 21, 128, 128)], [], {"axis": 1}),
    ("LogSoftmax", "LogSoftmax", [real(64, 1000)], [], {"axis": -1}),
    ("LayerNormalization", "LayerNormalization", [TOKENS], [real(768), real(768)], {}),
    ("BatchNormalization", "BatchNormalization", [IMAGE], [real(64), real(64), real(64), np.abs(real(64)) + 1], {}),
    ("InstanceNormalization", "InstanceNormalization", [IMAGE], [real(64), real(64)], {}),
    ("GroupNormalization", "GroupNormalization", [IMAGE], [real(64), real(64)], {"num_groups": 8}),
    ("LpNormalization", "LpNormalization", [TOKENS], [], {}),
    ("LRN", "LRN", [IMAGE], [], {"size": 5}),
    ("MatMul", "MatMul", [TOKENS], [real(768, 768)], {}),
    ("MatMul heads", "MatMul", [real(1, 12, 128, 64), real(1, 12, 64, 128)], [], {}),
    ("MatMul vector", "MatMul", [real(1, 768)], [real(768, 3072)], {}),
    ("Gemm", "Gemm", [real(1, 2048)], [real(1000, 2048), real(1000)], {"transB": 1}),
    ("Einsum", "Einsum", [real(1, 128, 12, 64), real(1, 128, 12, 64)], [], {"equation": "bihd,bjhd->bhij"}),
    ("Conv 3x3", "Conv", [IMAGE], [real(64, 64, 3, 3), real(64)], {"pads": [1, 1, 1, 1]}),
    ("Conv 1x1", "Conv", [IMAGE], [real(128, 64, 1, 1)], {}),
    ("Conv depthwise", "Conv", [IMAGE], [real(64, 1, 3, 3)], {"group": 64, "pads": [1, 1, 1, 1]}),
    ("Conv first", "Conv", [real(1, 3, 224, 224)], [real(64, 3, 7, 7)], {"pads": [3, 3, 3, 3], "strides": [2, 2]}),
    ("Conv 1-D", "Conv", [real(1, 80, 1000)], [real(128, 80, 3)], {"pads": [1, 1]}),
    ("ConvTranspose", "ConvTranspose", [real(1, 64, 28, 28)], [real(64, 32, 2, 2)], {"strides": [2, 2]}),
    ("MaxPool", "MaxPool", [IMAGE], [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("AveragePool", "AveragePool", [IMAGE], [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("GlobalAveragePool", "GlobalAveragePool", [IMAGE], [], {}),
    ("Resize nearest", "Resize", [IMAGE], [np.zeros(0, np.float32), np.array([1, 1, 2, 2], np.float32)], {"mode": "nearest"}),
    ("Resize linear", "Resize", [IMAGE], [np.zeros(0, np.float32), np.array([1, 1, 2, 2], np.float32)], {"mode": "linear"}),
    ("GridSample", "GridSample", [real(1, 16, 64, 64), np.tanh(real(1, 64, 64, 2))], [], {}),
    ("LSTM", "LSTM", [real(32, 1, 128)], [real(1, 1024, 128), real(1, 1024, 256), real(1, 2048)], {"hidden_size": 256}, 3),
    ("GRU", "GRU", [real(32, 1, 128)], [real(1, 768, 128), real(1, 768, 256), real(1, 1536)], {"hidden_size": 256}, 2),
    ("TopK", "TopK", [real(1, 20000)], [np.array([100])], {}, 2),
    ("NonZero", "NonZero", [(TOKENS > 1)], [], {}),
    ("OneHot", "OneHot", [whole(1000, 128)], [np.array(1000), np.array([0, 1], np.float32)], {}),
    ("Range", "Range", [np.int64(0), np.int64(10000), np.int64(1)], [], {}),
    ("NonMaxSuppression", "NonMaxSuppression", [np.sort(np.abs(real(1, 1000, 4)), -1), np.abs(real(1, 1, 1000))],
     [np.array([100]), np.array([0.5], np.float32), np.array([0.1], np.float32)], {}),
    ("Unique", "Unique", [whole(1000, 10000)], [], {}, 4),
    ("QuantizeLinear", "QuantizeLinear", [TOKENS], [np.float32(0.02), np.uint8(128)], {}),
    ("DequantizeLinear", "DequantizeLinear", [whole(255, 1, 128, 768, dtype=np.uint8)], [np.float32(0.02), np.uint8(128)], {}),
    ("DynamicQuantizeLinear", "DynamicQuantizeLinear", [TOKENS], [], {}, 3),
    ("MatMulInteger", "MatMulInteger", [whole(255, 128, 768, dtype=np.uint8)], [whole(127, 768, 768, dtype=np.int8), np.uint8(128)], {}),
    ("RotaryEmbedding", "RotaryEmbedding", [real(1, 12, 128, 64), real(1, 128, 32), real(1, 128, 32)], [], {}),
    ("Attention", "Attention", [real(1, 12, 128, 64), real(1, 12, 128, 64), real(1, 12, 128, 64)], [], {}),
]
OPSET = 23


def model_of(op, fed, constants, attributes, outputs=1, order=None):
    values = [(f"x{i}", v) for i, v in enumerate(fed)] + [(f"c{i}", np.asarray(v)) for i, v in enumerate(constants)]
    names = [values[i][0] for i in (order or range(len(values)))]
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(np.asarray(v).dtype), np.shape(v)) for n, v in values[:len(fed)]]
    made = [f"y{i}" for i in range(outputs)]
    graph = helper.make_graph([helper.make_node(op, names, made, **attributes)], "bench", infos, [helper.make_empty_tensor_value_info(n) for n in made],
                              [numpy_helper.from_array(v, n) for n, v in values[len(fed):]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return model.SerializeToString(), {n: np.asarray(v) for n, v in values[:len(fed)]}


def once(run, repeats):
    begin = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - begin) / repeats


def compare(case, seconds, threads):
    data, feeds = model_of(*case[1:])
    sessions = []
    for lib in (rt, ort):
        options = lib.SessionOptions()
        options.intra_op_num_threads = threads
        sessions.append(lib.InferenceSession(data, options, providers=["CPUExecutionProvider"]))
    runs = [lambda s=s: s.run(None, feeds) for s in sessions]
    repeats = [max(1, int(0.005 / max(once(r, 3), 1e-7))) for r in runs]
    best, end = [math.inf, math.inf], time.perf_counter() + seconds
    while time.perf_counter() < end:
        for i in (0, 1):
            best[i] = min(best[i], once(runs[i], repeats[i]))
    return best


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--filter", default="")
    ap.add_argument("--seconds", type=float, default=0.4, help="for each operator")
    ap.add_argument("--threads", type=int, default=1)
    a = ap.parse_args()
    ort.set_default_logger_severity(4)
    ratios = []
    print(f"{'operator':24} {'tenon':>10} {'onnxruntime':>12} {'ratio':>7}")
    for case in OPERATORS:
        if a.filter not in case[0]:
            continue
        try:
            ours, theirs = compare(case, a.seconds, a.threads)
        except Exception as e:
            print(f"{case[0]:24} {str(e).splitlines()[0][:100]}")
            continue
        ratios.append((ours / theirs, case[0]))
        print(f"{case[0]:24} {ours * 1e6:8.1f} us {theirs * 1e6:9.1f} us {ours / theirs:7.2f}", flush=True)
    if ratios:
        mean = math.exp(sum(math.log(r) for r, _ in ratios) / len(ratios))
        print(f"{len(ratios)} operators, geometric mean {mean:.2f}, slowest {max(ratios)[1]} {max(ratios)[0]:.2f}")


if __name__ == "__main__":
    main()
