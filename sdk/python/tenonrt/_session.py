"""InferenceSession: onnxruntime's everyday interface over _core.Session."""
from __future__ import annotations

import copy
import json
import os
import time
import warnings
from dataclasses import dataclass
from typing import Any, Literal, Mapping, Sequence, overload

from . import _core, _errors, _providers
from ._options import RunOptions, SessionOptions
from ._state import State
from ._values import IOBinding, OrtValue


# Names for which no installed package need be looked at.
_BUILT_IN = ("cpu", "CPUExecutionProvider")


class NodeArg:
    """An input or output of a model: name, type as ONNX writes it, shape of int, str (a named dim) or None.

    shape is empty for scalars, for what is no tensor, and where the rank is unknown; rank is None in the last case. memory is
    where a run wants it, or makes it: "host", or the memory of a device; dlpack_device is what __dlpack_device__ would say
    there, None where DLPack has no number for it."""

    __slots__ = ("name", "shape", "type", "optional", "rank", "memory", "dlpack_device")

    def __init__(
        self,
        name: str,
        type: str,
        shape: list[int | str | None] | None,
        optional: bool = False,
        memory: str = "host",
        dlpack_device: tuple[int, int] = (1, 0),
    ) -> None:
        self.name = name
        self.type = type
        self.shape = shape if shape is not None else []
        self.rank = len(shape) if shape is not None else None
        self.optional = optional
        self.memory = memory
        self.dlpack_device = dlpack_device if dlpack_device[0] else None

    def __repr__(self) -> str:
        return f"NodeArg(name='{self.name}', type='{self.type}', shape={self.shape})"


@dataclass(frozen=True)
class PlacedNode:
    """Where one node runs, and why there. Without a provider of its own: "core" (shape arithmetic, control flow) or "none"."""

    node: str  # its name, "" where it has none
    op: str
    provider: str
    device: str
    part: int  # nodes of one part are compiled together; -1: none
    reason: str  # "cost", "rule 2", "only claim", ...
    graph: str  # "" the model's, else the path of a body: "loop/body"
    cost_ns: float  # its share of what a run costs
    measured: bool  # the cost was measured before; else it is the provider's estimate


class ModelMetadata:
    """What a model says of itself."""

    def __init__(self, model: dict[str, Any]) -> None:
        self.producer_name: str = model["producer_name"]
        self.graph_name: str = model["graph_name"]
        self.domain: str = model["domain"]
        self.description: str = model["description"]
        self.graph_description: str = model["graph_description"]
        self.version: int = model["model_version"]
        self.custom_metadata_map: dict[str, str] = model["metadata"]
        self.producer_version: str = model["producer_version"]
        self.ir_version: int = model["ir_version"]
        self.opsets: dict[str, int] = model["opsets"]
        self.node_count: int = model["node_count"]
        self.weight_bytes: int = model["weight_bytes"]


def configuration_of(options: SessionOptions, pairs: list[tuple[str, dict]], model: str | None) -> _core.Configuration:
    """The one that counts, with these providers and options on top of it; installed packages are looked at if it names any."""
    file = os.fsdecode(options.config_file) if options.config_file is not None else None
    if any(name not in _BUILT_IN for name, _ in pairs):
        _providers.know_packages()
    configuration = _core.Configuration.find(file, model)
    _providers.add_to(configuration, pairs)
    options._apply(configuration)
    if not pairs and configuration.provider_count():  # named by a configuration
        _providers.know_packages()
    return configuration


