"""Providers by onnxruntime's names or by short ids."""
from __future__ import annotations

import json
from typing import Any, Iterable, Sequence

from . import _core


_packages_known = False


def know_packages() -> None:
    """Makes the providers of installed packages known to the library, once a process."""
    global _packages_known
    if _packages_known:
        return
    _packages_known = True
    from ._entry_points import folders

    for folder in folders():
        _core.provider_path_add(folder)


def report() -> list[dict[str, Any]]:
    """Every provider that was found, usable or not: id, aliases, version, path, state and the reason."""
    know_packages()
    return json.loads(_core.provider_list())


def _spelling(info: dict[str, Any]) -> str:
    return next((alias for alias in info["aliases"] if alias.endswith("ExecutionProvider")), info["id"])


# By id. Looking at every provider that was found takes longer than loading a small model, so the usual one is known.
_spellings = {"cpu": "CPUExecutionProvider"}


def spelling_of(ids: Iterable[str]) -> list[str]:
    ids = list(ids)
    if any(id not in _spellings and "/" not in id and not id.endswith("ExecutionProvider") for id in ids):
        _spellings.update((info["id"], _spelling(info)) for info in report() if info["state"] != "shadowed")
    return [_spellings.get(id, id) for id in ids]


def get_available_providers() -> list[str]:
    """Names of the providers that can be used here, the cpu last."""
    usable = [info for info in report() if info["state"] in ("ready", "loaded")]
    return [_spelling(info) for info in sorted(usable, key=lambda info: info["id"] == "cpu")]


def get_all_providers() -> list[str]:
    """Names of all providers that were found, usable or not; report() says why not."""
    return list(dict.fromkeys(_spelling(info) for info in report()))


def get_device() -> str:
    """"GPU" if a provider for one can be used, else "CPU"."""
    usable = [info for info in report() if info["state"] in ("ready", "loaded")]
    return "GPU" if any("gpu" in str(device).lower() for info in usable for device in info["devices"]) else "CPU"


def normalise(providers: Sequence[Any] | None, options: Sequence[dict] | None) -> list[tuple[str, dict]]:
    """onnxruntime's two ways to name providers, as pairs."""
    if providers is None:
        if options:
            raise ValueError("provider_options needs providers of the same length")
        return []
    if isinstance(providers, str):
        raise ValueError("providers must be a list of names, or of (name, options) pairs, not a str")
    pairs: list[tuple[str, dict]] = []
    if options is not None and len(options) != len(providers):
        raise ValueError(f"provider_options has {len(options)} entries for {len(providers)} providers")
    for index, entry in enumerate(providers):
        given = dict(options[index]) if options is not None else {}
        if isinstance(entry, str):
            name = entry
        elif isinstance(entry, (tuple, list)) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], dict):
            if options is not None:
                raise ValueError("provider_options cannot be given together with (name, options) pairs")
            name, given = entry[0], dict(entry[1])
        else:
            raise ValueError(f"providers[{index}] is {entry!r}: a name or a (name, options) pair is expected")
        if any(name == other for other, _ in pairs):
            import warnings

            warnings.warn(f'provider "{name}" is named twice; the first counts', stacklevel=4)
            continue
        pairs.append((name, given))
    return pairs


def add_to(configuration: _core.Configuration, pairs: list[tuple[str, dict]]) -> None:
    """Replaces a configuration's providers. "opencl:1" is device 1; so is the option "device_id"."""
    if not pairs:
        return
    configuration.clear_providers()
    for name, given in pairs:
        options = dict(given)
        device = str(options.pop("device_id", options.pop("device", "")))
        required = options.pop("required", True) not in (False, "0", "false", "False")
        base, colon, index = name.rpartition(":")
        if colon and index.isdigit() and "/" not in name:
            name, device = base, index
        configuration.add_provider(name, device, json.dumps(options, default=str), required)
