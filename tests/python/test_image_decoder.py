"""ImageDecoder: forms of the formats that the corpus lacks, bytes that are no image, and a machine without the codecs.

Expected pixels are Pillow's (13.0, convert("RGB")), for files that it wrote; those written here are lossless.
"""
import base64
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from onnx import helper
from onnx.backend.test.case.node import _image_decoder_data as corpus

import tenonrt

rng = np.random.default_rng(5)


def session(pixel_format="RGB", **options):
    node = helper.make_node("ImageDecoder", ["x"], ["y"], "decoder", pixel_format=pixel_format)
    ports = [helper.make_tensor_value_info(name, 2, dims) for name, dims in (("x", ["n"]), ("y", ["h", "w", "c"]))]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return tenonrt.InferenceSession(model.SerializeToString(), **options)


def decode(data, pixel_format="RGB", _sessions={}):
    if pixel_format not in _sessions:
        _sessions[pixel_format] = session(pixel_format)
    return _sessions[pixel_format].run(None, {"x": np.frombuffer(data, np.uint8)})[0]


def luma(rgb):
    return (rgb.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32) + 0x8000 >> 16).astype(np.uint8)[..., None]


def check(data, rgb):
    np.testing.assert_array_equal(decode(data), rgb)
    np.testing.assert_array_equal(decode(data, "BGR"), rgb[..., ::-1])
    np.testing.assert_array_equal(decode(data, "Grayscale"), luma(rgb))


def gray_as_rgb(a):
    return np.repeat(np.asarray(a, np.uint8)[..., None], 3, axis=2)


