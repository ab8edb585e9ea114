"""OrtValue and IOBinding: values that stay where they are between runs, with onnxruntime's interface."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

from . import _core
from ._errors import InvalidArgument

if TYPE_CHECKING:
    from ._session import InferenceSession

_TENSOR, _SEQUENCE = 0, 1


def _on_cpu(device_type: str, what: str) -> None:
    if device_type.lower().partition(":")[0] not in ("cpu", "cpu_pinned"):
        raise ValueError(f"{what}: values are bound in host memory, device_type must be 'cpu', found '{device_type}'")


class OrtDevice:
    """Where a value is: host memory."""

    def __init__(self, name: str = "cpu", device_id: int = 0) -> None:
        _on_cpu(name, "OrtDevice")
        self._id = device_id

    @staticmethod
    def make(name: str, device_id: int = 0) -> OrtDevice:
        return OrtDevice(name, device_id)

    def device_type(self) -> str:
        return "cpu"

    def device_id(self) -> int:
        return self._id


class OrtValue:
    """A tensor (or a sequence that a run made) in host memory. Made over an array it shares the array's memory."""

    __slots__ = ("_value",)

    def __init__(self, value: _core.Value) -> None:
        self._value = value

    @staticmethod
    def ortvalue_from_numpy(numpy_obj: Any, device_type: str = "cpu", device_id: int = 0) -> OrtValue:
        """Over the array's memory where that is dense, else a copy; the array lives as long as the value."""
        _on_cpu(device_type, "ortvalue_from_numpy")
        return OrtValue(_core.Value.from_array(numpy_obj))

    @staticmethod
    def ortvalue_from_numpy_with_onnx_type(data: Any, onnx_element_type: int) -> OrtValue:
        """An array of bits (uint16 of bfloat16, uint8 of float8) as the type that they are; shares the memory."""
        base = _core.Value.from_array(data)
        made = OrtValue(_core.Value.over(base.pointer(), onnx_element_type, base.shape()))
        if made._value.bytes() != base.bytes():
            raise ValueError(f"elements of type {onnx_element_type} have another size than those of {base.type()}")
        return _Keeping(made._value, base)

    @staticmethod
    def ortvalue_from_shape_and_type(shape: Sequence[int], element_type: Any, device_type: str = "cpu", device_id: int = 0) -> OrtValue:
        """New memory; the elements are not set."""
        _on_cpu(device_type, "ortvalue_from_shape_and_type")
        return OrtValue(_core.Value.empty(element_type, list(shape)))

    @staticmethod
    def from_dlpack(data: Any, is_bool_tensor: bool = False) -> OrtValue:
        """Over the memory of anything with __dlpack__ (a torch tensor in host memory)."""
        import numpy

        array = numpy.from_dlpack(data)
        return OrtValue(_core.Value.from_array(array.view(bool) if is_bool_tensor else array))

    def __dlpack__(self, **options: Any) -> Any:
        return self.numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def numpy(self) -> Any:
        """The elements as an array that shares them (packed types and text: a copy)."""
        if not self.is_tensor():
            raise RuntimeError("only tensors have elements for numpy(); to_list() gives the items of a sequence")
        return self._value.array()

    def to_list(self) -> Any:
        """The items of a sequence, as run would give them."""
        return self._value.array()

    def update_inplace(self, np_arr: Any) -> None:
        """Copies the array's elements into this value's memory: same shape, same type."""
        to = self.numpy()
        if to.shape != np_arr.shape or to.dtype != np_arr.dtype:
            raise ValueError(f"an array of {to.dtype} with shape {to.shape} is expected, found {np_arr.dtype} with shape {np_arr.shape}")
        to[...] = np_arr

    def shape(self) -> list[int]:
        return self._value.shape()

    def data_type(self) -> str:
        """As ONNX writes it: "tensor(float)"."""
        return self._value.type()

    def element_type(self) -> int:
        """ONNX's number of the element type."""
        return self._value.dtype()

    def data_ptr(self) -> int:
        return self._value.pointer()

    def tensor_size_in_bytes(self) -> int:
        return self._value.bytes()

    def has_value(self) -> bool:
        return True

    def is_tensor(self) -> bool:
        return self._value.kind() == _TENSOR

    def is_tensor_sequence(self) -> bool:
        return self._value.kind() == _SEQUENCE

    def is_sparse_tensor(self) -> bool:
        return False

    def device_name(self) -> str:
        return "cpu"

    def device_id(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"<OrtValue {self.data_type()} {self.shape()}>"


class _Keeping(OrtValue):
    """Over memory that another value owns."""

    __slots__ = ("_base",)

    def __init__(self, value: _core.Value, base: _core.Value) -> None:
        super().__init__(value)
        self._base = base


class IOBinding:
    """The inputs and outputs of a session, bound by name. One thread at a time."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._binding = _core.Binding()
        self._kept: dict[str, Any] = {}  # owners of bound memory that the binding cannot hold itself

    def _require_outputs(self) -> None:
        if not self._binding.output_names():
            names = ", ".join(arg.name for arg in self._session.get_outputs())
            raise InvalidArgument(f"[tenon] : INVALID_ARGUMENT : no output is bound\nhint: bind_output(name) says what a run shall give; the model's outputs are: {names}")

    def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
        """Reads the array's memory in every run: what is written into it later counts."""
        self._binding.bind_input(name, _core.Value.from_array(arr_on_cpu))

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int
    ) -> None:
        """Over memory that the caller keeps alive."""
        _on_cpu(device_type, f'input "{name}"')
        self._binding.bind_input(name, _core.Value.over(buffer_ptr, element_type, list(shape)))

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        self._binding.bind_input(name, ortvalue._value)
        self._kept["in " + name] = ortvalue

    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        """Without a buffer the run makes the memory; with one the result is written there and may be smaller."""
        _on_cpu(device_type, f'output "{name}"')
        if buffer_ptr is None:
            self._binding.bind_output(name, None)
        else:
            if element_type is None or shape is None:
                raise ValueError(f'output "{name}": element_type and shape are needed with buffer_ptr')
            self._binding.bind_output(name, _core.Value.over(buffer_ptr, element_type, list(shape)))

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        self._binding.bind_output(name, ortvalue._value)
        self._kept["out " + name] = ortvalue

    def synchronize_inputs(self) -> None:
        """Kept for compatibility: bound memory is the host's."""

    def synchronize_outputs(self) -> None:
        """Kept for compatibility: a run returns when its outputs are there."""

    def get_outputs(self) -> list[OrtValue]:
        """The results of the last run, in the order in which they were bound."""
        return [OrtValue(value) for value in self._binding.outputs()]

    def get_outputs_as_ortvaluevector(self) -> list[OrtValue]:
        return self.get_outputs()

    def copy_outputs_to_cpu(self) -> list[Any]:
        """The results as arrays of their own."""
        return [array.copy() if hasattr(array, "copy") else array for array in (value.array() for value in self._binding.outputs())]

    def clear_binding_inputs(self) -> None:
        self._binding.clear_inputs()
        self._kept = {key: value for key, value in self._kept.items() if not key.startswith("in ")}

    def clear_binding_outputs(self) -> None:
        self._binding.clear_outputs()
        self._kept = {key: value for key, value in self._kept.items() if not key.startswith("out ")}
