"""What a case should give: the recipe's own expectation, else the onnx package's reference evaluator.

Small floating types are expected to give what float32 gives, rounded once at the end, so the evaluator runs the same
recipe in a wide type where the operator's schema has one.
"""
import dataclasses
import warnings

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from ops.model import build
from ops.recipe import Types, attributes_of, element_of, inputs_of, outputs_of
from ops.values import DTYPES, OMITTED

#: rtol, atol of an output, by element type
TOLERANCE = {"double": (1e-10, 1e-10), "float": (2e-5, 2e-6), "float16": (4e-3, 2e-3), "bfloat16": (3e-2, 2e-2), "complex64": (2e-5, 2e-6),
             "complex128": (1e-10, 1e-10)}


class NoOracle(Exception):
    pass


def expected(case):
    """Arrays, lists, dicts, None, in the order of the outputs that have a name."""
    r = case.recipe
    inputs = inputs_of(case)
    if r.expect:
        got = r.expect([None if v is OMITTED else v for v in inputs], attributes_of(case), case.types)
        return [rounded(v, t) for v, t in zip(got, output_types(case), strict=True)]
    errors = []
    for wide in ([True, False] if r.wide else [False]):
        try:
            return evaluate(case, inputs, wide)
        except Exception as e:  # whatever the evaluator does not have
            errors.append(f"{type(e).__name__}: {str(e)[:120]}")
    raise NoOracle("; ".join(errors))


def output_types(case):
    return [case.types.output(i) for i, name in enumerate(outputs_of(case)) if name]


def evaluate(case, inputs, wide):
    chosen = dict(case.types.chosen)
    if wide:
        allowed = {c.type_param_str: set(c.allowed_type_strs) for c in case.types.schema.type_constraints}
        for k, t in chosen.items():
            e = element_of(t)
            if e in ("float16", "bfloat16") and t.replace(e, "float") in allowed[k]:
                chosen[k] = t.replace(e, "float")
        if chosen == case.types.chosen:
            raise NoOracle("nothing wider")
    computed = dataclasses.replace(case, types=Types(case.types.schema, chosen))
    values = inputs
    if wide:
        values = [converted(v, computed.types.input(i)) for i, v in enumerate(inputs)]
    model, feeds = build(computed, values)
    if case.recipe.oracle:
        version, changed = case.recipe.oracle
        model.opset_import[0].version = version
        node = model.graph.node[0]
        kept = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} | changed
        del node.attribute[:]
        node.attribute.extend(onnx.helper.make_attribute(k, v) for k, v in kept.items() if v is not None)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        got = ReferenceEvaluator(model).run(None, feeds)
    return [rounded(v, t) for v, t in zip(got, output_types(case), strict=True)]


def converted(value, text):
    if isinstance(value, list):
        return [converted(v, text) for v in value]
    e = element_of(text)
    return value if value is OMITTED or value is None or e == "string" or isinstance(value, dict) or value.dtype == object else value.astype(DTYPES[e])


def rounded(value, text):
    """What was computed, in the output's own type."""
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, list):
        return [rounded(v, text) for v in value]
    e = element_of(text)
    value = np.asarray(value)
    if e == "string":
        return value.astype(object)
    with np.errstate(all="ignore"):
        return value.astype(DTYPES[e])


def difference(got, want, tolerance=None):
    """'' where they agree, else in words how they differ."""
    if want is None or got is None:
        return "" if want is got else f"{got!r:.60} where {want!r:.60} is due"
    if isinstance(want, dict):
        if not isinstance(got, dict) or got.keys() != want.keys():
            return f"{got!r:.80} where {want!r:.80} is due"
        return next((d for k in want if (d := difference(np.asarray(got[k]), np.asarray(want[k]), tolerance))), "")
    if isinstance(want, list):
        if not isinstance(got, list) or len(got) != len(want):
            return f"{type(got).__name__} of {len(got) if hasattr(got, '__len__') else '?'} where a list of {len(want)} is due"
        return next((f"element {i}: {d}" for i, (a, b) in enumerate(zip(got, want)) if (d := difference(a, b, tolerance))), "")
    want, got = np.asarray(want), np.asarray(got)
    if got.shape != want.shape:
        return f"shape {list(got.shape)} where {list(want.shape)} is due"
    if want.dtype == object or got.dtype == object or want.dtype.kind == "U":
        return "" if got.astype(str).tolist() == want.astype(str).tolist() else f"{got.tolist()!r:.80} where {want.tolist()!r:.80} is due"
    if got.dtype != want.dtype:
        return f"type {got.dtype} where {want.dtype} is due"
    name = {v: k for k, v in reversed(DTYPES.items())}.get(want.dtype.type, "")
    rtol, atol = tolerance or TOLERANCE.get(name, (0, 0))
    exact = name not in TOLERANCE
    kind = np.complex128 if want.dtype.kind == "c" else np.float64 if not exact or want.dtype.kind in "fV" or "float" in want.dtype.name else None
    if kind is None:
        kind = want.dtype if want.dtype.kind in "iub" else np.int64
    a, b = got.astype(kind), want.astype(kind)
    same = np.array_equal(a, b, equal_nan=np.dtype(kind).kind in "fc") if exact and not tolerance else np.allclose(a, b, rtol, atol, equal_nan=True)
    return "" if same else f"{str(a.reshape(-1)[:8].tolist()):.120} where {str(b.reshape(-1)[:8].tolist()):.120} is due"
