"""Attention and what belongs to it."""
from ops.recipe import recipe
from ops.values import I, OMITTED, U, V

QKV = [U(1, 2, 3, 4), V(1, 2, 5, 4), V(1, 2, 5, 4)]
recipe("Attention", QKV, since=23, types={"T2": lambda t: t["T1"]})
recipe("Attention", QKV, since=23)
recipe("Attention", QKV + [V(3, 5)], since=23, only=lambda t: True)
recipe("Attention", QKV, is_causal=1, scale=0.5, softcap=2.0, sweep=False)
recipe("Attention", [U(1, 3, 8), V(1, 5, 8), V(1, 5, 8)], q_num_heads=2, kv_num_heads=2, sweep=False)
recipe("Attention", QKV + [OMITTED, V(1, 2, 2, 4), V(1, 2, 2, 4)], outputs=3, sweep=False)
recipe("FlexAttention", QKV, domain="preview", outputs=1)
recipe("RotaryEmbedding", [V(1, 2, 3, 4), U(1, 3, 2), V(1, 3, 2)])
recipe("RotaryEmbedding", [V(1, 3, 8), U(5, 2), V(5, 2), I([[0, 2, 4]])], num_heads=2, interleaved=1, sweep=False)
recipe("LinearAttention", [U(1, 3, 4), U(1, 3, 4), V(1, 3, 4)], outputs=2, q_num_heads=2, kv_num_heads=2, update_rule="linear", types={"S": lambda t: t["T"]}, only=lambda t: t["S"] == t["T"])
recipe("LinearAttention", [U(1, 3, 4), U(1, 3, 4), V(1, 3, 4), V(1, 2, 2, 2)], outputs=2, q_num_heads=2, kv_num_heads=2, update_rule="linear", sweep=True)