class InferenceSession:
    """A loaded model. run may be called from several threads at once."""

    def __init__(
        self,
        path_or_bytes: str | bytes | os.PathLike[str],
        sess_options: SessionOptions | None = None,
        providers: Sequence[str | tuple[str, dict]] | None = None,
        provider_options: Sequence[dict] | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(path_or_bytes, bytes):
            self._model_path: str | None = None
            self._model_bytes: bytes | None = path_or_bytes
        elif isinstance(path_or_bytes, (str, os.PathLike)):
            self._model_path = os.fsdecode(path_or_bytes)
            self._model_bytes = None
        else:
            raise TypeError(f"Unable to load from type '{type(path_or_bytes)}': a path or bytes are expected")
        self._sess_options = sess_options if sess_options is not None else SessionOptions()
        self._cancel = kwargs.pop("cancel", None)  # a CancelToken that stops the load
        self._progress = kwargs.pop("progress", None)  # called with a fraction and what is being done
        for name in kwargs.keys() - {"enable_fallback", "read_config_from_model", "disabled_optimizers"}:
            warnings.warn(f'InferenceSession: unknown argument "{name}" is ignored', stacklevel=2)
        self._create(_providers.normalise(providers, provider_options) or list(self._sess_options._providers))

    def _create(self, pairs: list[tuple[str, dict]]) -> None:
        options = self._sess_options
        path = self._model_path
        if path is not None and not os.path.exists(path):
            raise _errors.make("NOT_FOUND", f"Load model from {path} failed. File doesn't exist", kind=_errors.NoSuchFile)
        configuration = configuration_of(options, pairs, path)
        try:
            self._sess = _core.Session(path, self._model_bytes, configuration, self._cancel, self._progress)
        except _errors.Error as error:
            raise _of_load(error) from None
        self._profile = _core.Profile() if options.enable_profiling else None
        self._profile_start_ns = time.time_ns()
        self._inputs_meta = [NodeArg(*port) for port in self._sess.inputs()]
        self._outputs_meta = [NodeArg(*port) for port in self._sess.outputs()]
        self._providers = _providers.spelling_of(self._sess.providers())
        given = dict(zip(_providers.spelling_of(name.partition(":")[0] for name, _ in pairs), (given for _, given in pairs)))
        self._provider_options = {name: {k: str(v) for k, v in given.get(name, {}).items()} for name in self._providers}

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
        state: State | None = None,
    ) -> list[Any]:
        """Computes the named outputs (None: all). Arrays in the result own their memory.

        The GIL is released meanwhile; Ctrl-C, run_options.terminate and run_options.deadline_ms end it. state: where the
        session keeps inputs between runs (the entry "session.state"), whose they are; None: the session's own."""
        if run_options is None and self._profile is None and state is None:
            return self._sess.run(output_names, input_feed)
        kept = state._state if state is not None else None
        if run_options is None:
            return self._sess.run(output_names, input_feed, None, 0, self._profile, kept)
        return self._sess.run(output_names, input_feed, run_options._token, run_options._timeout_ns(), self._profile, kept)

    @property
    def state(self) -> State | None:
        """What the session keeps between runs that name no other state; None without the entry "session.state"."""
        own = self._sess.state()
        return State(own) if own is not None else None

    def new_state(self) -> State:
        """An empty state for another conversation."""
        return State(self._sess.new_state())

    def reset_state(self) -> None:
        """The session's own state forgets everything; nothing where there is none."""
        if (own := self._sess.state()) is not None:
            own.truncate(0)

    def io_binding(self) -> IOBinding:
        """Inputs and outputs that are bound once and run many times; see run_with_iobinding."""
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None, state: State | None = None) -> None:
        """Runs with what is bound: inputs are read and outputs written where they are. state: as for run."""
        iobinding._require_outputs()
        kept = state._state if state is not None else None
        if run_options is None:
            self._sess.run_bound(iobinding._binding, None, 0, self._profile, kept)
        else:
            self._sess.run_bound(iobinding._binding, run_options._token, run_options._timeout_ns(), self._profile, kept)

    def run_with_ort_values(
        self, output_names: Sequence[str] | None, input_dict_ort_values: Mapping[str, OrtValue], run_options: RunOptions | None = None
    ) -> list[OrtValue]:
        """As run, with OrtValue in and out."""
        binding = IOBinding(self)
        for name, value in input_dict_ort_values.items():
            binding.bind_ortvalue_input(name, value)
        for name in output_names or [arg.name for arg in self._outputs_meta]:
            binding.bind_output(name)
        self.run_with_iobinding(binding, run_options)
        return binding.get_outputs()

    def get_inputs(self) -> list[NodeArg]:
        return [arg for arg in self._inputs_meta if not _is_overridable(arg)]

    def get_outputs(self) -> list[NodeArg]:
        return list(self._outputs_meta)

    def get_overridable_initializers(self) -> list[NodeArg]:
        """Inputs that have a default and need not be fed."""
        return [arg for arg in self._inputs_meta if _is_overridable(arg)]

    def get_modelmeta(self) -> ModelMetadata:
        return ModelMetadata(json.loads(self._sess.model_text()))

    def get_session_options(self) -> SessionOptions:
        return self._sess_options

    def get_providers(self) -> list[str]:
        return list(self._providers)

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return copy.deepcopy(self._provider_options)

    def set_providers(self, providers: Sequence[Any] | None = None, provider_options: Sequence[dict] | None = None) -> None:
        """Loads the model again for other providers."""
        self._create(_providers.normalise(providers, provider_options))

    def disable_fallback(self) -> None:
        """Nothing to switch off: a provider that was asked for and cannot be used is an error."""

    def enable_fallback(self) -> None:
        """There is no silent fallback; see the option "required" of a provider."""

    def end_profiling(self) -> str:
        """Writes what was timed since the session was made; the path of the file, "" without enable_profiling."""
        if self._profile is None:
            return ""
        profile, self._profile = self._profile, None
        path = f"{self._sess_options.profile_file_prefix}_{time.strftime('%Y-%m-%d_%H-%M-%S')}.json"
        with open(path, "w", encoding="utf-8") as file:
            file.write(profile.trace())
        return path

    def get_profiling_start_time_ns(self) -> int:
        return self._profile_start_ns

    def placement(self) -> list[PlacedNode]:
        """Where each node runs, and why there; explain() says the rest."""
        return [PlacedNode(*node) for node in self._sess.placement()]

    @overload
    def explain(self, format: Literal["text", "json", "html"] = "text") -> str: ...
    @overload
    def explain(self, format: Literal["dict"]) -> dict[str, Any]: ...
    def explain(self, format: str = "text") -> Any:
        """What runs where, at what cost, and why not elsewhere: nodes, parts, copies, memory, refusals, notes.

        format: "text" for people; "json", or "dict" for the same read already; "html" for a page that needs nothing else.
        Costs and memory are for the sizes that the configuration gives under /shapes."""
        if format == "dict":
            return json.loads(self._sess.explain("json"))
        return self._sess.explain(format)

    def graph_text(self) -> str:
        """The optimised graph."""
        return self._sess.graph_text()

    def plan_text(self) -> str:
        """The steps for the shapes that were run last."""
        return self._sess.plan_text()

    def __enter__(self) -> InferenceSession:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def __reduce__(self) -> Any:
        source = self._model_bytes if self._model_path is None else self._model_path
        pairs = [(name, options) for name, options in self._provider_options.items()]
        return (type(self), (source, self._sess_options, pairs))

    def __repr__(self) -> str:
        names = ", ".join(arg.name for arg in self._inputs_meta)
        outputs = ", ".join(arg.name for arg in self._outputs_meta)
        return f"<InferenceSession {self._model_path or 'of bytes'}: ({names}) -> ({outputs}) on {', '.join(self._providers)}>"


def _is_overridable(arg: NodeArg) -> bool:
    return arg.optional and not arg.type.startswith("optional(")


def _of_load(error: _errors.Error) -> _errors.Error:
    """While a model is loaded some codes have a narrower meaning."""
    kinds = {
        _errors.InvalidArgument: _errors.InvalidGraph,
        _errors.NotFound: _errors.NoSuchFile,
        _errors.Cancelled: _errors.ModelLoadCanceled,
    }
    kind = kinds.get(type(error))
    about_provider = "provider" in str(error)
    if kind is None or (about_provider and kind is not _errors.ModelLoadCanceled):
        if type(error) is _errors.NotFound:
            kind = _errors.EPFail
        else:
            return error
    made = kind(str(error))
    made.code, made.hint = error.code, error.hint
    return made
