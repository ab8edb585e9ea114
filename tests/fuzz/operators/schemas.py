"""Schemas: what the onnx package says of every operator in every version, and cases made from that alone."""
import re

import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.defs import OpSchema

import extremes
from case import Case, Floats, Ints, Texts, Value

Kind = OpSchema.AttrType


def history():
    """All versions of all operators: (domain, name) to a list, the oldest first."""
    out = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.deprecated:
            out.setdefault((schema.domain, schema.name), []).append(schema)
    for versions in out.values():
        versions.sort(key=lambda s: s.since_version)
    return dict(sorted(out.items()))


def newest_opset(domain):
    return max(s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.domain == domain)


NEWEST = {}


def opset_for(rng, versions, schema):
    """An opset in which this is the version that counts."""
    domain = schema.domain
    if domain not in NEWEST:
        NEWEST[domain] = max(newest_opset(domain), onnx.defs.onnx_opset_version() if domain == "" else 1)
    later = [s.since_version for s in versions if s.since_version > schema.since_version]
    last = min(later) - 1 if later else NEWEST[domain]
    return schema.since_version if rng.random() < 0.5 else rng.randint(schema.since_version, max(last, schema.since_version))


def words_of(attribute):
    """Strings that the documentation of an attribute quotes."""
    words = re.findall(r"[\"'`]([A-Za-z_][A-Za-z_0-9]*)[\"'`]", attribute.description)
    words += re.findall(r"\b([A-Z][A-Z_]{2,}|[a-z]+_[a-z_]+)\b", attribute.description)
    return sorted(set(words))


def allowed(schema, type_name):
    """The types that a constraint or a fixed type names."""
    for constraint in schema.type_constraints:
        if constraint.type_param_str == type_name:
            return sorted(constraint.allowed_type_strs)
    return [type_name]


def tensor_types(schema, type_name):
    return [extremes.DTYPES[t] for t in allowed(schema, type_name) if t in extremes.DTYPES]


def parameter(schema, i):
    """The formal input that input i is one of."""
    if not schema.inputs:
        return None
    return schema.inputs[min(i, len(schema.inputs) - 1)]


def type_proto(text):
    """TypeProto of a type as schemas write it: seq(tensor(float)), map(string, int64), optional(...)."""
    text = text.replace(" ", "")
    if text.startswith("tensor("):
        return helper.make_tensor_type_proto(extremes.DTYPES[text], None)
    kind, inner = text.split("(", 1)
    inner = inner[:-1]
    if kind == "seq":
        return helper.make_sequence_type_proto(type_proto(inner))
    if kind == "optional":
        return helper.make_optional_type_proto(type_proto(inner))
    if kind == "sparse_tensor":
        return helper.make_sparse_tensor_type_proto(extremes.DTYPES[f"tensor({inner})"], None)
    key, value = inner.split(",", 1)
    value = value if "(" in value else f"tensor({value})"
    return helper.make_map_type_proto(extremes.DTYPES[f"tensor({key})"], type_proto(value))


