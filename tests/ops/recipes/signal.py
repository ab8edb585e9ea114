"""Spectra and windows."""
import numpy as np

from ops.recipe import recipe
from ops.values import I, N, OMITTED, V, W

for op in ("HannWindow", "HammingWindow", "BlackmanWindow"):
    recipe(op, [I(7)], output_datatype=lambda t: t.number("T2"), expect=lambda i, a, t, op=op: [window(op, 7, 7, t)])
    recipe(op, [I(7)], sweep=False, periodic=0, expect=lambda i, a, t, op=op: [window(op, 7, 6, t)])


def window(op, n, period, t):
    x = 2 * np.pi * np.arange(n) / period
    y = {"HannWindow": 0.5 - 0.5 * np.cos(x), "HammingWindow": 25 / 46 - 21 / 46 * np.cos(x), "BlackmanWindow": 0.42 - 0.5 * np.cos(x) + 0.08 * np.cos(2 * x)}[op]
    return np.trunc(y + 1e-9) if "int" in t.element("T2") else y


recipe("MelWeightMatrix", [I(4), I(16), I(8000), N(0), N(3000)], output_datatype=lambda t: t.number("T3"), wide=False)
recipe("DFT", [V(1, 6, 1), OMITTED, I(1)], since=20, expect=lambda i, a, t: [pairs(np.fft.fft(i[0].astype(np.float64)[..., 0], axis=1))], tolerance=None)
recipe("DFT", [V(1, 6, 1), I(8), I(1)], since=20, onesided=1, expect=lambda i, a, t: [pairs(np.fft.rfft(i[0].astype(np.float64)[..., 0], n=8, axis=1))])
recipe("DFT", [V(1, 6, 1)], until=19, axis=1, expect=lambda i, a, t: [pairs(np.fft.fft(i[0].astype(np.float64)[..., 0], axis=1))])
recipe("DFT", [V(1, 6, 1), I(8)], until=19, axis=1, expect=lambda i, a, t: [pairs(np.fft.fft(i[0].astype(np.float64)[..., 0], n=8, axis=1))])


def pairs(z):
    return np.stack([z.real, z.imag], -1)


recipe("STFT", [V(1, 10, 1), I(3), W(4)], expect=lambda i, a, t: [stft(i)])


def stft(i):
    x, w = i[0].astype(np.float64)[0, :, 0], i[2].astype(np.float64)
    return pairs(np.stack([np.fft.rfft(x[k:k + 4] * w) for k in range(0, 7, 3)])[None])
