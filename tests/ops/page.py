"""plugins/OPERATORS.md: which operators, versions and element types each provider runs, from running them.

  python -m ops.page [--check]      from tests/, with tenonrt found; --check compares instead of writing
"""
import collections
import pathlib
import re
import sys

from ops.slots import schemas, survey

PAGE = pathlib.Path(__file__).resolve().parents[2] / "plugins/OPERATORS.md"
PROVIDERS = ("cpu",)  # those that every build has
HEAD = """# Operators

Written by `python -m ops.page` (in `tests/`) and kept true by `tests/python/test_operators.py`: every version and type below was run, on small
inputs, and agreed with an oracle (`tests/ops/`). A slot is one type of one type constraint of one operator version. Operators of
com.microsoft are not in the onnx package: they are listed at the end.

"""


def types_text(slots, constraint):
    """'T 12', or 'T 11/12 (not string)'."""
    passed = [t for t, o in slots.items() if o and o.kind == "passed"]
    missing = [t for t, o in slots.items() if not o or o.kind != "passed"]
    if not missing:
        return f"{constraint} {len(passed)}"
    short = [t[7:-1] if t.startswith("tensor(") else t for t in missing]
    return f"{constraint} {len(passed)}/{len(slots)} (not {', '.join(short) if len(short) <= 6 else f'{len(short)} others'})"


def microsoft_operators():
    """Of core's tables and the provider's rows; tests/python/test_microsoft*.py run them beside onnxruntime."""
    root = PAGE.parents[1]
    names = {n for p in (root / "core/ops").glob("microsoft*.cpp") for n in re.findall(r'\{"([A-Z]\w+)", \d+, \w+[,}]', p.read_text())}
    names |= {n for p in (root / "plugins/cpu/ops").glob("*.cpp") for n in re.findall(r'\{"com\.microsoft", "(\w+)"', p.read_text())}
    return sorted(names)


def page(rt):
    found = {}  # provider: (key: constraint: type: outcome)
    for provider in PROVIDERS:
        tree = found[provider] = collections.defaultdict(lambda: collections.defaultdict(dict))
        outcomes, slots = survey(rt, [provider], history=True)
        for (domain, name, version, constraint, type_), outcome in slots.items():
            tree[domain, name, version][constraint][type_] = outcome
        ran = {(c.types.schema.domain, c.types.schema.name, c.types.schema.since_version) for c in (o.case for o in outcomes if o.kind == "passed")}
        for s in schemas(True):  # operators without type constraints
            if not s.type_constraints:
                tree[s.domain, s.name, s.since_version] = {"": {"": next((o for o in outcomes if o.kind == "passed" and o.case.types.schema.name == s.name), None)}}
        found[provider] = tree, ran
    newest = schemas()
    versions = collections.defaultdict(list)
    for s in schemas(True):
        versions[s.domain, s.name].append(s.since_version)
    text = HEAD
    for provider, (tree, ran) in found.items():
        counts = []
        for keys in ([(s.domain, s.name, s.since_version) for s in newest], [(s.domain, s.name, s.since_version) for s in schemas(True)]):
            outcomes = [o for k in keys for types in tree[k].values() for o in types.values()]
            counts.append((sum(1 for o in outcomes if o and o.kind == "passed"), len(outcomes), sum(1 for k in keys if k in ran), len(keys)))
        (a, b, c, d), (e, f, g, h) = counts
        text += (f"**{provider}**: {c} of {d} operators, {a} of {b} type slots of their newest versions ({a / b:.1%}); "
                 f"{g} of {h} versions, {e} of {f} type slots of all versions ({e / f:.1%}).\n\n")
    text += "| operator | versions | " + " | ".join(PROVIDERS) + " |\n|---|---|" + "---|" * len(PROVIDERS) + "\n"
    for s in newest:
        name = f"{s.domain + '.' if s.domain else ''}{s.name}"
        cells = []
        for provider in PROVIDERS:
            tree, ran = found[provider]
            not_run = [str(v) for v in versions[s.domain, s.name] if (s.domain, s.name, v) not in ran]
            types = "; ".join(types_text(t, k) for k, t in tree[s.domain, s.name, s.since_version].items() if k)
            cells.append((types or ("yes" if s.since_version in [k[2] for k in ran if k[1] == s.name] else "")) + (f"; not version {', '.join(not_run)}" if not_run else ""))
        text += f"| {name} | {' '.join(map(str, versions[s.domain, s.name]))} | " + " | ".join(cells) + " |\n"
    names = microsoft_operators()
    return text + f"\n**com.microsoft**: {len(names)} operators, as kernels or spelled out as operators of ONNX: {', '.join(names)}.\n"


def main():
    import tenonrt as rt
    text = page(rt)
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == text else f"{PAGE}: is not what runs; write it again with `python -m ops.page`")
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
