"""The exceptions: a tree with onnxruntime's names, so that code written for it catches what it expects."""
from __future__ import annotations

from . import _core


class Error(RuntimeError):
    """Base of all. code: name of tenon's status code; hint: what to do, or None."""

    code: str = "UNKNOWN"
    hint: str | None = None


class Fail(Error):
    pass


class InvalidArgument(Error, ValueError):
    pass


class InvalidGraph(InvalidArgument):
    """The model is not valid ONNX."""


class InvalidProtobuf(InvalidArgument):
    """The bytes are no model."""


class NotFound(Error):
    pass


class NoSuchFile(NotFound, FileNotFoundError):
    pass


class NoModel(Error):
    pass


class EngineError(Error):
    pass


class RuntimeException(Error):
    """A failure inside tenon or a provider."""


class OutOfMemory(RuntimeException, MemoryError):
    pass


class NotImplemented(Error, NotImplementedError):  # noqa: A001 - onnxruntime's name
    pass


class ModelLoaded(Error):
    pass


class EPFail(Error):
    """A provider cannot be used."""


class DeviceReset(EPFail):
    """The device was lost."""


class Cancelled(Fail):
    """RunOptions.terminate was set."""


class ModelLoadCanceled(Cancelled):
    pass


class DeadlineExceeded(Fail, TimeoutError):
    """The run's or the load's time limit has passed."""


class UnknownConfigKeyWarning(UserWarning):
    """A configuration key that has no meaning here."""


_BY_CODE: dict[str, type[Error]] = {
    "CANCELLED": Cancelled,
    "INVALID_ARGUMENT": InvalidArgument,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "NOT_FOUND": NotFound,
    "PERMISSION_DENIED": Fail,
    "RESOURCE_EXHAUSTED": OutOfMemory,
    "FAILED_PRECONDITION": Fail,
    "OUT_OF_RANGE": InvalidArgument,
    "UNIMPLEMENTED": NotImplemented,
    "INTERNAL": RuntimeException,
    "UNAVAILABLE": EPFail,
    "DATA_LOSS": InvalidProtobuf,
    "UNSUPPORTED_SUBGRAPH": NotImplemented,
    "UNSUPPORTED_SHAPE": NotImplemented,
    "DEVICE_LOST": DeviceReset,
    "MISSING_DEPENDENCY": EPFail,
    "ABI_MISMATCH": EPFail,
}


def make(code: str, text: str, hint: str | None = None, kind: type[Error] | None = None) -> Error:
    """The exception of a failure; kind overrides the one that the code stands for."""
    if hint is None and "; hint: " in text:
        hint = text.split("; hint: ", 1)[1]
        shown = text
    else:
        shown = f"{text}\nhint: {hint}" if hint else text
    error = (kind or _BY_CODE.get(code, Fail))(f"[tenon] : {code} : {shown}")
    error.code, error.hint = code, hint
    return error


_core.set_error_maker(make)
