"""Case: one node with its attributes and values, and how it stands in a model; Case.model makes the bytes."""
import dataclasses
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, ValueInfoProto, helper, numpy_helper


@dataclasses.dataclass(eq=False)
class Value:
    """An input: an array, or (kind is set) a list, dict or None with the TypeProto that says what it is."""
    data: Any
    kind: Any = None
    constant: bool = False
    declared: str = "fixed"  # fixed, symbols, rank (nothing known), wrong

    @property
    def dtype(self):
        return TensorProto.STRING if self.data.dtype.kind in "OUS" else helper.np_dtype_to_tensor_dtype(self.data.dtype)

    def type(self, name):
        if self.kind is not None:
            return self.kind
        dims = list(self.data.shape)
        if self.declared == "symbols":
            dims = [f"{name}_{i}" for i in range(len(dims))]
        elif self.declared == "wrong":
            dims = [d + 1 for d in dims[1:]]
        return helper.make_tensor_type_proto(self.dtype, None if self.declared == "rank" else dims)


@dataclasses.dataclass
class Case:
    op: str
    domain: str
    opset: int  # of the domain
    attributes: dict  # name to Python value, TensorProto, GraphProto, or a whole AttributeProto
    inputs: list  # Value or None
    outputs: list  # names, "" for one that is not wanted
    output_types: list = dataclasses.field(default_factory=list)  # TypeProto or None: nothing is declared
    other_opsets: dict = dataclasses.field(default_factory=dict)
    wrap: str = ""  # If, Loop, Scan, function: the node stands in a body
    before: list = dataclasses.field(default_factory=list)  # (op, attributes, index of the input that goes through it)
    after: list = dataclasses.field(default_factory=list)  # (op, attributes), applied to the first output
    trips: int = 2
    ir_version: int = 10
    second_feeds: bool = False  # run again, first axes one shorter
    options: dict = dataclasses.field(default_factory=dict)
    origin: str = ""

    def named(self):
        """Input values by name; one that is used twice has one name."""
        names = {}
        for v in self.inputs:
            if v is not None and id(v) not in {id(x) for x in names.values()}:
                names[f"i{len(names)}"] = v
        return names

    def node_list(self, names):
        by_id = {id(v): n for n, v in names.items()}
        inputs = ["" if v is None else by_id[id(v)] for v in self.inputs]
        nodes = []
        for k, (op, attributes, i) in enumerate(self.before):
            if i < len(inputs) and inputs[i]:
                nodes.append(helper.make_node(op, [inputs[i]], [f"b{k}"], **attributes))
                inputs[i] = f"b{k}"
        made = onnx.NodeProto(op_type=self.op, domain=self.domain, name="fuzzed", input=inputs)
        outputs = list(self.outputs)
        made.output.extend(outputs)
        for name, value in self.attributes.items():
            made.attribute.append(attribute(name, value))
        nodes.append(made)
        for k, (op, attributes) in enumerate(self.after):
            if outputs and outputs[0]:
                nodes.append(helper.make_node(op, [outputs[0]], [f"a{k}"], **attributes))
                outputs[0] = f"a{k}"
        return nodes, outputs

    def model(self):
        names = self.named()
        nodes, outputs = self.node_list(names)
        kept = [(o, self.output_types[i] if i < len(self.output_types) and not self.after else None) for i, o in enumerate(outputs) if o]
        infos = [ValueInfoProto(name=o, **({"type": t} if t is not None else {})) for o, t in kept]
        functions = []
        if self.wrap:
            nodes, infos, functions = self.wrapped(nodes, infos, names)
        weights = [numpy_helper.from_array(v.data, n) for n, v in names.items() if v.constant]
        inputs = [helper.make_value_info(n, v.type(n)) for n, v in names.items() if not v.constant or self.ir_version < 4]
        graph = onnx.GraphProto(name="g", node=nodes, input=inputs, output=infos, initializer=weights)
        opsets = {self.domain: self.opset, **self.other_opsets}
        opsets.setdefault("", min(21, onnx.defs.onnx_opset_version()))
        if functions:
            opsets["local"] = 1
        model = onnx.ModelProto(ir_version=self.ir_version, graph=graph, functions=functions)
        model.opset_import.extend(helper.make_opsetid(d, v) for d, v in opsets.items())
        if functions:
            functions_imports = [helper.make_opsetid(d, v) for d, v in opsets.items()]
            model.functions[0].opset_import.extend(functions_imports)
        return model.SerializeToString()

    def wrapped(self, nodes, infos, names):
        """The nodes in a body, with what they read from outside."""
        yes = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("", TensorProto.BOOL, [], [True]))
        if self.wrap == "function":
            f = onnx.FunctionProto(name="F", domain="local", input=list(names), output=[o.name for o in infos], node=nodes)
            return [onnx.NodeProto(op_type="F", domain="local", input=list(names), output=[o.name for o in infos])], infos, [f]
        outer = [ValueInfoProto(name=f"w{i}") for i in range(len(infos))]
        outs = [o.name for o in outer]
        if self.wrap == "If":
            branch = onnx.GraphProto(name="then", node=nodes, output=infos)
            other = onnx.GraphProto()
            other.CopyFrom(branch)
            return [yes, helper.make_node("If", ["yes"], outs, then_branch=branch, else_branch=other)], outer, []
        if self.wrap == "Loop":
            stay = helper.make_node("Identity", ["go"], ["stay"])
            body = onnx.GraphProto(name="body", node=[*nodes, stay], output=[ValueInfoProto(name="stay"), *infos], input=[
                helper.make_tensor_value_info("step", TensorProto.INT64, []), helper.make_tensor_value_info("go", TensorProto.BOOL, [])])
            trips = helper.make_node("Constant", [], ["trips"], value=helper.make_tensor("", TensorProto.INT64, [], [self.trips]))
            return [yes, trips, helper.make_node("Loop", ["trips", "yes"], outs, body=body)], outer, []
        body = onnx.GraphProto(name="body", node=nodes, output=infos, input=[helper.make_tensor_value_info("row", TensorProto.FLOAT, [])])
        rows = helper.make_node("Constant", [], ["rows"], value=numpy_helper.from_array(np.zeros(max(0, self.trips), np.float32)))
        return [rows, helper.make_node("Scan", ["rows"], outs, body=body, num_scan_inputs=1)], outer, []

    def feeds(self):
        return {n: v.data for n, v in self.named().items() if not v.constant}

    def shorter_feeds(self):
        """The same with one row less where there are rows: another signature."""
        return {n: v[:-1] if isinstance(v, np.ndarray) and v.ndim and v.shape[0] > 1 else v for n, v in self.feeds().items()}

    def describe(self):
        lines = [f"{self.domain or 'ai.onnx'} {self.op} opset {self.opset} from {self.origin}, {self.options}"]
        place = f"in {self.wrap} of {self.trips}" if self.wrap else ""
        place += f" after {self.before}" * bool(self.before) + f" before {self.after}" * bool(self.after) + " run twice" * self.second_feeds
        lines += [f"  {place}"] if place else []
        for i, v in enumerate(self.inputs):
            what = "omitted" if v is None else short(v.data)
            if v is not None and isinstance(v.data, np.ndarray):
                what = f"{v.data.dtype}{list(v.data.shape)} {short(v.data.ravel().tolist())}"
            lines.append(f"  input {i}: {what}{' constant' if v is not None and v.constant else ' ' + v.declared if v is not None else ''}")
        lines += [f"  {name} = {short(value)}" for name, value in self.attributes.items()]
        return "\n".join(lines)