def value_of(rng, proto, dims):
    """Something of a type: array, list, dict, None."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        return extremes.array(rng, proto.tensor_type.elem_type, dims)
    if kind == "sequence_type":
        return [value_of(rng, proto.sequence_type.elem_type, dims if rng.random() < 0.7 else extremes.shape(rng, 256))
                for _ in range(rng.choice([0, 1, 2, 3]))]
    if kind == "optional_type":
        return None if rng.random() < 0.3 else value_of(rng, proto.optional_type.elem_type, dims)
    if kind == "map_type":
        texts = proto.map_type.key_type == TensorProto.STRING
        keys = rng.sample(["a", "b", "", "é", "zz"] if texts else [0, 1, 2, -1, 5, 2**63 - 1, -2**63], rng.choice([0, 1, 2, 3]))
        if proto.map_type.value_type.WhichOneof("value") != "tensor_type":
            return {k: {} for k in keys}
        values = value_of(rng, proto.map_type.value_type, [len(keys)])
        return {k: v.item() if hasattr(v, "item") else v for k, v in zip(keys, values)}
    return extremes.array(rng, TensorProto.FLOAT, dims)


def small_graph(rng):
    """A body: an input or none, one node."""
    kind = rng.choice(["float", "bool"])
    dtype = TensorProto.FLOAT if kind == "float" else TensorProto.BOOL
    inputs = [helper.make_tensor_value_info(f"in{i}", dtype, None) for i in range(rng.choice([0, 1, 1, 2, 2, 3]))]
    nodes = [helper.make_node("Identity", [i.name], [f"{i.name}_out"]) for i in inputs]
    if not nodes:
        nodes = [helper.make_node("Constant", [], ["in_out"], value=numpy_helper.from_array(extremes.array(rng, dtype, [])))]
    return helper.make_graph(nodes, "body", inputs, [helper.make_tensor_value_info(n.output[0], dtype, None) for n in nodes])


def attribute_value(rng, schema, attribute):
    """Something of the attribute's type, small numbers more often than extremes."""
    kind = attribute.type
    length = rng.choice([0, 1, 1, 2, 2, 3, 4, 8])
    words = words_of(attribute)
    if kind == Kind.INT:
        return extremes.clamped(extremes.integer(rng))
    if kind == Kind.FLOAT:
        return extremes.real(rng)
    if kind == Kind.STRING:
        return extremes.text(rng, words)
    if kind == Kind.INTS:
        return Ints(extremes.clamped(extremes.integer(rng)) for _ in range(length))
    if kind == Kind.FLOATS:
        return Floats(extremes.real(rng) for _ in range(length))
    if kind == Kind.STRINGS:
        return Texts(extremes.text(rng, words) for _ in range(length))
    if kind == Kind.TENSOR:
        return numpy_helper.from_array(extremes.array(rng, rng.choice(list(extremes.DTYPES.values())), extremes.shape(rng, 64)))
    if kind == Kind.GRAPH:
        return small_graph(rng)
    if kind == Kind.TYPE_PROTO:
        texts = sorted({t for c in schema.type_constraints for t in c.allowed_type_strs})
        return type_proto(rng.choice(texts)) if texts else type_proto("tensor(float)")
    if kind == Kind.SPARSE_TENSOR:
        values = numpy_helper.from_array(extremes.array(rng, TensorProto.FLOAT, [2]), "values")
        where = numpy_helper.from_array(extremes.array(rng, TensorProto.INT64, rng.choice([[2], [2, 2]])), "indices")
        return helper.make_sparse_tensor(values, where, [rng.choice([0, 2, 5, -1, 2**31]) for _ in range(rng.choice([1, 2]))])
    return None


def input_value(rng, schema, i, types, dims):
    """A value for input i; type parameters that were chosen for an earlier one hold."""
    formal = parameter(schema, i)
    name = formal.type_str
    if name not in types or not formal.is_homogeneous:
        types[name] = rng.choice(allowed(schema, name))
    if rng.random() < 0.02:
        types = {name: rng.choice(list(extremes.DTYPES))}
    proto = type_proto(types[name]) if types[name] in extremes.DTYPES or "(" in types[name] else type_proto("tensor(float)")
    if types[name] in extremes.DTYPES:
        return Value(extremes.array(rng, proto.tensor_type.elem_type, dims), constant=rng.random() < 0.3)
    return Value(value_of(rng, proto, dims), kind=proto)


def case_from(rng, versions, schema):
    """A case from the schema alone: the shapes are related by chance."""
    types, common = {}, extremes.shape(rng, 4096)
    count = rng.randint(schema.min_input, min(schema.max_input, max(schema.min_input, len(schema.inputs)) + 2))
    inputs = []
    for i in range(count):
        formal = parameter(schema, i)
        if formal.option == OpSchema.FormalParameterOption.Optional and rng.random() < 0.4:
            inputs.append(None)
            continue
        near = rng.random()
        dims = list(common)  # else of another shape, or a list
        if near >= 0.5:
            dims = extremes.shape(rng, 4096) if near < 0.7 else [rng.choice([0, 1, 1, 2, max(1, len(common))])] * rng.choice([0, 1, 1, 1])
        inputs.append(input_value(rng, schema, i, types, dims))
    attributes = {}
    for name, attribute in sorted(schema.attributes.items()):
        if attribute.required or rng.random() < 0.35:
            value = attribute_value(rng, schema, attribute)
            if value is not None:
                attributes[name] = value
    least = max(1, schema.min_output)
    outputs = [f"o{i}" for i in range(least if rng.random() < 0.6 else rng.randint(least, min(schema.max_output, least + 3)))]
    opset = opset_for(rng, versions, schema)
    return Case(schema.name, schema.domain, opset, attributes, inputs, outputs, origin=f"schema {schema.since_version}")
