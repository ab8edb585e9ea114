"""Bodies: If, Loop, Scan over every type that can pass through them."""
import numpy as np
from onnx import TensorProto, helper

from ops.model import tensor_proto, type_proto
from ops.recipe import element_of, recipe
from ops.values import F, I, OMITTED, V, W, numbers

BOOL = lambda name: helper.make_tensor_value_info(name, TensorProto.BOOL, [])  # noqa: E731
INT = lambda name: helper.make_tensor_value_info(name, TensorProto.INT64, [])  # noqa: E731


def branch(element):
    """A branch without inputs that makes a value of the type."""
    def made(types):
        text = types["V"]
        nodes = [helper.make_node("Constant", [], ["value"], value=tensor_proto(numbers(element_of(text), [1, 2]), "v"))]
        last = "value"
        if "seq(" in text:
            nodes.append(helper.make_node("SequenceConstruct", [last, last], ["list"]))
            last = "list"
        if text.startswith("optional("):
            nodes.append(helper.make_node("Optional", [last], ["maybe"]))
            last = "maybe"
        return helper.make_graph(nodes, element, [], [helper.make_value_info(last, type_proto(text))])
    return made


def chosen(i, a, t):
    value = numbers(t.element("V"), [1, 2])
    return [[value, value] if "seq(" in t["V"] else value]


recipe("If", [F(np.array(True))], then_branch=branch("then"), else_branch=branch("else"), expect=chosen)


def step(types):
    v = type_proto(types["V"])
    return helper.make_graph([helper.make_node("Identity", ["go"], ["stay"]), helper.make_node("Identity", ["v"], ["w"])], "body",
                             [INT("i"), BOOL("go"), helper.make_value_info("v", v)], [BOOL("stay"), helper.make_value_info("w", v)])


recipe("Loop", [I(3), F(np.array(True)), V(2)], body=step, expect=lambda i, a, t: [i[2]])
recipe("Loop", [I(3), OMITTED, V(2)], body=step, sweep=False, expect=lambda i, a, t: [i[2]])


def stacking(types):
    v = type_proto(types["V"])
    return helper.make_graph([helper.make_node("Identity", ["go"], ["stay"]), helper.make_node("Identity", ["v"], ["w"]), helper.make_node("Identity", ["v"], ["row"])],
                             "body", [INT("i"), BOOL("go"), helper.make_value_info("v", v)],
                             [BOOL("stay"), helper.make_value_info("w", v), helper.make_value_info("row", v)])


recipe("Loop", [I(2), F(np.array(True)), V(2)], body=stacking, outputs=2, sweep=False, expect=lambda i, a, t: [i[2], np.stack([i[2], i[2]])])
recipe("Loop", [I(0), F(np.array(True)), V(2)], body=stacking, outputs=2, sweep=False, expect=lambda i, a, t: [i[2], np.zeros((0, 2))])


def scanned(types):
    v = type_proto(types["V"])
    return helper.make_graph([helper.make_node("Identity", ["s"], ["t"]), helper.make_node("Identity", ["x"], ["y"])], "body",
                             [helper.make_value_info("s", v), helper.make_value_info("x", v)], [helper.make_value_info("t", v), helper.make_value_info("y", v)])


recipe("Scan", [W(2), V(3, 2)], since=9, body=scanned, num_scan_inputs=1, outputs=2, expect=lambda i, a, t: [i[0], i[1]])
recipe("Scan", [W(2), V(3, 2)], since=9, body=scanned, num_scan_inputs=1, outputs=2, sweep=False, scan_input_directions=[1], expect=lambda i, a, t: [i[0], i[1][::-1]])
recipe("Scan", [OMITTED, W(1, 2), V(1, 3, 2)], until=8, body=scanned, num_scan_inputs=1, outputs=2, expect=lambda i, a, t: [i[1], i[2]])
