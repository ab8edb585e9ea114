"""Runs a model on zeros: run.py <model.onnx>. Prints every output's name, type and shape."""
import sys

import numpy as np
import tenonrt as rt

TYPES = {"float": "float32", "double": "float64"}


def main(path: str) -> None:
    session = rt.InferenceSession(path)
    feed = {}
    for arg in session.get_inputs():
        name = arg.type.removeprefix("tensor(").removesuffix(")")
        shape = [dim if isinstance(dim, int) else 1 for dim in arg.shape]
        feed[arg.name] = np.full(shape, "", dtype=object) if name == "string" else np.zeros(shape, TYPES.get(name, name))
    for arg, value in zip(session.get_outputs(), session.run(None, feed)):
        print(f"{arg.name}: {value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else f"{arg.name}: {type(value).__name__}")
    print("on", ", ".join(session.get_providers()))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: run.py <model.onnx>")
    main(sys.argv[1])
