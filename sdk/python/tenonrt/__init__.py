"""tenonrt loads ONNX models and runs them, with the interface of onnxruntime.

    import tenonrt as rt
    session = rt.InferenceSession("model.onnx")
    outputs = session.run(None, {"x": array})
"""
from __future__ import annotations

from . import _core
from ._bundle import allow_bundle, compile_bundle, describe_bundle
from ._core import CancelToken
from ._errors import (
    Cancelled,
    DeadlineExceeded,
    DeviceReset,
    EngineError,
    EPFail,
    Error,
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    ModelLoadCanceled,
    ModelLoaded,
    NoModel,
    NoSuchFile,
    NotFound,
    NotImplemented,
    OutOfMemory,
    RuntimeException,
    UnknownConfigKeyWarning,
)
from ._options import ExecutionMode, ExecutionOrder, GraphOptimizationLevel, RunOptions, SessionOptions
from ._providers import get_all_providers, get_available_providers, get_device
from ._providers import report as providers_report
from ._session import InferenceSession, ModelMetadata, NodeArg, PlacedNode
from ._state import State
from ._values import IOBinding, OrtDevice, OrtValue

__version__: str = _core.__version__


def set_default_logger_severity(severity: int) -> None:
    """0 debug, 1 info, 2 warnings, 3 errors, 4 nothing."""
    if not 0 <= int(severity) <= 4:
        raise ValueError("Invalid severity: 0 (debug) to 4 (nothing) are expected")
    _core.log_set_level(int(severity) + 1)


def set_default_logger_verbosity(verbosity: int) -> None:
    """Kept for compatibility: severity 0 shows everything."""


def add_provider_path(path: str) -> None:
    """A folder, manifest or library of a provider that counts before all others."""
    import os

    _core.provider_path_add(os.fsdecode(path))


def config_schema() -> str:
    """The JSON Schema of a configuration file."""
    return _core.schema()


def get_version_string() -> str:
    return __version__


def get_build_info() -> str:
    return f"tenon {__version__}"


def set_seed(seed: int) -> None:
    """Kept for compatibility: random operators take their seed from the model."""


def enable_telemetry_events() -> None:
    """There is no telemetry."""


def disable_telemetry_events() -> None:
    """There is no telemetry."""


__all__ = [
    "CancelToken",
    "Cancelled",
    "DeadlineExceeded",
    "DeviceReset",
    "EPFail",
    "EngineError",
    "Error",
    "ExecutionMode",
    "ExecutionOrder",
    "Fail",
    "GraphOptimizationLevel",
    "IOBinding",
    "InferenceSession",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "ModelLoadCanceled",
    "ModelLoaded",
    "ModelMetadata",
    "NoModel",
    "NoSuchFile",
    "NodeArg",
    "NotFound",
    "NotImplemented",
    "OrtDevice",
    "OrtValue",
    "OutOfMemory",
    "PlacedNode",
    "RunOptions",
    "RuntimeException",
    "SessionOptions",
    "State",
    "UnknownConfigKeyWarning",
    "add_provider_path",
    "allow_bundle",
    "compile_bundle",
    "config_schema",
    "describe_bundle",
    "disable_telemetry_events",
    "enable_telemetry_events",
    "get_all_providers",
    "get_available_providers",
    "get_build_info",
    "get_device",
    "get_version_string",
    "providers_report",
    "set_default_logger_severity",
    "set_default_logger_verbosity",
    "set_seed",
]
