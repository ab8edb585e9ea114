"""Changes: what is done to a template to make a case; and generate, which makes the case of a seed."""
import random

import numpy as np
from onnx import AttributeProto, TensorProto, numpy_helper
from onnx.defs import OpSchema

import extremes
import schemas
import templates
from case import Floats, Ints, Texts, Value

LARGEST = 1 << 16  # elements of a changed input
ALIASES = {"constant_value": "value", "k": "k"}  # an input that was an attribute of another name


def tensors(case):
    return [i for i, v in enumerate(case.inputs) if v is not None and v.kind is None]


def schema_of(case, versions):
    fitting = [s for s in versions if s.since_version <= case.opset]
    return fitting[-1] if fitting else versions[0]


def changed_list(rng, values, element):
    """One element replaced, added or removed, or another length."""
    out, kind = list(values), type(values)
    what = rng.random()
    if out and what < 0.6:
        i = rng.randrange(len(out))
        out[i] = element(out[i])
    elif out and what < 0.72:
        del out[rng.randrange(len(out))]
    elif what < 0.84:
        out.insert(rng.randint(0, len(out)), element(out[-1] if out else 0))
    elif what < 0.92:
        out = []
    elif what < 0.97:
        out = [element(0)] * max(1, len(out))
    else:
        out = out * 300 or [element(0)] * 1000
    return kind(out)


def changed_value(rng, value, words):
    """Another value of the same kind of attribute."""
    if isinstance(value, Ints):
        return changed_list(rng, value, lambda v: extremes.clamped(extremes.integer(rng, v)))
    if isinstance(value, Floats):
        return changed_list(rng, value, lambda v: extremes.real(rng))
    if isinstance(value, Texts):
        return changed_list(rng, value, lambda v: extremes.text(rng, words))
    if isinstance(value, int):
        return extremes.clamped(extremes.integer(rng, value))
    if isinstance(value, float):
        return extremes.real(rng)
    if isinstance(value, (bytes, str)):
        return changed_text(rng, value) if rng.random() < 0.4 else extremes.text(rng, words)
    if isinstance(value, TensorProto):
        return changed_tensor(rng, value)
    if isinstance(value, AttributeProto) and value.type == AttributeProto.GRAPH or hasattr(value, "node"):
        return changed_graph(rng, value)
    return value