# Of 5 x 6 pixels: the file and its pixels, compressed.
STORED = {
    "jpeg_cmyk": (
        "eNr7f+P/OwY+x5T8pFSGFAYQ+H+bwZmBmYkJhICABYhYOVhZWVhYudjZ2Th4uHh4uLm4uXn5hAR4+QT5uLkFxAQEhUVERUV5+MUlxEQkhERERf4fYBDh"
        "YGBlYGNxFmTwFWSIFGTwFmT4f4RBnoGBkZURDBiggJEJaAMbOwcnFzdQwVYBBiZGZmYmFmaQnUDZWqA8A4sgq5CioSObcGAiu1KhiFHjxIUcyk4bD4oG"
        "XfygYpxU1MTJJSYuISmlqqauoallYmpmbmFp5ezi6ubu4ekVHBIaFh4RGZWckpqWnpGZVVxSWlZeUVnV3NLa1t7R2TVp8pSp06bPmDlr0eIlS5ctX7Fy"
        "1abNW7Zu275j565Dh48cPXb8xMlTly5fuXrt+o2btx4+evzk6bPnL16++vjp85ev377/+Pnr/y0GPhZnBl+GSAZvBgZ7htd1ajUWl/dn5t+6Hv4hvfOr"
        "bLLvpTdbZs8NsyzxnrFwxqnpAi4iM5Um5N42lkmQaTwfUFJjZGP76D9Dz35RvT+hD3Xlj056GZR57Zrn2ttr7xjoPHu7VEmTWe1R7qOfp94xCHDwHHjy"
        "Q/3R3O8Nf3Qf15b7NJ+++pVf4uSyO3d+vv99urraYkmr2fOMW9eD5zRw3j+poGfTfSxe0tS+Zf7m981pFxR+m/x6t3FV/Cuj2oXn51vd9c1Z3+QRfzfa"
        "aUcM/2SLkyr/Gf7fBAAfbcy/",
        "eNrLjnQ005Tl52arDVXykT2sxNaR5G2lKi3Ezsqcqy9oIDpZqDgs1NlARUawI0zNR2OHXEcuo7uhp7WOEC9HpbOEpchkkURPPWVRd1MNTnbmdDN2VfYi"
        "VisNXk5WAKbqExk=",
    ),
    "jpeg_progressive": (
        "eNqVkM9LAkEUx9+b2dHV3dUZ3fUHdTEIIoLwLogKhlEHIYQu/aJDBy/dC7oFEQkdQigKOkYEHfoHJOgS1NGUoD8gqGPQYXsrKmpdevMu8/h+Zr7f5zbd"
        "N5DzxVIREAGQDrhtKABnzGsqjVroQmiaCPr9Pt0MmqYRNAwrFJFWSIUMQ8akitqO45jheCJmJyK2Y3uPICdGEwEhArZlWPa/y22A0kGAj+MEMIVcoXsP"
        "TsfqUGk0tn9NhdsCkyMwySVlO8zMkSwugQ8LkQlOSp14FGz2+uuCZOMK6NsRHdeUKK93tBwxiyv5hUq7MH15U30gZEwBQzFEaBxYJL3dIZhHLDv1eGlm"
        "7ezoe9UjZEcyUBHaWRlUquvHl2V7t6+V2mbm6on0SYlkftA9qlQO0j332VRr92DjZH+n/tGLDt7zMuzBiq5DnxEM6Vw/jjyuNq3T9/Pk32Jy1c3uJZGL"
        "j0tG3vyEZ2/3MYkj20eV67uSNb0x1ZjcurOj7ssPWhpknw==",
        "eNoBWgCl/wA2YRxdh0yQt32npryvYP/WYAU7ajNtk1SRpqbHvuHGj4NLABxDfjtmiHiomp+vlF4pI7FaYBs9fFV6l4y4lLbFnH9IX3cdUydLh1+Jn5PH"
        "lr7aqYRffno3fHjkKrg=",
    ),
    "jpeg_gray": (
        "eNr7f+P/AwYBLzdPNwZGRgYGRiBk+H+bwZmBmYkJhICABYhYOVhZWVhYudjZ2Th4uHh4uLm4uXn5hAR4+QT5uLkFxAQEhUVERUV5+MUlxEQkhERERf4f"
        "YODmYGBlYGNkFGT4f4RBHmg4KyMYMEABIxPQYDZ2Dk4ubqCCrQIMTIzMzEwszCCrgLK1QHkGFkFWIUVDRzbhwER2pUIRo8aJCzmUnTYeFA26+EHFOKmo"
        "iZNLTFxCUkpVTV1DU8vE1MzcwtLK2cXVzd3D0ys4JDQsPCIyKjklNS09IzOruKS0rLyisqq5pbWtvaOza9LkKVOnTZ8xc9aixUuWLlu+YuWqTZu3bN22"
        "fcfOXYcOHzl67PiJk6cuXb5y9dr1GzdvPXz0+MnTZ89fvHz18dPnL1+/ff/x89f/WwwcIP/YMzz+J/nH/Up92vyb2h4f57eZvJUPuqpfmp2r5bF1d2Za"
        "i8u3z6ciOJ72vLvL1fOkR/i4k/3/mwAfWn6O",
        "eNoBWgCl/wICAigoKE5OTnt7e5+fn8rKygYGBi4uLmJiYn5+fra2ttnZ2QgICERERGxsbJmZmcjIyPv7+xkZGUVFRXNzc6urq9DQ0AgICBwcHFJSUoCA"
        "gLy8vO3t7SUlJYk6J2o=",
    ),
    "webp_alpha": (
        "eNoBXACj/1JJRkZUAAAAV0VCUFZQOExHAAAALwUAARDNlSGi/7GLiP6HQ1EjSdHe6wANPAn+3S0uOiQCgWR/uJUSCKTwlCYSIGmQ/OEMX3p3Au5/V2eX"
        "AcCCT5BgHOiS+QIAnBgiow==",
        "eNoBWgCl/wAyZChajFCCtHiq3KDSBMj6LAc5azJlmF2RxYi98rPpH94VTA5AcjxwpGqg1pjQCMYAOvQwbBVHeUZ7sHev56jjHtkXVQpLjBxOgFCGvIS+"
        "+Lj2NOwucCBmrGtXKrE=",
    ),
    "webp_lossy": (
        "eNoBkgBt/1JJRkaKAAAAV0VCUFZQOCB+AAAAMAIAnQEqBgAFAADAEiWwAnQvwD0cgYT0pTgA/tK/+yCimRXJDN2RF/odczsZ0tQ/sE/+F/d+BUVO4BLR"
        "i2w9nP/pf7f/pk6vG/I/aVbD/4xf+nFr/U3/pt2fmd/oT/jJ//3w3yM39m7uIb3/+oYj/5OTP7N7//0X+/ob9ugAihRHGg==",
        "eNoBWgCl/wAyZiZdk0yAuYqotcGwYvzWWAY7by9lklySsqG6ut69i49RBA1Ac0J2knOqmaGwmW4rMr1RZRlKfE1/koW6kbTBnYVAYYQVWB5QfFeImpbH"
        "osPXtYddfoc/gIqdKyQ=",
    ),
    "webp_animation": (
        "eNoL8nRz+8PAwBDu6hQQFmARwQVkMwExKwMDCwODo5+nLxsDDDj6+botgvMgKkDKgfp8uoAMfVYGRob3BxQYGlRKzG9UHfq/eVe+Rs5tD17Zz7YGfAwH"
        "Tmje3mYY1vw9i+Gz4X/Dw1OslQvTprKWs5W7aS9WTdvlAoJ7OJh09srsl9o/S5o/1Wn/nk+bF/44+mFj25qoKwtjt8yqe37Zu9xLoy5AwnOS5O7q224u"
        "/5mX+OYu/pQas8o5dv7MG/wP9c6rg12qhulSBpBL+WAuZRcQ/MvvAjQAAFT5Tao=",
        "eNoBWgCl/wAyZChajFCCtHiq3KDSBMj6LAc5azJlmF2RxYi98rPpH94VTA5AcjxwpGqg1pjQCMYAOvQwbBVHeUZ7sHev56jjHtkXVQpLjBxOgFCGvIS+"
        "+Lj2NOwucCBmrGtXKrE=",
    ),
    "jpeg2000_alpha": (
        "eNpjYGDgyQpQUODlaudiYGAQSSupLMgqMFIAshmgtD+QzgDSYpkZKUVAmhWI2RhY2NlBahj4k/NzihjBTAEgVkpOSU1jYAHzGRlA4kxAyMDADIRgVYyB"
        "QOOS//v/D2QwAqtigxoJA6h8FnZGRjj6H8TAAzaXiYWFgfF/DAOXg4OHRwAQ/U9hUGVgdC5KTSxJTVFIqlTwL0jN8wpwdVcoSy0qzszPUzDSM9Uz+T+B"
        "gQts7AWg9sn3GwzYpxeqras/v0WEdabj+vbjVziYqjNeArksZ7dqlh/83Nz8nJ35ORNXrDyXTz37+QN8dhcsahc4cCcu4d59ncUfKCAfIMM/h4PZSpFH"
        "G6RACMi3u6DAvXxPPfftds7192eY2C2w+MPQIK3lt82JX+TYfpGT5w8oyQeo/DnIIByRdsts5aXtgkn764VWL5c/f0ANqL2OIYHfsKIpYf/k//W8vsW8"
        "i+LPH9Cyu+BRuyCBJ7V540a7yHtRT3mncuxn447/fxMAeVR43A==",
        "eNoBWgCl/wAyZChajFCCtHiq3KDSBMj6LAc5azJlmF2RxYi98rPpH94VTA5AcjxwpGqg1pjQCMYAOvQwbBVHeUZ7sHev56jjHtkXVQpLjBxOgFCGvIS+"
        "+Lj2NOwucCBmrGtXKrE=",
    ),
    "jpeg2000_stream": (
        "eNr77/8/kEGfAQTYgJiVAQFQ+czsjIwQ9D+IgQcowMjAxMLCwPg/hoHLwcHDIwCI/qcwqDIwOhelJpakpigkVSr4F6TmeQW4uiuUpRYVZ+bnKRjpmeqZ"
        "/J/AwAU2cw5Q++T7DQbs0wvV1tWf3yLCOtNxffvxKxxM1RkvD35ubn7OzvyciStWnsunnv38AT67Cxa1Cxy4E5dw777O4g8UkA+Q4Z/DwWylyKNdz35/"
        "hondAos/DA3SWn7bnPhFju0XOXn+gJJ8gMqfgwzCEWm3zFZe2i6YtL9eaPVy+fMH1ICa6xgS+A0rmhL2T/5fz+tbzLso/v9NAMiBUzM=",
        "eNoBWgCl/wAyZChajFCCtHiq3KDSBMj6LAc5azJlmF2RxYi98rPpH94VTA5AcjxwpGqg1pjQCMYAOvQwbBVHeUZ7sHev56jjHtkXVQpLjBxOgFCGvIS+"
        "+Lj2NOwucCBmrGtXKrE=",
    ),
    "jpeg2000_gray": (
        "eNpjYGDgyQpQUODlaudiYGAQSSupLMgqMFIAshmgtC6QzgDSYpkZKUVAmhWI2RgY2dlBahj4k/NzihjBTEEg3gxUnPzf/38ggyZYjA2qAQZQ+YzsjIz/"
        "gxh4QEwGJhYWBsb/MQxcDg4eHgFA9D+FQZWB0bkoNbEkNUUhqVLBvyA1zyvA1V2hLLWoODM/T8FIz1TP5P8EBi6wadZA7ZPvNxiwTy9UW1d/8HNz83N2"
        "5udMXLHyXD717PdnmNgtsPjD0CCt5bfNiV/k2H6Rk/9vAgDLYTkC",
        "eNoBWgCl/wAAACgoKFBQUHh4eKCgoMjIyAcHBzIyMl1dXYiIiLOzs97e3g4ODjw8PGpqapiYmMbGxvT09BUVFUZGRnd3d6ioqNnZ2QoKChwcHFBQUISE"
        "hLi4uOzs7CAgIIkuJ1s=",
    ),
    "tiff_jpeg": (
        "eNrz9NRi6GNgYPh/4/8BBkEOBlYGNuYgQQZ3QQYnQYb/txh4mIMY3BmcGBjsGc5e3Nr5R/rDvdthlxdsmVWZl7w9dVfvTKcpZSdunSqeKvs3i/v+9sx/"
        "YheULpda72bdGXkvOVuxd87yaeI6Oyx+3u558HFes/CrKBmrZQuXRt6xy11w6cjHZQc/7T5x6rhtpeDyp++y/9/kZmBgZGZgBLqHDYgZoWxWIGYCspmB"
        "tARQgBkqzg5SB2UzAbEgIwuYzQHEolBxkB4xJHPEoWragFgGKg7C0YzsDIpAhhyIAzYDBIGhcpvBmYGDjY2djZWDnZ2dk5ODi0eEl4ebm0dSSJhfRFZK"
        "Xk5WSkZGQUVPXUFJR1lGRsNcU8fA0MTERF7d0tbCyEbP2MTo/xEGeaA1rIxgwAAFjEzMLKxs7BycXNxABVsFQH5kZmJhZmVlYQHK1gLlGVgEWYUUDR3Z"
        "hAMT2ZUKRYwaJy7kUHbaeFA06OIHFeOkoiZOLjFxCUkpVTV1DU0tE1MzcwtLK2cXVzd3D0+v4JDQsPCIyKjklNS09IzMrOKS0rLyisqq5pbWtvaOzq5J"
        "k6dMnTZ9xsxZixYvWbps+YqVqzZt3rJ12/YdO3cdOnzk6LHjJ06eunT5ytVr12/cvPXw0eMnT589f/Hy1cdPn798/fb9x89f/28CAJyPpwc=",
        "eNoBWgCl/wIxYyFaiFpttmy356LTB8T/FgA+XDxhrmKxuYml2bzrIesXZA44d0Zuo12XzorMKtMGPuIsUhZKe0iFrYTC46PmDssbWBFIgx9Mf0qKvImn"
        "973xRPEtaA5nuWmEKp8=",
    ),
    "tiff_group4": (
        "eNrz9NRiEGJgYGARWrJftEWMQYGJk4GBkZmBESjGBsSMUDYrEDNB2SDMDGWzgNQhiQsysoBpDiAWQ9IrDhXnAmIZJPUgAACkGAPg",
        "eNpjYICC////w0lkLn4RZC6aIQB4Niba",
    ),
}


