"""Products of matrices and sums of products."""
import numpy as np

from ops.recipe import recipe
from ops.values import F, I, V, W

recipe("MatMul", [V(2, 3, 4), W(4, 2)])
recipe("MatMul", [V(4), W(4)], sweep=False)
recipe("MatMul", [V(3, 0), W(0, 2)], sweep=False)
recipe("MatMul", [V(2, 1, 3, 4), W(3, 4, 2)], sweep=False)
recipe("Gemm", [V(3, 4), W(4, 2), V(2)], since=7)
recipe("Gemm", [V(4, 3), W(2, 4), V(3, 1)], since=7, sweep=False, transA=1, transB=1, alpha=0.5, beta=2.0)
recipe("Gemm", [V(3, 4), W(4, 2)], since=11, sweep=False)
recipe("Gemm", [V(3, 4), W(4, 2), V(3, 2)], until=6, oracle=(6, {}))
recipe("Gemm", [V(3, 4), W(4, 2), V(2)], until=6, broadcast=1, oracle=(6, {}))
recipe("Einsum", [V(2, 3), W(3, 4)], equation="ij,jk->ik")
recipe("Einsum", [V(3, 3)], equation="ii->i", sweep=False)
recipe("Einsum", [V(2, 3, 4), W(2, 4, 2)], equation="...ij,...jk->...ik", sweep=False)
recipe("Einsum", [V(2, 3)], equation="ij->", sweep=False)
recipe("Det", [F(np.array([[[2, 1], [1, 3]], [[0, 1], [2, 0]]]))], only=lambda t: False)
recipe("Det", [W(2, 3, 3)], expect=lambda i, a, t: [np.linalg.det(i[0].astype(np.float64))])
recipe("MatMulInteger", [I([[1, 2, 3], [4, 5, 6]]), I([[1, 2], [3, 4], [5, 6]]), I(1), I(2)])
recipe("MatMulInteger", [I([[1, 2, 3], [4, 5, 6]]), I([[1, 2], [3, 4], [5, 6]])], sweep=False)
recipe("MatMulInteger", [I([[1, 2, 3], [4, 5, 6]]), I([[1, 2], [3, 4], [5, 6]]), I([1, 3]), I([2, 0])], sweep=False,
       expect=lambda i, a, t: [(i[0].astype(np.int32) - i[2].astype(np.int32)[:, None]) @ (i[1].astype(np.int32) - i[3].astype(np.int32))])