def short(value):
    text = repr(value).replace("\n", " ")
    return text if len(text) < 300 else text[:300] + "..."


def attribute(name, value):
    """An AttributeProto; empty lists keep the type that onnx's helper cannot see."""
    if isinstance(value, AttributeProto):
        made = AttributeProto()
        made.CopyFrom(value)
        made.name = name
        return made
    made = AttributeProto(name=name)
    if isinstance(value, bool) or isinstance(value, int):
        made.type, made.i = AttributeProto.INT, value
    elif isinstance(value, float):
        made.type, made.f = AttributeProto.FLOAT, value
    elif isinstance(value, (str, bytes)):
        made.type, made.s = AttributeProto.STRING, value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    elif isinstance(value, Ints):
        made.type = AttributeProto.INTS
        made.ints.extend(value)
    elif isinstance(value, Floats):
        made.type = AttributeProto.FLOATS
        made.floats.extend(value)
    elif isinstance(value, Texts):
        made.type = AttributeProto.STRINGS
        made.strings.extend(v if isinstance(v, bytes) else v.encode("utf-8", "surrogatepass") for v in value)
    else:
        return helper.make_attribute(name, value)
    return made


class Ints(list):
    """A list attribute whose type is known although it may be empty."""


class Floats(list):
    pass


class Texts(list):
    pass


def plain(proto):
    """The Python form of an AttributeProto, or the proto itself for kinds that are changed as a whole."""
    kind = proto.type
    if kind == AttributeProto.INTS:
        return Ints(proto.ints)
    if kind == AttributeProto.FLOATS:
        return Floats(proto.floats)
    if kind == AttributeProto.STRINGS:
        return Texts(proto.strings)
    if kind in (AttributeProto.INT, AttributeProto.FLOAT, AttributeProto.STRING, AttributeProto.TENSOR):
        return helper.get_attribute_value(proto)
    return proto
