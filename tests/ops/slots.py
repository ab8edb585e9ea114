"""Every type slot of every operator (operator version x type constraint x type), and what became of it on a provider.

A slot counts when a case of it ran and agreed with its oracle; a slot without a recipe or an oracle is missing.
"""
import collections
import dataclasses

import onnx

import ops.recipes  # noqa: F401  fills the list
from ops.model import build
from ops.oracle import NoOracle, difference, expected
from ops.recipe import cases_of, inputs_of

DOMAINS = ("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training")


def schemas(history=False):
    """Schemas of the onnx package, the newest version of each operator or every version."""
    found = onnx.defs.get_all_schemas_with_history() if history else onnx.defs.get_all_schemas()
    return sorted((s for s in found if s.domain in DOMAINS and not s.deprecated), key=lambda s: (s.domain, s.name, s.since_version))


@dataclasses.dataclass
class Outcome:
    case: object
    kind: str  # passed, refused, failed, wrong, no oracle
    why: str = ""


def judged(case, got):
    """What became of a case whose outputs are these."""
    if case.recipe.check:
        error = case.recipe.check(inputs_of(case), got, case.types)
        return Outcome(case, "wrong" if error else "passed", error or "")
    try:
        want = expected(case)
    except NoOracle as e:
        return Outcome(case, "no oracle", str(e))
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if error := difference(a, b, case.recipe.tolerance):
            return Outcome(case, "wrong", f"output {i}: {error}")
    return Outcome(case, "passed")


def run_case(case, rt, providers):
    try:
        model, feeds = build(case)
        data = model.SerializeToString()
    except Exception as e:
        return Outcome(case, "no model", f"{type(e).__name__}: {e}")
    try:
        session = rt.InferenceSession(data, providers=providers)
    except Exception as e:
        return Outcome(case, "refused", str(e))
    try:
        got = session.run(None, feeds)
    except Exception as e:
        return Outcome(case, "failed", str(e))
    return judged(case, got)


def slots_of(schema):
    return [(c.type_param_str, t) for c in schema.type_constraints for t in sorted(c.allowed_type_strs)]


def survey(rt, providers, history=False, only=None):
    """(outcomes, slots): slots maps (schema key, constraint, type) to the outcome that speaks for it, None where no recipe has it."""
    outcomes, slots = [], collections.OrderedDict()
    for s in schemas(history):
        if only and not only(s):
            continue
        key = (s.domain, s.name, s.since_version)
        for slot in slots_of(s):
            slots[(*key, *slot)] = None
        for case in cases_of(s):
            outcome = run_case(case, rt, providers)
            outcomes.append(outcome)
            # What a case executes, it executes for each constraint that it gives a type to.
            for k, t in case.types.chosen.items():
                best = slots.get((*key, k, t))
                if best is None or (best.kind != "passed" and outcome.kind == "passed"):
                    slots[(*key, k, t)] = outcome
    return outcomes, slots
