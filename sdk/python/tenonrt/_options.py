"""SessionOptions and RunOptions, with onnxruntime's field names."""
from __future__ import annotations

import enum
import json
import os
import warnings

from . import _core, _errors


class GraphOptimizationLevel(enum.IntEnum):
    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(enum.IntEnum):
    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class ExecutionOrder(enum.IntEnum):
    DEFAULT = 0
    PRIORITY_BASED = 1
    MEMORY_EFFICIENT = 2


# onnxruntime's keys that say something here: its key, its value -> our pointer, our value.
_TRANSLATED = {
    ("session.disable_cpu_ep_fallback", "1"): ("/placement/on_unsupported", '"error"'),
    ("session.disable_cpu_ep_fallback", "0"): ("/placement/on_unsupported", '"next"'),
}
# onnxruntime's keys that ask for what happens anyway, or for what cannot matter to results.
_HARMLESS = frozenset("""
session.intra_op.allow_spinning session.inter_op.allow_spinning session.intra_op_thread_affinities session.force_spinning_stop
session.set_denormal_as_zero session.disable_prepacking session.use_env_allocators session.load_model_format
session.save_model_format session.use_device_allocator_for_initializers session.use_memory_mapped_ort_model
session.dynamic_block_base session.use_ort_model_bytes_directly session.use_ort_model_bytes_for_initializers
session.disable_quant_qdq session.disable_double_qdq_remover session.enable_quant_qdq_cleanup session.qdqisint8allowed
session.disable_aot_function_inlining session.record_ep_graph_assignment_info session.model_external_initializers_file_folder_path
session.x64quantprecision session.node_partition_config_file session.collect_node_memory_stats_to_file session.strict_shape_type_inference
optimization.disable_specified_optimizers optimization.enable_gelu_approximation optimization.enable_cast_chain_elimination
optimization.minimal_build_optimizations optimization.memory_optimizer_config optimization.enable_memory_probe_recompute_config
ep.context_enable ep.context_file_path ep.context_embed_mode ep.context_node_name_prefix
mlas.enable_gemm_fastmath_arm64_bfloat16 memory.enable_memory_arena_shrinkage debug.layout_transformation
""".split())


def _known_pointers() -> list[str]:
    """Every pointer of the configuration, from its schema; "*" stands for a free key."""
    found: list[str] = []

    def walk(node: dict, at: str) -> None:
        for key, child in node.get("properties", {}).items():
            found.append(f"{at}/{key}")
            for form in (child, *child.get("anyOf", ()), *child.get("oneOf", ())):
                walk(form, f"{at}/{key}")
        more = node.get("additionalProperties")
        if isinstance(more, dict):
            found.append(f"{at}/*")
            for form in (more, *more.get("anyOf", ())):
                walk(form, f"{at}/*")

    walk(json.loads(_core.schema()), "")
    return found


def _pointer(key: str) -> str | None:
    """The configuration's pointer that a key means; None if there is none."""
    if key == "precision":
        return "/session/precision"
    pointer = key if key.startswith("/") else "/" + key.replace(".", "/")
    for known in _known_pointers():
        left, right = pointer.split("/"), known.split("/")
        if len(left) == len(right) and all(r in ("*", part) for part, r in zip(left, right)):
            return pointer
    # Lists such as /placement/rules/0/use are checked by the library itself.
    return pointer if pointer.startswith(("/providers/", "/placement/rules/", "/provider_paths")) else None


