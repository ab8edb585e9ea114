#!/usr/bin/env python3
"""Writes a page that sets each model's time against what the machine could do at best, and says where the rest goes.

  roofline.py FOLDER OUT.md [--models a,b] [--threads 1] [--dim seq=128]

The peak is that of the multiply-add tile in L1 (gemm_bench), the bandwidth that of reading two large arrays. For every operator the
ideal time is the larger of its arithmetic at the peak and its weights at the bandwidth; the model's ideal is the sum. Convolutions
count as written: Winograd and Strassen do fewer multiplications, so a model may be above 100 %.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import time

import numpy as np
import onnx
import tenonrt

from models import feeds_of

BIN = pathlib.Path(__file__).resolve().parents[2] / "build/release/bin"


def peak_gflops():
    out = subprocess.run([BIN / "gemm_bench", "16", "16", "16"], capture_output=True, text=True).stdout
    return float(out.split()[1])


def bandwidth(seconds=0.7):
    """Bytes a second of one thread that reads."""
    a, b = np.ones(32 << 20, np.float32), np.ones(32 << 20, np.float32)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        np.dot(a, b)
        best = max(best, (a.nbytes + b.nbytes) / (time.perf_counter() - begin))
    return best


def named_dims(path):
    graph = onnx.load(path, load_external_data=False).graph
    return {d.dim_param for port in graph.input for d in port.type.tensor_type.shape.dim}


COUNTED = {"Conv", "ConvTranspose", "MatMul", "Gemm", "MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul", "MatMulNBits", "LSTM", "GRU"}


def shapes_of(model, names, dims):
    """Shapes of values: the model is run once with all of them as outputs."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.output[:]
    changed.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names)
    session = tenonrt.InferenceSession(changed.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = feeds_of(session, dims)
    shapes = {name: list(array.shape) for name, array in feeds.items()}
    shapes.update((name, list(value.shape)) for name, value in zip(names, session.run(list(names), feeds)))
    return shapes


def work(path, dims):
    """(floating point operations, bytes of constant operands) of each node that multiplies."""
    model = onnx.load(path)
    weights = {t.name: (list(t.dims), len(t.raw_data) or 4 * math.prod(t.dims)) for t in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type in COUNTED]
    inputs = {p.name for p in model.graph.input}
    names = {v for n in nodes for v in (*n.input, n.output[0]) if v and v not in weights and v not in inputs}
    shapes = shapes_of(model, sorted(names), dims) | {name: shape for name, (shape, _) in weights.items()}
    return [(flops_of(n, shapes), sum(weights[i][1] for i in n.input if i in weights)) for n in nodes]


def flops_of(node, shapes):
    x, out = shapes[node.input[0]], shapes[node.output[0]]
    op = node.op_type
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if op == "MatMulNBits":
        return 2.0 * math.prod(x) * attributes["N"]
    if op in ("LSTM", "GRU"):
        return 2.0 * x[0] * x[1] * (math.prod(shapes[node.input[1]]) + math.prod(shapes[node.input[2]]))
    w = shapes[node.input[3 if op in ("QLinearConv", "QLinearMatMul") else 1]]
    if op in ("Conv", "ConvInteger", "QLinearConv"):
        return 2.0 * math.prod(out) * math.prod(w[1:])
    if op == "ConvTranspose":
        return 2.0 * math.prod(x) * math.prod(w[1:])
    if op == "Gemm":
        return 2.0 * math.prod(out) * w[1 if attributes.get("transB", 0) else 0]
    return 2.0 * math.prod(out) * (w[-2] if len(w) > 1 else w[0])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder", type=pathlib.Path)
    ap.add_argument("out", type=pathlib.Path)
    ap.add_argument("--models")
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--dim", action="append", default=[])
    ap.add_argument("--runs", type=int, default=20)
    a = ap.parse_args()
    dims = {name: int(size) for name, size in (d.split("=") for d in a.dim)}
    peak, speed = peak_gflops(), bandwidth()
    lines = ["# Roofline", "",
             f"Made by `tests/bench/roofline.py`: {a.threads} thread{'s' * (a.threads > 1)}, one thread's peak {peak:.0f} GF/s, one thread reads {speed / 1e9:.1f} GB/s.",
             "Ideal: each operator's arithmetic at the peak or its weights at that speed, whichever takes longer. Winograd does fewer",
             "multiplications than are counted.", "",
             "| model | ms | GFLOP | weights MB | ideal ms | of the ideal | where the time goes |", "|---|---:|---:|---:|---:|---:|---|"]
    names = a.models.split(",") if a.models else sorted(p.stem for p in a.folder.glob("*.onnx"))
    for name in names:
        path = a.folder / f"{name}.onnx"
        command = [BIN / "tenon", "profile", path, "-p", "cpu", "-t", str(a.threads), "--runs", str(a.runs), "--format", "json", "--top", "0"]
        for d in a.dim:
            if d.split("=")[0] in named_dims(path):
                command += ["-d", d]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{name}: left out: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            continue
        profile = json.loads(done.stdout)
        try:
            nodes = work(str(path), dims)
        except Exception as e:  # inputs that random numbers cannot stand for
            print(f"{name}: left out: {e}", file=sys.stderr)
            continue
        ms = profile["ns_per_run"] / 1e6
        ideal = sum(max(f / (peak * 1e6 * a.threads), b / speed * 1e3) for f, b in nodes)
        shares = ", ".join(f"{o['op']} {100 * o['share']:.0f} %" for o in profile["operators"][:5])
        lines.append(f"| {name} | {ms:.3g} | {sum(f for f, _ in nodes) / 1e9:.3g} | {sum(b for _, b in nodes) / 1e6:.1f} | "
                     f"{ideal:.3g} | {100 * ideal / ms:.0f} % | {shares} |")
        print(lines[-1], flush=True)
    a.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