def unpack(text):
    return zlib.decompress(base64.b64decode(text))


@pytest.mark.parametrize("name", STORED)
def test_stored(name):
    file, pixels = STORED[name]
    check(unpack(file), np.frombuffer(unpack(pixels), np.uint8).reshape(5, 6, 3))


def bits_of(rows, bits):
    """Samples of one row after the other, each row padded to a byte."""
    out = []
    for row in rows:
        text = "".join(format(int(v), f"0{bits}b") for v in row)
        text += "0" * (-len(text) % 8)
        out.append(bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8)))
    return out


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, bits, colour, interlaced=False, palette=b"", size=None):
    height, width, _ = samples.shape
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    body = b"".join(b"\0" + row for part in parts if part.size for row in bits_of(part.reshape(len(part), -1), bits))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", *(size or (width, height)), bits, colour, 0, 0, interlaced)
    chunks = [chunk(b"IHDR", header), chunk(b"PLTE", palette) if palette else b"", chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_png_gray(bits, interlaced):
    v = rng.integers(0, min(1 << bits, 700), (9, 11, 1))
    want = np.minimum(v, 255) if bits == 16 else v * (255 // ((1 << bits) - 1))
    check(png(v, bits, 0, interlaced), gray_as_rgb(want[..., 0]))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colour, channels", [(2, 3), (4, 2), (6, 4)])
def test_png_colours(colour, channels, bits, interlaced):
    v = rng.integers(0, 1 << bits, (5, 13, channels))
    high = v >> (bits - 8)
    check(png(v, bits, colour, interlaced), high[..., :3].astype(np.uint8) if channels > 2 else gray_as_rgb(high[..., 0]))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_png_palette(bits):
    palette, v = rng.integers(0, 256, (1 << bits, 3)).astype(np.uint8), rng.integers(0, 1 << bits, (7, 10, 1))
    check(png(v, bits, 3, palette=palette.tobytes()), palette[v[..., 0]])


def bmp(width, height, bits, data, palette=b"", compression=0, masks=b""):
    start = 54 + len(masks) + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + masks + palette + data


def bmp_rows(rows):
    return b"".join(row + b"\0" * (-len(row) % 4) for row in rows)


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("down", [1, -1])
def test_bmp_palette(bits, down):
    colours, v = rng.integers(0, 256, (1 << bits, 4)).astype(np.uint8), rng.integers(0, 1 << bits, (5, 7))
    data = bmp_rows(bits_of(v[::-down], bits))
    check(bmp(7, 5 * down, bits, data, colours.tobytes()), colours[v][..., 2::-1])


def test_bmp_fields():
    v = rng.integers(0, 1 << 16, (4, 5)).astype("<u2")
    rows = bmp_rows(row.tobytes() for row in v[::-1])
    five = lambda shift: (v >> shift & 31) * np.uint32(255) // 31
    check(bmp(5, 4, 16, rows), np.stack([five(10), five(5), five(0)], -1).astype(np.uint8))
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    six = (v >> 5 & 63) * np.uint32(255) // 63
    check(bmp(5, 4, 16, rows, compression=3, masks=masks), np.stack([five(11), six, five(0)], -1).astype(np.uint8))
    wide = rng.integers(0, 256, (4, 5, 4)).astype(np.uint8)
    rows = bmp_rows(row.tobytes() for row in wide[::-1])
    check(bmp(5, 4, 32, rows), wide[..., 2::-1])
    check(bmp(5, 4, 32, rows, compression=3, masks=struct.pack("<III", 0xFF, 0xFF00, 0xFF0000)), wide[..., :3])


def test_bmp_runs():
    colours = rng.integers(0, 256, (256, 4)).astype(np.uint8)
    runs = bytes([3, 7, 2, 9, 0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0, 2, 1, 0, 2, 8, 0, 1])  # runs, plain pixels, a step, the end
    want = np.array([[0, 8, 8, 0, 0], [1, 2, 3, 4, 5], [7, 7, 7, 9, 9]])
    check(bmp(5, 3, 8, runs, colours.tobytes(), 1), colours[want][..., 2::-1])
    halves = bytes([3, 0x7A, 2, 0x91, 0, 0, 0, 5, 0x12, 0x34, 0x50, 0, 0, 0, 200, 0x2F, 0, 1])
    want = np.array([[2, 15, 2, 15, 2], [1, 2, 3, 4, 5], [7, 10, 7, 9, 1]])
    check(bmp(5, 3, 4, halves, colours[:16].tobytes(), 2), colours[want][..., 2::-1])


PNM = {
    "bits in digits": (b"P1 # comment\n3 2\n1 0 1\n0#\n10\n", gray_as_rgb([[0, 255, 0], [255, 0, 255]])),
    "bits": (b"P4\n9 1\n\xaa\x80", gray_as_rgb([[0, 255, 0, 255, 0, 255, 0, 255, 0]])),
    "gray in digits": (b"P2\n#\n2 2\n15\n0 7 8 15", gray_as_rgb([[0, 119], [136, 255]])),
    "gray": (b"P5 2 2 100\n\x00\x31\x32\x64", gray_as_rgb([[0, 125], [128, 255]])),
    "16 bits": (b"P5 2 1 65535\n\x00\x30\x01\x00", gray_as_rgb([[48, 255]])),
    "colours in digits": (b"P3 1 2\n9\n1 2 3 4 5 9\n", np.array([[[28, 57, 85]], [[113, 142, 255]]], np.uint8)),
    "colours of 16 bits": (b"P6 1 1 1000\n\x00\x32\x01\x32\x03\xe8", np.array([[[13, 78, 255]]], np.uint8)),
}


@pytest.mark.parametrize("name", PNM)
def test_pnm(name):
    check(*PNM[name])


def tiff(a, photometric, order="<", orientation=1, rows=None, tile=None, planar=False, alpha=None, colours=None):
    """Without compression. a: [height, width, samples]."""
    height, width, samples = a.shape
    a = a.astype(a.dtype.newbyteorder(order))
    planes = [a[..., i:i + 1] for i in range(samples)] if planar else [a]
    step = tile or (rows or height, width)
    blocks = []
    for plane in planes:
        for y in range(0, height, step[0]):
            for x in range(0, width, step[1]):
                block = plane[y:y + step[0], x:x + step[1]]
                if tile:
                    block = np.pad(block, ((0, tile[0] - block.shape[0]), (0, tile[1] - block.shape[1]), (0, 0)))
                blocks.append(block.tobytes())
    kind = {"f": 3, "i": 2, "u": 1}[a.dtype.kind]
    tags = {256: [width], 257: [height], 258: [a.dtype.itemsize * 8] * samples, 259: [1], 262: [photometric], 274: [orientation],
            277: [samples], 284: [2 if planar else 1], 339: [kind] * samples}
    if tile:
        tags |= {322: [tile[1]], 323: [tile[0]]}
    else:
        tags[278] = [step[0]]
    if alpha is not None:
        tags[338] = [alpha]
    if colours is not None:
        tags[320] = list(colours.T.ravel())
    offsets, counts = (324, 325) if tile else (273, 279)
    tags |= {offsets: [0] * len(blocks), counts: [len(b) for b in blocks]}
    longs = {offsets, counts}
    size = lambda tag: 4 if tag in longs else 2
    at = 8 + 2 + 12 * len(tags) + 4
    places = {}
    for tag in sorted(tags):
        if len(tags[tag]) * size(tag) > 4:
            places[tag], at = at, at + len(tags[tag]) * size(tag)
    for i, block in enumerate(blocks):
        tags[offsets][i], at = at, at + len(block)
    pack = lambda tag: struct.pack(f"{order}{len(tags[tag])}{'I' if tag in longs else 'H'}", *tags[tag])
    out = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    for tag in sorted(tags):
        field = struct.pack(f"{order}I", places[tag]) if tag in places else pack(tag).ljust(4, b"\0")
        out += struct.pack(f"{order}HHI", tag, 4 if tag in longs else 3, len(tags[tag])) + field
    return out + b"\0" * 4 + b"".join(pack(tag) for tag in places) + b"".join(blocks)


LAYOUTS = [{}, {"rows": 3}, {"tile": (16, 16)}, {"planar": True}, {"planar": True, "tile": (16, 32)}]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_colours(bits, layout, order):
    a = rng.integers(0, 1 << bits, (19, 37, 3)).astype(f"u{bits // 8}")
    check(tiff(a, 2, order, **layout), (a >> (bits - 8)).astype(np.uint8))


def test_tiff_orientation():
    a = rng.integers(0, 256, (3, 5, 3)).astype(np.uint8)
    turned = [a, a[:, ::-1], a[::-1, ::-1], a[::-1], a.swapaxes(0, 1), np.rot90(a, -1), np.rot90(a, 2).swapaxes(0, 1), np.rot90(a)]
    for orientation, want in enumerate(turned, 1):
        check(tiff(a, 2, orientation=orientation), want)


def test_tiff_gray_and_palette():
    a = rng.integers(0, 256, (4, 6, 1)).astype(np.uint8)
    check(tiff(a, 1), gray_as_rgb(a[..., 0]))
    check(tiff(a, 0), gray_as_rgb(255 - a[..., 0]))
    colours = rng.integers(0, 65536, (256, 3))
    check(tiff(a, 3, colours=colours), (colours >> 8).astype(np.uint8)[a[..., 0]])
    for kind in ("u2", "i2", "u4", "i4", "f4"):
        wide = rng.integers(-50 if kind[0] != "u" else 0, 400, (4, 6, 1)).astype(kind)
        wide = wide + np.float32(0.7) if kind == "f4" else wide
        check(tiff(wide, 1), gray_as_rgb(np.clip(wide, 0, 255)[..., 0].astype(np.uint8)))


def test_tiff_planar_gray_with_alpha():
    a = rng.integers(0, 256, (40, 6, 2)).astype(np.uint8)
    check(tiff(a, 1, planar=True, alpha=2), gray_as_rgb(a[..., 0]))


def test_tiff_alpha_without_samples():
    a = rng.integers(0, 256, (40, 6, 3)).astype(np.uint8)
    check(tiff(a, 2, alpha=1), a)


def test_tiff_alpha_and_inks():
    a = rng.integers(1, 256, (4, 6, 4)).astype(np.uint8)
    a[0, 0, 3] = 0
    check(tiff(a, 2, alpha=2), a[..., :3])
    shown = np.minimum(a[..., :3].astype(int) * 255 // np.maximum(a[..., 3:], 1), 255) * (a[..., 3:] > 0)
    check(tiff(a, 2, alpha=1), shown.astype(np.uint8))
    white = 255 - a[..., 3:].astype(int)
    product = a[..., :3] * white + 128
    check(tiff(a, 5), np.clip(white - ((product >> 8) + product >> 8), 0, 255).astype(np.uint8))


FILES = [getattr(corpus, f"image_decoder_decode_{name}").data.tobytes()
         for name in ("bmp_rgb", "jpeg_rgb", "jpeg2k_rgb", "png_rgb", "pnm_rgb", "tiff_rgb", "webp_rgb")]


@pytest.mark.parametrize("data", FILES, ids=lambda d: repr(d[:4]))
def test_cut_off(data):
    whole = decode(data)
    for end in [*range(1, min(len(data), 64)), *range(64, len(data), max(1, len(data) // 40))]:
        try:
            np.testing.assert_array_equal(decode(data[:end]), whole)  # PNG: only the mark of its end is missing
            assert data.startswith(b"\x89PNG") and end + 12 >= len(data)
        except tenonrt.Error as e:
            assert "ImageDecoder" in str(e)


@pytest.mark.parametrize("data", FILES, ids=lambda d: repr(d[:4]))
def test_damaged(data):
    """An image of some size, or an error: never anything else."""
    damage = np.random.default_rng(3)
    for _ in range(200):
        bad = np.frombuffer(data, np.uint8).copy()
        at = damage.integers(0, len(bad) if damage.random() < 0.5 else 64, damage.integers(1, 6))
        bad[at] = damage.integers(0, 256, len(at))
        try:
            assert decode(bad.tobytes()).shape[2] == 3
        except tenonrt.Error as e:
            assert "decoder" in str(e)


@pytest.mark.parametrize("data, text", [
    (b"", "0 bytes are no image"),
    (b"GIF89a..", "begin with 47 49 46 38 39 61 2e 2e"),
    (b"P", "no image"),
    (b"P6 2 2 0\n", "largest value"),
    (b"P6 0 2 255\n", "0 x 2"),
    (b"P5 99999999 1 255\n", "at most"),
    (b"P6 100000 100000 255\n", "too early"),
    (b"P2 1 1 7 8", "above its largest value"),
    (png(np.zeros((1, 1, 1), int), 8, 0, size=(1 << 30, 1 << 30)), "at most"),
    (png(np.zeros((1, 1, 1), int), 8, 0, size=(0, 1)), "PNG"),
    (bmp(1 << 30, 1 << 30, 24, b""), "BMP"),
    (bmp(60000, 60000, 8, b"", bytes(1024), 1), "at most"),
    (bmp(3, 3, 7, b""), "7 bits"),
    (tiff(np.zeros((2, 2, 2), np.float32), 2), "not supported|2 x 32 bits"),
], ids=range(14))
def test_refused_bytes(data, text):
    with pytest.raises(tenonrt.Error, match=text):
        decode(data)


def test_pixel_format_is_checked():
    with pytest.raises(tenonrt.NotImplemented, match="pixel_format"):
        session("YUV")


def test_without_the_codecs(tmp_path):
    """A provider without the library beside it loads, and refuses the operator with a word on what is missing."""
    folder = pathlib.Path(tenonrt.__file__).parent / "lib/tenon/providers"
    for name in ("libtenon_provider_cpu.so", "cpu.tenon.json"):
        shutil.copy(folder / name, tmp_path / name)
    code = (
        "import sys, tenonrt; tenonrt.add_provider_path(sys.argv[1])\n"
        "import test_image_decoder as t\n"
        "try: t.session()\n"
        "except tenonrt.NotImplemented as e: print(e)"
    )
    paths = [str(pathlib.Path(__file__).parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env=environment)
    assert str(tmp_path / "libtenon_image_codecs.so") in done.stdout and "libjpeg62-turbo" in done.stdout, done.stdout + done.stderr