class SessionOptions:
    """Options of a session. Fields that only tune onnxruntime's internals are kept and do nothing."""

    def __init__(self) -> None:
        self.enable_cpu_mem_arena = True
        self.enable_mem_pattern = True
        self.enable_mem_reuse = True
        self.enable_profiling = False
        self.profile_file_prefix = "tenon_profile"
        self.optimized_model_filepath = ""
        self.intra_op_num_threads = 0
        self.inter_op_num_threads = 0
        self.execution_mode = ExecutionMode.ORT_SEQUENTIAL
        self.execution_order = ExecutionOrder.DEFAULT
        self.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.logid = ""
        self.use_deterministic_compute = False
        self.use_per_session_threads = True
        self.config_file: str | os.PathLike[str] | None = None  # JSON; None: the one that counts
        self._entries: dict[str, str] = {}
        self._settings: dict[str, str] = {}
        self._providers: list[tuple[str, dict]] = []

    def add_session_config_entry(self, key: str, value: str) -> None:
        """A key of onnxruntime, "precision", or a pointer into tenon's configuration ("/session/threads").

        An unknown key warns and suggests; a wrong value of a known key raises."""
        if not isinstance(key, str):
            raise TypeError("the key must be a str")
        value = value if isinstance(value, str) else json.dumps(value)
        if (key, value) in _TRANSLATED:
            pointer, setting = _TRANSLATED[(key, value)]
            self._settings[pointer] = setting
        elif key in _HARMLESS or any(key == known for known, _ in _TRANSLATED):
            pass
        elif (pointer := _pointer(key)) is not None:
            _core.Configuration.parse("{}").set(pointer, value)
            self._settings[pointer] = value
        else:
            import difflib

            keys = ["precision", *_HARMLESS, *(known for known, _ in _TRANSLATED), *_known_pointers()]
            near = difflib.get_close_matches(key, keys, 1, 0.7)
            advice = f'did you mean "{near[0]}"?' if near else "python -m tenonrt config schema lists the keys"
            warnings.warn(f'unknown session configuration key "{key}" is ignored; {advice}', _errors.UnknownConfigKeyWarning, stacklevel=2)
        self._entries[key] = value

    def get_session_config_entry(self, key: str) -> str:
        if key not in self._entries:
            raise _errors.make("NOT_FOUND", f'there is no session configuration entry "{key}"')
        return self._entries[key]

    def add_free_dimension_override_by_name(self, name: str, value: int) -> None:
        escaped = name.replace("~", "~0").replace("/", "~1")
        self._settings[f"/shapes/{escaped}"] = str(int(value))

    def add_provider(self, name: str, options: dict | None = None) -> None:
        self._providers.append((name, dict(options or {})))

    def has_providers(self) -> bool:
        return bool(self._providers)

    def register_custom_ops_library(self, path: str) -> None:
        raise _errors.make("UNIMPLEMENTED", f'"{path}": custom operators come with a provider in tenon, see plugin-api')

    def _apply(self, configuration: _core.Configuration) -> None:
        """Writes what differs from the defaults into a configuration."""
        if self.intra_op_num_threads:
            configuration.set("/session/threads", str(int(self.intra_op_num_threads)))
        level = GraphOptimizationLevel(self.graph_optimization_level)
        if level != GraphOptimizationLevel.ORT_ENABLE_ALL:
            names = {0: "none", 1: "basic", 2: "extended", 3: "all"}
            configuration.set("/session/optimize", names[int(level)])
        if self.use_deterministic_compute:
            configuration.set("/session/deterministic", "true")
        if self.log_severity_level >= 0:
            configuration.set("/log/default", _LOG_NAMES[min(int(self.log_severity_level), 4)])
        for pointer, value in self._settings.items():
            configuration.set(pointer, value)

    def __copy__(self) -> SessionOptions:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict) -> SessionOptions:
        import copy

        other = type(self).__new__(type(self))
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return other


_LOG_NAMES = ("debug", "info", "warn", "error", "off")


class RunOptions:
    """Options of one run, or of several at once. terminate = True stops them from any thread."""

    def __init__(self) -> None:
        self.log_severity_level = 2
        self.log_verbosity_level = 0
        self.logid = ""
        self.only_execute_path_to_fetches = False
        self.deadline_ms: float | None = None  # longest time of a run; None: no limit
        self._token = _core.CancelToken()
        self._entries: dict[str, str] = {}

    @property
    def terminate(self) -> bool:
        return self._token.cancelled()

    @terminate.setter
    def terminate(self, value: bool) -> None:
        if value:
            self._token.cancel()
        elif self._token.cancelled():
            self._token.renew()

    @property
    def timeout(self) -> float | None:
        """deadline_ms in seconds."""
        return None if self.deadline_ms is None else self.deadline_ms / 1000

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self.deadline_ms = None if seconds is None else seconds * 1000

    def _timeout_ns(self) -> int:
        if self.deadline_ms is None:
            return 0
        if not self.deadline_ms > 0:
            return 1
        return min(int(self.deadline_ms * 1e6) or 1, 2**63 - 1)

    def add_run_config_entry(self, key: str, value: str) -> None:
        self._entries[key] = value

    def get_run_config_entry(self, key: str) -> str:
        if key not in self._entries:
            raise _errors.make("NOT_FOUND", f'there is no run configuration entry "{key}"')
        return self._entries[key]
