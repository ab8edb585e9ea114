#!/usr/bin/env python3
"""Includes point downwards only: a file may include its own folder and lower ones. Core names no provider."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
LEVEL = {"base": 1, "tensor": 2, "graph": 3, "ops": 4, "onnx": 5, "passes": 5, "provider": 5, "partition": 6, "plan": 7,
         "run": 8, "report": 9}
PEERS_ALLOWED = {("provider", "onnx"), ("passes", "onnx")}  # none so far may go the other way
errors = []
checked = 0
for path in sorted((root / "core").rglob("*")):
    if path.suffix not in (".h", ".cpp"):
        continue
    own = path.relative_to(root / "core").parts[0]
    checked += 1
    text = path.read_text()
    for include in re.findall(r'#include [<"]((?:core|plugins|sdk|tests)/[^">]+)[">]', text):
        parts = include.split("/")
        if parts[0] != "core":
            errors.append(f"{path}: includes {include}")
        elif parts[1] != own and LEVEL[parts[1]] >= LEVEL[own] and (own, parts[1]) not in PEERS_ALLOWED:
            errors.append(f"{path}: includes {include}: {own} is not above {parts[1]}")
    for word in ("cuda", "opencl", "onednn", "dnnl"):
        if re.search(word, text, re.I):
            errors.append(f"{path}: names {word}")
for path in sorted((root / "plugins").rglob("*")):
    if path.suffix in (".h", ".cpp") and re.search(r'#include [<"](core|sdk)/', path.read_text()):
        errors.append(f"{path}: a provider includes core or sdk")
print("\n".join(errors) or f"{checked} files, includes point downwards")
sys.exit(bool(errors) or checked == 0)
