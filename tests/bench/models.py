"""What the benchmarks of whole models share: inputs of any model, one runtime in a process of its own, the machine's kind.

As a program it is that process: models.py RUNTIME MODEL THREADS DIMS; each line read from stdin is seconds to run for, each line
written a list of times in seconds.
"""
import json
import subprocess
import sys
import time

import numpy as np

TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(int64)": np.int64,
         "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}


def feeds_of(session, dims):
    """Small random numbers, ones for integers; dims: sizes of named dimensions, else as the tenon command has it: 1 in front, 16 elsewhere."""
    rng = np.random.default_rng(0)
    feeds = {}
    for port in session.get_inputs():
        shape = [d if isinstance(d, int) else dims.get(d, 16 if axis else 1) for axis, d in enumerate(port.shape)]
        kind = TYPES[port.type]
        feeds[port.name] = (rng.standard_normal(shape) * 0.5).astype(kind) if np.issubdtype(kind, np.floating) else np.ones(shape, kind)
    return feeds


def open_session(runtime, path, threads):
    rt = __import__(runtime)
    options = rt.SessionOptions()
    options.intra_op_num_threads = threads
    return rt.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Runtime:
    """A runtime with a model loaded, in a process of its own, so that no thread of one disturbs the other."""

    def __init__(self, runtime, path, threads, dims):
        self.process = subprocess.Popen([sys.executable, __file__, runtime, path, str(threads), json.dumps(dims)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            self.process.wait()
            raise RuntimeError(f"{runtime} cannot run {path}")

    def start(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def finish(self):
        return json.loads(self.process.stdout.readline())

    def round(self, seconds):
        self.start(seconds)
        return self.finish()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def instruction_set():
    with open("/proc/cpuinfo") as f:
        flags = next((set(line.split()) for line in f if line.startswith("flags")), set())
    for name, flag in (("amx", "amx_bf16"), ("avx512_vnni", "avx512_vnni"), ("avx512", "avx512bw"), ("avx2", "avx2")):
        if flag in flags:
            return name
    return "other"


def main():
    runtime, path, threads, dims = sys.argv[1:]
    session = open_session(runtime, path, int(threads))
    feeds = feeds_of(session, json.loads(dims))
    session.run(None, feeds)
    print("ready", flush=True)
    for line in sys.stdin:
        end, times = time.perf_counter() + float(line), []
        session.run(None, feeds)
        while time.perf_counter() < end or len(times) < 3:
            begin = time.perf_counter()
            session.run(None, feeds)
            times.append(time.perf_counter() - begin)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