def changed_text(rng, value):
    """A character removed, added or moved: what is nearly an equation, a mode, a pattern."""
    out = list(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    for _ in range(rng.choice([1, 1, 2, 4])):
        if out and rng.random() < 0.5:
            del out[rng.randrange(len(out))]
        out.insert(rng.randint(0, len(out)), rng.choice([*"aijkAZ.,-> 01_*[(", *out]))
    return "".join(out)


def changed_tensor(rng, proto):
    dtype = proto.data_type if rng.random() < 0.7 else rng.choice(list(extremes.DTYPES.values()))
    dims = list(proto.dims) if rng.random() < 0.4 else extremes.shape(rng, 64)
    return numpy_helper.from_array(extremes.array(rng, dtype, dims))


def changed_graph(rng, value):
    """A body in which something is out of place."""
    out = type(value)()
    out.CopyFrom(value)
    graph = out.g if isinstance(out, AttributeProto) else out
    what = rng.random()
    if what < 0.3 and graph.node:
        node = rng.choice(graph.node)
        if node.attribute:
            a = rng.choice(node.attribute)
            a.i = extremes.clamped(extremes.integer(rng, a.i))
        else:
            node.op_type = rng.choice(["Identity", "Neg", "Shape", "Add", "Not"])
    elif what < 0.5 and graph.output:
        del graph.output[rng.randrange(len(graph.output))]
    elif what < 0.65 and graph.input:
        del graph.input[rng.randrange(len(graph.input))]
    elif what < 0.8 and graph.input:
        graph.output.add().CopyFrom(rng.choice(graph.input))
    elif graph.input:
        one = rng.choice(graph.input)
        one.type.CopyFrom(schemas.type_proto(rng.choice(list(extremes.DTYPES))))
    return out


def change_attribute(rng, case, schema):
    names = sorted(case.attributes)
    if names and rng.random() < 0.65:
        name = rng.choice(names)
        words = schemas.words_of(schema.attributes[name]) if name in schema.attributes else ()
        case.attributes[name] = changed_value(rng, case.attributes[name], words)
        return
    absent = sorted(set(schema.attributes) - set(names))
    if absent:
        name = rng.choice(absent)
        value = schemas.attribute_value(rng, schema, schema.attributes[name])
        if value is not None:
            case.attributes[name] = value


def drop_attribute(rng, case, schema):
    if case.attributes:
        del case.attributes[rng.choice(sorted(case.attributes))]


def mistype_attribute(rng, case, schema):
    if case.attributes:
        case.attributes[rng.choice(sorted(case.attributes))] = rng.choice([0, 1.5, "x", Ints([1]), Floats([1.0]), Texts(["x"]), Ints()])


def change_elements(rng, case, schema):
    """Extremes, other values, or small integers where there are indices and sizes."""
    places = tensors(case)
    if not places:
        return change_sequence(rng, case, schema)
    v = case.inputs[rng.choice(places)]
    if v.data.dtype.kind in "iu" and v.data.size and v.data.size <= 16 and rng.random() < 0.7:
        out, info = v.data.copy(), np.iinfo(v.data.dtype)
        i = rng.randrange(out.size)
        out.reshape(-1)[i] = max(info.min, min(info.max, extremes.integer(rng, int(out.reshape(-1)[i]))))
        v.data = out
    elif rng.random() < 0.7:
        v.data = extremes.sprinkled(rng, v.data, v.dtype)
    else:
        v.data = extremes.array(rng, v.dtype, v.data.shape)


def reshaped(rng, data, dims):
    if np.prod(dims, dtype=float) > LARGEST:
        return data
    if data.size == 0 or data.dtype == object:
        return extremes.array(rng, TensorProto.STRING if data.dtype == object else Value(data).dtype, dims)
    return np.resize(data, dims)


def change_one_shape(rng, case, schema):
    places = tensors(case)
    if not places:
        return
    v = case.inputs[rng.choice(places)]
    dims = list(v.data.shape)
    what = rng.random()
    if what < 0.45 and dims:
        i = rng.randrange(len(dims))
        dims[i] = rng.choice([0, 1, dims[i] + 1, max(0, dims[i] - 1), 2 * dims[i], extremes.dimension(rng)])
    elif what < 0.6 and dims:
        del dims[rng.randrange(len(dims))]
    elif what < 0.75:
        dims.insert(rng.randint(0, len(dims)), rng.choice([1, 1, 2, 0]))
    elif what < 0.82:
        dims = []
    elif what < 0.88:
        dims = [1] * max(0, 8 - len(dims)) + dims
    else:
        dims = extremes.shape(rng)
    v.data = reshaped(rng, v.data, dims)


def change_equal_sizes(rng, case, schema):
    """One size becomes another wherever it stands, so that the operator still fits."""
    sizes = sorted({d for i in tensors(case) for d in case.inputs[i].data.shape})
    if not sizes:
        return
    old, new = rng.choice(sizes), extremes.dimension(rng)
    for i in tensors(case):
        v = case.inputs[i]
        v.data = reshaped(rng, v.data, [new if d == old else d for d in v.data.shape])


def change_type(rng, case, schema):
    """All inputs of one type parameter take another type that it allows; rarely one that it does not."""
    places = tensors(case)
    if not places or not schema.inputs:
        return
    formal = schemas.parameter(schema, rng.choice(places))
    choices = schemas.tensor_types(schema, formal.type_str) if rng.random() < 0.9 else list(extremes.DTYPES.values())
    if not choices:
        return
    dtype = rng.choice(choices)
    one = rng.choice(places) if rng.random() < 0.1 else None
    for i in places:
        if schemas.parameter(schema, i).type_str == formal.type_str if one is None else i == one:
            case.inputs[i].data = extremes.cast(case.inputs[i].data, dtype)
    case.output_types = []


def change_sequence(rng, case, schema):
    places = [i for i, v in enumerate(case.inputs) if v is not None and v.kind is not None]
    if places:
        v = case.inputs[rng.choice(places)]
        v.data = schemas.value_of(rng, v.kind, extremes.shape(rng, 256))


def change_presence(rng, case, schema):
    """An input is omitted, added, used twice or removed from the end; the same for outputs."""
    what = rng.random()
    if what < 0.3 and case.inputs:
        optional = [i for i in range(len(case.inputs)) if schemas.parameter(schema, i) is not None
                    and schemas.parameter(schema, i).option != OpSchema.FormalParameterOption.Single]
        case.inputs[rng.choice(optional) if optional and rng.random() < 0.8 else rng.randrange(len(case.inputs))] = None
    elif what < 0.5 and len(case.inputs) < min(schema.max_input, len(case.inputs) + 3):
        like = [case.inputs[i].data.shape for i in tensors(case)] or [()]
        dims = list(rng.choice(like)) if rng.random() < 0.6 else extremes.shape(rng, 512)
        case.inputs.append(schemas.input_value(rng, schema, len(case.inputs), {}, dims))
    elif what < 0.65 and len(tensors(case)) > 1:
        a, b = rng.sample(tensors(case), 2)
        case.inputs[b] = case.inputs[a]
    elif what < 0.75 and case.inputs:
        case.inputs.pop()
    elif what < 0.85 and len(case.outputs) < min(schema.max_output, 8):
        case.outputs.append(f"extra{len(case.outputs)}")
    elif case.outputs:
        i = rng.randrange(len(case.outputs))
        case.outputs[i] = "" if rng.random() < 0.5 else case.outputs[i]
        case.outputs = case.outputs if rng.random() < 0.5 else case.outputs[: max(1, i)]


def change_version(rng, case, versions):
    """The operator as an older opset has it: inputs become attributes where it says so."""
    old = schema_of(case, versions)
    new = rng.choice(versions)
    case.opset, case.output_types = schemas.opset_for(rng, versions, new), []
    names = {a.lower(): a for a in new.attributes}
    formals = [f.name.lower() for f in new.inputs]
    kept = []
    for i, v in enumerate(case.inputs):
        formal = schemas.parameter(old, i)
        name = formal.name.lower() if formal is not None else ""
        name = name if name in formals else ALIASES.get(name, name)
        if v is not None and v.kind is None and name in names and name not in formals and v.data.size < 1000 and v.data.dtype.kind in "iuf":
            flat = v.data.ravel().tolist()
            kind = new.attributes[names[name]].type
            if kind == schemas.Kind.INTS:
                case.attributes[names[name]] = Ints(extremes.clamped(x) for x in flat if x == x)
            elif kind == schemas.Kind.FLOATS:
                case.attributes[names[name]] = Floats(flat)
            elif flat and flat[0] == flat[0] and abs(flat[0]) < 2**62:
                case.attributes[names[name]] = int(flat[0]) if kind == schemas.Kind.INT else float(flat[0])
        else:
            kept.append(v)
    case.inputs = kept[: max(new.max_input, 1)]
    for name in set(case.attributes) - set(new.attributes):
        if rng.random() < 0.95:
            del case.attributes[name]
    if case.domain:
        case.other_opsets = {}


CHANGES = [(change_attribute, 30), (change_elements, 22), (change_one_shape, 14), (change_equal_sizes, 12), (change_type, 10),
           (change_presence, 9), (change_sequence, 3), (drop_attribute, 3), (mistype_attribute, 1)]
AROUND = [("Identity", {}), ("Relu", {}), ("Neg", {}), ("Shape", {}), ("Cast", {"to": 1}), ("Transpose", {}), ("Flatten", {}), ("Abs", {}),
          ("Sigmoid", {})]


def placed(rng, case):
    """How the node stands in its model, and what the session is asked for."""
    for v in case.inputs:
        if v is not None and v.kind is None and v.data.dtype.kind not in "V":
            v.constant = rng.random() < 0.25
            v.declared = rng.choice(["fixed", "fixed", "symbols", "symbols", "rank"]) if rng.random() < 0.98 else "wrong"
    if rng.random() < 0.08:
        case.after = [rng.choice(AROUND)]
    if rng.random() < 0.08 and case.inputs:
        case.before = [(*rng.choice(AROUND), rng.randrange(len(case.inputs)))]
    if rng.random() < 0.08 and all(v is None or v.kind is None for v in case.inputs):
        case.wrap, case.trips = rng.choice(["If", "Loop", "Scan", "function"]), rng.choice([0, 1, 2, 2, 3, -1])
    case.output_types = case.output_types if rng.random() < 0.5 else []
    case.ir_version = 3 if rng.random() < 0.02 else 10
    case.second_feeds = rng.random() < 0.25
    case.options = {"threads": rng.choice([1, 1, 2]), "plain": rng.random() < 0.15, "optimize": rng.choice(["all"] * 8 + ["none"])}


def endless(case):
    """A Loop whose body goes on for ever does so by its meaning; the count stays small unless the row ends by itself."""
    if case.op != "Loop" or case.origin == "own row":
        return
    few = Value(np.array(3, np.int64))
    if not case.inputs:
        case.inputs.append(few)
    first = case.inputs[0]
    if first is None or first.kind is not None or first.data.dtype.kind not in "iu" or (first.data.size and first.data.max() > 1000):
        case.inputs[0] = few


class Generator:
    """Makes the case of a seed; the same for the same onnx package."""

    def __init__(self):
        self.history = schemas.history()
        self.templates = templates.collect()
        self.operators = sorted(self.history)

    def case(self, seed, only=None):
        rng = random.Random(seed)
        operators = [o for o in self.operators if o[1] in only] if only else self.operators
        key = rng.choice(operators)
        versions, rows = self.history[key], self.templates.get(key)
        if not rows or rng.random() < 0.15:
            case = schemas.case_from(rng, versions, rng.choice(versions))
        else:
            case = templates.copied(rng.choice(rows))
            if rng.random() < 0.25:
                change_version(rng, case, versions)
            else:
                case.opset = schemas.opset_for(rng, versions, schema_of(case, versions))
            schema = schema_of(case, versions)
            for change in rng.choices([c for c, _ in CHANGES], [w for _, w in CHANGES], k=rng.choice([0, 1, 1, 1, 2, 2, 3, 4, 6, 9])):
                change(rng, case, schema)
        placed(rng, case)
        endless(case)
        return case
