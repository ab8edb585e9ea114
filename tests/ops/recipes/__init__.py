"""The recipes, a file for each family of operators."""
from ops.recipes import (attention, control, elementwise, gather, linear, ml, movement, neural, quantized, random, recurrent, reduction, sequence, signal,  # noqa: F401
                         strings, training)
