#!/usr/bin/env python3
"""Every test that plugin-api/FEATURES.md names exists, and every row that claims something names one."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent.parent
cpp = "\n".join(p.read_text() for p in (root / "tests").rglob("*_test.cpp"))
known = {f"{suite}.{name}" for suite, name in re.findall(r"\bTEST(?:_F|_P)?\((\w+), (\w+)\)", cpp)}
errors, rows, named = [], 0, 0
for line in (root / "plugin-api/FEATURES.md").read_text().splitlines():
    cells = [c.strip() for c in line.strip("|").split("|")]
    if not line.startswith("|") or len(cells) != 4 or cells[0] in ("feature", "---"):
        continue
    rows += 1
    feature, state, how, shown = cells
    if state not in ("have", "better", "not", "later"):
        errors.append(f"{feature}: \"{state}\" is no state")
    if state in ("not", "later") and not (how or state == "later"):
        errors.append(f"{feature}: left out without a reason")
    if state == "have" and not shown:
        errors.append(f"{feature}: no test shows it")
    for test in re.findall(r"`([^`]+)`", shown):
        named += 1
        if match := re.fullmatch(r"(python/\w+\.py)::(\w+)", test):
            there = f"def {match[2]}(" in (root / "tests" / match[1]).read_text()
        else:
            there = test in known
        if not there:
            errors.append(f"{feature}: there is no test {test}")
print("\n".join(errors) or f"{rows} rows, {named} tests")
sys.exit(bool(errors) or named == 0)
