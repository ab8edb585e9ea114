"""A case as a model of one node, and its feeds."""
import numpy as np
import onnx
from onnx import helper

from ops.recipe import attributes_of, inputs_of, number_of, outputs_of
from ops.values import OMITTED


def type_proto(text, shape=None):
    """'seq(tensor(float))' as TypeProto."""
    if text.startswith("seq("):
        return helper.make_sequence_type_proto(type_proto(text[4:-1]))
    if text.startswith("optional("):
        return helper.make_optional_type_proto(type_proto(text[9:-1]))
    if text.startswith("map("):
        key, value = text[4:-1].split(",", 1)
        value = value.strip()
        return helper.make_map_type_proto(number_of(key.strip()), type_proto(value if "(" in value else f"tensor({value})", [] if "(" not in value else None))
    return helper.make_tensor_type_proto(number_of(text[7:-1]), shape)


def shape_of(value):
    return list(value.shape) if isinstance(value, np.ndarray) else None


def tensor_proto(value, name):
    if value.dtype == object:
        return helper.make_tensor(name, onnx.TensorProto.STRING, value.shape, [str(v).encode() for v in value.reshape(-1)])
    return onnx.numpy_helper.from_array(value, name)


OPSET_OF_IR = ((3, 8), (4, 9), (5, 10), (6, 11), (7, 14), (8, 18), (9, 20), (10, 22), (11, 23), (12, 24), (13, 27))


def build(case, inputs=None):
    """(model, feeds). The node's domain is imported at the case's version, ONNX beside it at a version that fits."""
    schema, r = case.types.schema, case.recipe
    inputs = inputs_of(case) if inputs is None else inputs
    names, infos, constants, feeds = [], [], [], {}
    for i, value in enumerate(inputs):
        if value is OMITTED:
            names.append("")
            continue
        name = f"in{i}"
        names.append(name)
        text = case.types.input(i)
        if i in r.constant:
            constants.append(tensor_proto(value, name))
        else:
            infos.append(helper.make_value_info(name, type_proto(text, shape_of(value))))
            feeds[name] = value
    while names and not names[-1]:
        names.pop()
    outputs = outputs_of(case)
    node = helper.make_node(schema.name, names, outputs, domain=schema.domain, **attributes_of(case))
    results = []
    for i, o in enumerate(outputs):
        if o:
            text = case.types.output(i)
            results.append(helper.make_value_info(o, type_proto(text)))
    graph = helper.make_graph([node], "case", infos, results, constants)
    opsets = [helper.make_opsetid(schema.domain, schema.since_version)]
    onnx_version = schema.since_version
    if schema.domain:
        onnx_version = max(s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.domain == "")
        opsets.append(helper.make_opsetid("", onnx_version))
    ir = next((ir for ir, opset in OPSET_OF_IR if onnx_version <= opset), 14)
    return helper.make_model(graph, opset_imports=opsets, ir_version=max(ir, 4)), feeds
