"""Sequences and optional values."""
import numpy as np
from onnx import helper

from ops.model import type_proto
from ops.recipe import recipe
from ops.values import I, V, W

LINKED = {"S": lambda t: f"seq({t.get('T')})", "T": lambda t: t.get("S", "seq(tensor(float))")[4:-1]}
recipe("SequenceConstruct", [V(2, 3), W(1)], types=LINKED)
recipe("SequenceEmpty", [], dtype=lambda t: t.number("S"), expect=lambda i, a, t: [[]])
recipe("SequenceAt", [V(2, 3), I(-1)], types=LINKED, expect=lambda i, a, t: [i[0][-1]])
recipe("SequenceErase", [V(2, 3), I(0)], types=LINKED, expect=lambda i, a, t: [i[0][1:]])
recipe("SequenceErase", [V(2, 3)], sweep=False, expect=lambda i, a, t: [i[0][:-1]])
recipe("SequenceInsert", [V(2, 3), W(1), I(1)], types=LINKED, expect=lambda i, a, t: [[i[0][0], i[1], i[0][1]]])
recipe("SequenceInsert", [V(2, 3), W(1)], sweep=False, expect=lambda i, a, t: [[*i[0], i[1]]])
recipe("SequenceLength", [V(2, 3)], expect=lambda i, a, t: [np.array(2)])
recipe("ConcatFromSequence", [V(2, 3)], types=LINKED, axis=1, expect=lambda i, a, t: [np.concatenate(i[0], 1)])
recipe("ConcatFromSequence", [V(2, 3)], sweep=False, axis=0, new_axis=1, expect=lambda i, a, t: [np.stack(i[0], 0)])
recipe("SplitToSequence", [V(4, 3), I([1, 3])], types=LINKED, expect=lambda i, a, t: [[i[0][:1], i[0][1:]]])
recipe("SplitToSequence", [V(4, 3), I(3)], sweep=False, expect=lambda i, a, t: [[i[0][:3], i[0][3:]]])
recipe("SplitToSequence", [V(3, 2)], sweep=False, keepdims=0, expect=lambda i, a, t: [[i[0][k] for k in range(3)]])


def opened(text):
    return text[9:-1] if text.startswith("optional(") else text


recipe("Optional", [V(2, 3)], types={"O": lambda t: f"optional({t['V']})", "V": lambda t: opened(t["O"])}, expect=lambda i, a, t: [i[0]])
recipe("Optional", [], sweep=False, type=lambda t: type_proto(opened(t["O"])), expect=lambda i, a, t: [None])
recipe("OptionalGetElement", [V(2, 3)], types={"V": lambda t: opened(t["O"])}, only=lambda t: opened(t["O"]) == t["V"], expect=lambda i, a, t: [i[0]])
recipe("OptionalHasElement", [V(2, 3)], expect=lambda i, a, t: [np.array(True)])
recipe("OptionalHasElement", [], since=18, sweep=False, expect=lambda i, a, t: [np.array(False)])


def element_body(types):
    """The body of a SequenceMap: its element joined with itself."""
    element = type_proto(types["S"][4:-1])
    return helper.make_graph([helper.make_node("Concat", ["x", "x"], ["y"], axis=0)], "body", [helper.make_value_info("x", element)],
                             [helper.make_value_info("y", element)])


def pair_body(types):
    """The second input of a SequenceMap, as it comes in."""
    first, second = type_proto(types["S"][4:-1]), type_proto(types["V"][4:-1] if types["V"].startswith("seq(") else types["V"])
    return helper.make_graph([helper.make_node("Identity", ["v"], ["y"])], "body", [helper.make_value_info("x", first), helper.make_value_info("v", second)],
                             [helper.make_value_info("y", second)])


recipe("SequenceMap", [V(2, 3)], body=element_body, types={"S": lambda t: "seq(tensor(float))"}, only=lambda t: True,
       expect=lambda i, a, t: [[np.concatenate([v, v]) for v in i[0]]])
recipe("SequenceMap", [V(2, 3), W(2)], body=pair_body, types={"S": lambda t: "seq(tensor(float))"},
       expect=lambda i, a, t: [i[1] if isinstance(i[1], list) else [i[1], i[1]]])
