"""Bundles: a model, its weights and what providers make of it as one file."""
from __future__ import annotations

import json
import os
from typing import Any, Callable, Sequence

from . import _core, _providers
from ._options import SessionOptions
from ._session import configuration_of

_ADD, _NO_PACKED = 1, 2  # TENON_COMPILE_*


def compile_bundle(
    model: str | os.PathLike[str],
    bundle: str | os.PathLike[str],
    sess_options: SessionOptions | None = None,
    providers: Sequence[str | tuple[str, dict]] | None = None,
    *,
    add: bool = False,
    packed: bool = True,
    cancel: _core.CancelToken | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Writes the model as a bundle, which InferenceSession loads as it loads the model; what was stored for which provider.

    Give the options and providers that its sessions will have. add: the model is a bundle, to which this machine's results are
    added; packed: packed weights are stored too, which makes the file larger and loads faster."""
    options = sess_options if sess_options is not None else SessionOptions()
    path = os.fsdecode(model)
    configuration = configuration_of(options, _providers.normalise(providers, None) or list(options._providers), path)
    flags = (_ADD if add else 0) | (0 if packed else _NO_PACKED)
    return json.loads(_core.bundle_compile(path, os.fsdecode(bundle), flags, configuration, cancel, progress))


def describe_bundle(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What is in a bundle, for which providers and devices, and whether it may be used here."""
    return json.loads(_core.bundle_text(os.fsdecode(path)))


def allow_bundle(path: str | os.PathLike[str]) -> None:
    """Lets providers have what a bundle from elsewhere stores, in this user's processes from now on. It may be machine code."""
    _core.bundle_allow(os.fsdecode(path))
