"""Every operator, version and element type against its oracle (tests/ops), on every provider of this build."""
import pathlib
import sys

import pytest
import tenonrt as rt

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from ops import page  # noqa: E402
from ops.slots import survey  # noqa: E402


@pytest.fixture(scope="module")
def text():
    return page.page(rt)


def test_page_says_what_runs(text):
    assert page.PAGE.read_text() == text, "run `python -m ops.page` in tests/ and look at what changed"


def test_nearly_every_slot_is_run():
    outcomes, slots = survey(rt, ["cpu"])
    passed = sum(1 for o in slots.values() if o and o.kind == "passed")
    assert len(slots) >= 2900 and passed / len(slots) >= 0.97
    unexpected = [f"{o.case.name}: {o.why}" for o in outcomes if o.kind in ("wrong", "failed", "no model", "no oracle")]
    assert not unexpected, "\n".join(unexpected[:20])


def test_scalar_kernels_agree():
    outcomes, _ = survey(rt, [("cpu", {"plain": True})])
    unexpected = [f"{o.case.name}: {o.why}" for o in outcomes if o.kind in ("wrong", "failed")]
    assert len(outcomes) >= 3000 and not unexpected, "\n".join(unexpected[:20])
