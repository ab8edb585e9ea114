"""Recipes: for each operator how a small valid node of it looks, whatever its element types and version.

A recipe is declared once, in recipes/, and makes a case for every type slot (operator version x type constraint x type)
it is swept over, on every provider. Everything here is plain data.
"""
import dataclasses
import itertools

import onnx
from onnx import helper

from ops.values import DTYPES, OMITTED

RECIPES = []

DOMAINS = {"": "", "ml": "ai.onnx.ml", "training": "ai.onnx.preview.training", "preview": "ai.onnx.preview"}


@dataclasses.dataclass
class Recipe:
    op: str
    domain: str
    inputs: list               # makers, or OMITTED
    attributes: dict           # values, or functions of Types
    outputs: object            # a count, or a list of names with "" for what nobody wants
    since: int
    until: int
    sweep: bool                # False: the preferred types alone, an attribute corner
    types: dict                # constraint -> function of Types that derives its type from the others
    only: object               # function of Types: whether this combination is legal beyond what the schema says
    expect: object             # function of (inputs, attributes, Types) -> outputs, where the oracle is wrong or has none
    tolerance: object          # (rtol, atol), where the type's own does not fit
    constant: tuple            # inputs that are initializers
    check: object              # function of (inputs, outputs): instead of an expectation (random numbers)
    oracle: object             # (version, {attribute: value or None}): the evaluator runs this version, with these attributes changed
    wide: bool                 # the oracle may compute in a wide type and round at the end


def recipe(op, inputs, domain="", outputs=1, since=1, until=10**6, sweep=True, types=None, only=None, expect=None, tolerance=None, constant=(),
           check=None, oracle=None, wide=True, **attributes):
    RECIPES.append(Recipe(op, DOMAINS[domain], inputs, attributes, outputs, since, until, sweep, types or {}, only, expect, tolerance, constant, check, oracle, wide))


class Types:
    """Which type each constraint of a schema version has in one case."""

    def __init__(self, schema, chosen):
        self.schema, self.chosen, self.version = schema, chosen, schema.since_version

    def __getitem__(self, constraint):
        """'tensor(float)' of a constraint."""
        return self.chosen[constraint]

    def get(self, constraint, default="tensor(float)"):
        return self.chosen.get(constraint, default)

    def element(self, constraint, default="tensor(float)"):
        """'float' of a constraint, whatever it is an element of."""
        return element_of(self.chosen.get(constraint, default))

    def number(self, constraint, default="tensor(float)"):
        """TensorProto's number, for attributes."""
        return number_of(self.element(constraint, default))

    def input(self, i):
        """'tensor(float)' of input i; the last parameter of the schema stands for all that follow."""
        return self.of(self.schema.inputs, i)

    def output(self, i):
        return self.of(self.schema.outputs, i)

    def of(self, parameters, i):
        text = parameters[min(i, len(parameters) - 1)].type_str
        return self.chosen.get(text, text)


def element_of(text):
    while "(" in text:
        text = text[text.index("(") + 1:-1]
    return text.split(",")[-1].strip()


def number_of(element):
    return helper.np_dtype_to_tensor_dtype(__import__("numpy").dtype(DTYPES[element])) if element != "string" else onnx.TensorProto.STRING


PREFERRED = ["tensor(float)", "tensor(int64)", "tensor(bool)", "tensor(uint8)", "tensor(string)", "seq(tensor(float))", "optional(tensor(float))"]


def preferred(allowed):
    return next((t for t in PREFERRED if t in allowed), sorted(allowed)[0])


@dataclasses.dataclass
class Case:
    recipe: Recipe
    types: Types
    slot: tuple  # (constraint, type), or None for a corner
    corner: int  # which recipe of the operator

    @property
    def name(self):
        s = self.types.schema
        where = ",".join(f"{k}={v}" for k, v in self.types.chosen.items())
        return f"{s.domain + '.' if s.domain else ''}{s.name}-{s.since_version}[{where}]#{self.corner}"


def recipes_of(schema):
    return [r for r in RECIPES if r.op == schema.name and r.domain == schema.domain and r.since <= schema.since_version <= r.until]


def cases_of(schema):
    """The cases of one operator version: every type of every constraint once with the first recipe that may have it, then the corners."""
    constraints = {c.type_param_str: sorted(c.allowed_type_strs) for c in schema.type_constraints}
    base = {k: preferred(v) for k, v in constraints.items()}
    done = set()
    for number, r in enumerate(recipes_of(schema)):
        sweeps = [(k, t) for k, v in constraints.items() for t in v] if r.sweep else []
        for slot in sweeps or [None]:
            chosen = settle(r, schema, constraints, base, slot)
            if chosen is None or (slot and slot in done and tuple(sorted(chosen.items())) in done):
                continue
            done |= {slot, tuple(sorted(chosen.items()))}
            yield Case(r, Types(schema, chosen), slot, number)


def settle(r, schema, constraints, base, slot):
    """The types of the other constraints for one slot; None where this recipe has no legal combination."""
    chosen = dict(base)
    if slot:
        chosen[slot[0]] = slot[1]
    free = [k for k in constraints if not slot or k != slot[0]]
    for k, f in r.types.items():
        if k in free and k in constraints:
            derived = f(Types(schema, chosen))
            if derived is not None:
                if derived not in constraints[k]:
                    return None
                chosen[k] = derived
    if r.only is None or r.only(Types(schema, chosen)):
        return chosen
    for combination in itertools.islice(itertools.product(*(constraints[k] for k in free)), 20000):
        trial = {**chosen, **dict(zip(free, combination))}
        if r.only(Types(schema, trial)):
            return trial
    return None


def inputs_of(case):
    """The input values by position; OMITTED where there is none."""
    return [OMITTED if make is OMITTED else make(case.types.input(i)) for i, make in enumerate(case.recipe.inputs)]


def outputs_of(case):
    """The names of the outputs by position; "" for what nobody wants."""
    wanted = case.recipe.outputs
    return [f"out{i}" for i in range(wanted)] if isinstance(wanted, int) else list(wanted)


def attributes_of(case):
    made = {k: v(case.types) if callable(v) else v for k, v in case.recipe.attributes.items()}
    return {k: v for k, v in made.items() if v is not None}
