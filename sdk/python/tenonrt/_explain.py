"""A session's placement as a text."""
from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._session import InferenceSession


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def explain(session: InferenceSession) -> str:
    report = session.placement()
    nodes, parts, copies = report["nodes"], report["parts"], report["copies"]
    lines = [
        f"{session._model_path or 'model'} · {len(nodes)} nodes → {len(parts)} parts · {len(copies)} copies "
        f"({_bytes(sum(c['bytes'] for c in copies))}/run) · weights {_bytes(report['weight_bytes'])} · arena {_bytes(report['arena_bytes'])}"
    ]
    if parts:
        lines.append(f"{'#':>3}  {'provider':<12} {'device':<16} {'nodes':>6} {'est. ms':>9}")
        for index, part in enumerate(parts):
            lines.append(
                f"{index:>3}  {part['provider']:<12} {part['device']:<16} {part['node_count']:>6} {part['cost_ns'] / 1e6:>9.3f}"
            )
    in_core = Counter(n["op_type"] for n in nodes if n["provider"] == "core")
    if in_core:
        lines.append("in core: " + ", ".join(f"{op} ×{count}" for op, count in in_core.most_common()))
    refusals: dict[tuple[str, str, str], Counter[str]] = {}
    for node in nodes:
        for refusal in node["refusals"]:
            key = (refusal["provider"], refusal["reason"], refusal["text"])
            refusals.setdefault(key, Counter())[node["op_type"]] += 1
    for (provider, reason, text), ops in sorted(refusals.items()):
        names = ", ".join(f"{op} ×{count}" for op, count in ops.most_common())
        lines.append(f"not on {provider}: {names}: {reason}" + (f": {text}" if text else ""))
    lines += [f"note: {note}" for note in report["notes"]]
    return "\n".join(lines)
