// Python values to data of tenon and back: numpy arrays, strings, lists, dicts, None.
//
// numpy is imported when the first value is converted, not with the module. Threads: everything here needs the GIL.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nanobind/nanobind.h>
#include <tenon/tenon.h>

namespace tenon::python {

struct DatumRelease {
  void operator()(tenon_datum* datum) const { tenon_datum_release(datum); }
};
using DatumPtr = std::unique_ptr<tenon_datum, DatumRelease>;

// What an input takes; read from ONNX's spelling, "seq(map(int64,tensor(float)))".
struct TypeTree {
  std::int32_t kind = TENON_KIND_TENSOR;
  std::int32_t dtype = TENON_DTYPE_UNDEFINED;  // of a tensor, or the keys of a map
  std::unique_ptr<TypeTree> element;

  explicit TypeTree(std::string_view text);
};

struct Input {
  tenon_port port;
  TypeTree type;
};

// Keeps the Python objects whose memory the data of a call borrow.
using Keep = std::vector<nanobind::object>;

// Borrows an array's memory where it fits, else copies. Throws Failure or python_error.
DatumPtr to_datum(const Input& input, PyObject* value, Keep& keep);
// Arrays own the datum's memory; no copy but for packed types and strings.
nanobind::object to_python(DatumPtr datum);
// A datum over the memory of an array (anything array-like), which it keeps alive; a copy where that is not dense, packed, or text.
DatumPtr held_datum(nanobind::object value);
// The element type that numpy's dtype, or the number that ONNX gives it, names. Throws Failure.
std::int32_t dtype_number(const nanobind::object& type);
// "tensor(float)" of any value, for messages.
std::string type_text(PyObject* value);

}  // namespace tenon::python
