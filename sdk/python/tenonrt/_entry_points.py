"""Providers that come as Python packages: wheels with an entry point of the group tenon.providers."""
from __future__ import annotations

import os
import sys
from typing import Iterator

GROUP = "tenon.providers"


def folders() -> Iterator[str]:
    """The folder of each package that such an entry point names, in the order of sys.path.

    Reads files and imports nothing. importlib.metadata would do, but takes longer to import than a small model to load."""
    for place in dict.fromkeys(sys.path):
        try:
            infos = sorted(entry.path for entry in os.scandir(place or ".") if entry.name.endswith(".dist-info"))
        except OSError:
            continue
        for info in infos:
            try:
                with open(os.path.join(info, "entry_points.txt"), encoding="utf-8") as file:
                    text = file.read()
            except OSError:
                continue
            for package in _packages(text):
                folder = os.path.join(os.path.abspath(place or "."), *package.split("."))
                if os.path.isdir(folder):
                    yield folder


def _packages(text: str) -> Iterator[str]:
    group = None
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            group = line.strip("[] ")
        elif group == GROUP and "=" in line and not line.startswith(("#", ";")):
            yield line.partition("=")[2].partition(":")[0].partition("[")[0].strip()
