"""Writes seeds for the fuzz targets: seeds.py FOLDER. Models are small cases of the ONNX node corpus (Apache-2.0)."""
import json
import pathlib
import struct
import sys

root = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(root / "tests/onnx"), str(root / "tests/python")]


def write(folder, name, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def bundle(model, weights=b"", stored=b""):
    """As core/base/bundle.h lays it out, but for the hashes of the model and the index, which the fuzz target makes right."""
    sections, ranges = bytearray(4096), []
    for content in (weights, model, stored):
        ranges.append({"offset": len(sections), "bytes": len(content)})
        sections += content + bytes(-len(content) % 4096)
    none = {"xxh128": "0" * 32}
    index = json.dumps({"format": 1, "tenon": "0.1.0", "model": ranges[1] | none, "weights": ranges[0] | none, "targets": [
        {"provider": "cpu", "version": "0.1.0", "library": "0", "fingerprint": "cpu", "made": [{"threads": 1}],
         "stored": [{"kind": "packed", "key": "0", "what": "w"} | ranges[2] | none]}]}).encode()
    header = struct.pack("<8sIIQQQ32s", b"TENONB01", 1, 0, len(sections), len(index), len(sections) + len(index), bytes(32))
    return header + bytes(sections[len(header):]) + index


def main(out):
    import io

    import networks
    import numpy as np
    import onnx
    import runner
    for case in runner.read_corpus(runner.CORPUS)[0][::7]:
        data = case.path.read_bytes()
        if len(data) < 4096:
            write(out / "model", case.path.parent.name, data)
    for name, make in networks.NETWORKS.items():
        for opset in (7, 13, 22):
            data, _ = make(opset)
            if len(data) < 1 << 20:
                write(out / "model", f"{name}_{opset}", data)
    w = onnx.TensorProto(name="w", data_type=1, dims=[2, 2], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", "weights"), ("offset", "0"), ("length", "16")):
        w.external_data.add(key=key, value=value)
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [2, 2]) for name in "xy")
    product = onnx.helper.make_model(onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [w]))
    write(out / "bundle", "product", bundle(product.SerializeToString(), np.ones(4, np.float32).tobytes(), b"packed"))
    write(out / "bundle", "network", bundle(networks.NETWORKS[next(iter(networks.NETWORKS))](22)[0]))
    for file in (root / "configs").glob("*.json"):
        write(out / "config", file.name, file.read_text())
    manifest = (root / "plugins/cpu/cpu.tenon.json.in").read_text()
    write(out / "manifest", "cpu", manifest)
    write(out / "manifest", "full", json.dumps({
        "manifest_version": 1, "id": "acme", "version": "1", "abi": {"major": 1, "min": 0, "target": 0},
        "library": {"linux-x86_64": "a.so"},
        "requires": {"libs": ["libm.so.6"], "cpu_features": ["avx2"]}, "devices": [{"kind": "npu"}], "unloadable": True,
        "options_schema": {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"enum": ["x", "y"]}}}}))
    arrays = {"c": np.ones((2, 3), np.float32), "fortran": np.asfortranarray(np.ones((2, 3))), "text": np.array(["a", "bc"]),
              "bytes": np.array([b"a"]), "scalar": np.array(True), "structure": np.zeros(1, [("a", "f4")])}
    for name, array in arrays.items():
        for save in (np.save, np.savez, np.savez_compressed):
            file = io.BytesIO()
            save(file, array)
            write(out / "numpy", f"{name}_{save.__name__}", file.getvalue())
    for dtype in (np.float32, np.int64, np.bool_, np.float16, np.complex64):
        write(out / "tensor", np.dtype(dtype).name, onnx.numpy_helper.from_array(np.ones((2, 3), dtype), "t").SerializeToString())
    write(out / "tensor", "text", onnx.numpy_helper.from_array(np.array(["a", "bc"], object)).SerializeToString())
    write(out / "tensor", "sequence", onnx.numpy_helper.from_list([np.ones(2), np.ones(3)]).SerializeToString())
    write(out / "tensor", "optional", onnx.numpy_helper.from_optional([np.ones(2)]).SerializeToString())
    numbered = onnx.numpy_helper.from_dict({1: np.array(1.0), 2: np.array(2.0)})
    write(out / "tensor", "map", numbered.SerializeToString())
    named = onnx.MapProto(key_type=onnx.TensorProto.STRING, string_keys=[b"a", b"b"], values=numbered.values)
    write(out / "tensor", "map_named", named.SerializeToString())  # from_dict takes "a" for the name of a type


main(pathlib.Path(sys.argv[1]))
