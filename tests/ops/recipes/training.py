"""Optimisers and gradients."""
import numpy as np

from ops.recipe import recipe
from ops.values import F, N, V

recipe("Adagrad", [N(0.1), F(np.array(0, np.int64)), N([1, 2]), N([-1, -3]), N([2, 1])], domain="training", outputs=2, decay_factor=0.1, epsilon=1e-5,
       norm_coefficient=0.001, types={"T3": lambda t: "tensor(float)"}, only=lambda t: True)
recipe("Adagrad", [N(0.1), F(np.array(0, np.int64)), N([1, 2]), N([-1, -3]), N([2, 1])], domain="training", outputs=2, decay_factor=0.1, epsilon=1e-5)
recipe("Adam", [N(0.1), F(np.array(0, np.int64)), N([1, 2]), N([-1, -3]), N([2, 1]), N([1, 1])], domain="training", outputs=3, alpha=0.9, beta=0.99)
recipe("Momentum", [N(0.1), F(np.array(0, np.int64)), N([1, 2]), N([-1, -3]), N([2, 1])], domain="training", outputs=2, alpha=0.9, beta=0.1, mode="standard",
       norm_coefficient=0.001)
recipe("Gradient", [V(3)], domain="training", xs=["in0"], y="in0", only=lambda t: t["T1"] == t["T2"], expect=lambda i, a, t: [np.ones(3)])
