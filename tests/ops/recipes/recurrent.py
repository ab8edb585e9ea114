"""Recurrent networks."""
from ops.recipe import recipe
from ops.values import I, OMITTED, U

for op, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
    bias = U(1, 2 * gates * 3)
    recipe(op, [U(3, 2, 4), U(1, gates * 3, 4), U(1, gates * 3, 3), bias], since=7, hidden_size=3, outputs=2, tolerance=None)
    recipe(op, [U(3, 2, 4), U(1, gates * 3, 4), U(1, gates * 3, 3), bias], until=6, hidden_size=3, output_sequence=1, outputs=2, oracle=(7, {"output_sequence": None}))
    recipe(op, [U(2, 3, 4), U(1, gates * 3, 4), U(1, gates * 3, 3), bias], since=14, hidden_size=3, layout=1, outputs=2, sweep=False)
    recipe(op, [U(3, 2, 4), U(1, gates * 3, 4), U(1, gates * 3, 3), OMITTED, OMITTED, U(1, 2, 3)], since=7, hidden_size=3, outputs=2, sweep=False)
    recipe(op, [U(3, 2, 4), U(1, gates * 3, 4), U(1, gates * 3, 3), bias, I([3, 3])], since=7, hidden_size=3, outputs=2)
