#include "convert.h"

#include <cstring>
#include <utility>

#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <numpy/arrayobject.h>

#include "failure.h"

namespace nb = nanobind;

namespace tenon::python {
namespace {

[[noreturn]] void raise() { throw nb::python_error(); }

nb::object steal(PyObject* object) {
  if (!object) raise();
  return nb::steal(object);
}

void need_numpy() {
  static bool ready = false;
  if (ready) return;
  if (_import_array() < 0) raise();
  ready = true;
}

PyArrayObject* array(const nb::object& object) { return reinterpret_cast<PyArrayObject*>(object.ptr()); }

// ---- element types ---------------------------------------------------------------------------------------------------

struct NumpyType {
  int number;
  std::int32_t dtype;
};
constexpr NumpyType numpy_types[] = {
    {NPY_FLOAT, TENON_DTYPE_FLOAT}, {NPY_DOUBLE, TENON_DTYPE_DOUBLE}, {NPY_HALF, TENON_DTYPE_FLOAT16},
    {NPY_BOOL, TENON_DTYPE_BOOL}, {NPY_BYTE, TENON_DTYPE_INT8}, {NPY_UBYTE, TENON_DTYPE_UINT8},
    {NPY_SHORT, TENON_DTYPE_INT16}, {NPY_USHORT, TENON_DTYPE_UINT16}, {NPY_INT, TENON_DTYPE_INT32},
    {NPY_UINT, TENON_DTYPE_UINT32}, {NPY_LONG, TENON_DTYPE_INT64}, {NPY_ULONG, TENON_DTYPE_UINT64},
    {NPY_LONGLONG, TENON_DTYPE_INT64}, {NPY_ULONGLONG, TENON_DTYPE_UINT64}, {NPY_CFLOAT, TENON_DTYPE_COMPLEX64},
    {NPY_CDOUBLE, TENON_DTYPE_COMPLEX128}, {NPY_OBJECT, TENON_DTYPE_STRING}, {NPY_UNICODE, TENON_DTYPE_STRING},
    {NPY_STRING, TENON_DTYPE_STRING}, {NPY_VOID, TENON_DTYPE_STRING},
};

// 0 for types without an ONNX counterpart. Types of ml_dtypes go by their names, which are ours.
std::int32_t dtype_of(PyArray_Descr* descr) {
  for (const NumpyType& t : numpy_types)
    if (t.number == descr->type_num) return t.dtype;
  if (descr->type_num < NPY_USERDEF) return TENON_DTYPE_UNDEFINED;
  static std::vector<NumpyType> seen;
  for (const NumpyType& t : seen)
    if (t.number == descr->type_num) return t.dtype;
  const nb::object name = steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(descr->typeobj), "__name__"));
  const char* text = PyUnicode_AsUTF8(name.ptr());
  if (!text) raise();
  seen.push_back({descr->type_num, tenon_dtype_from_name(text)});
  return seen.back().dtype;
}

// numpy's type for an element type; for types that numpy lacks that of ml_dtypes, else the unsigned integer of its size.
PyArray_Descr* descr_of(std::int32_t dtype) {
  for (const NumpyType& t : numpy_types)
    if (t.dtype == dtype) return PyArray_DescrFromType(t.number);
  static std::vector<std::pair<std::int32_t, PyArray_Descr*>> seen;
  for (const auto& [known, descr] : seen)
    if (known == dtype) {
      Py_INCREF(descr);
      return descr;
    }
  PyArray_Descr* descr = nullptr;
  if (PyObject* module = PyImport_ImportModule("ml_dtypes")) {
    if (PyObject* type = PyObject_GetAttrString(module, tenon_dtype_name(dtype))) {
      PyArray_DescrConverter(type, &descr);
      Py_DECREF(type);
    }
    Py_DECREF(module);
  }
  PyErr_Clear();
  if (!descr) descr = PyArray_DescrFromType(tenon_dtype_bits(dtype) > 8 ? NPY_USHORT : NPY_UBYTE);
  if (!descr) raise();
  seen.push_back({dtype, descr});
  Py_INCREF(descr);
  return descr;
}

// True where an array of type `have` holds the bits of elements of type `want`.
bool bits_of(std::int32_t have, std::int32_t want) {
  const bool no_numpy_type = want >= TENON_DTYPE_BFLOAT16;
  if (want == TENON_DTYPE_FLOAT16 || want == TENON_DTYPE_BFLOAT16) return have == TENON_DTYPE_UINT16;
  if (want == TENON_DTYPE_INT4 || want == TENON_DTYPE_INT2) return have == TENON_DTYPE_INT8 || have == TENON_DTYPE_UINT8;
  return no_numpy_type && have == TENON_DTYPE_UINT8;
}

std::string tensor_text(std::int32_t dtype, PyArray_Descr* descr) {
  if (dtype) return std::string("tensor(") + tenon_dtype_onnx_name(dtype) + ")";
  const nb::object text = steal(PyObject_Str(reinterpret_cast<PyObject*>(descr)));
  const char* s = PyUnicode_AsUTF8(text.ptr());
  return s ? s : "?";
}

std::string unexpected(const std::string& actual, const std::string& expected, const char* input) {
  return "Unexpected input data type. Actual: (" + actual + ") , expected: " + expected + "; input \"" + input + "\"";
}

// ---- strings -----------------------------------------------------------------------------------------------------------

// Text is UTF-8; bytes that are not come back as lone surrogates, and go in again unchanged.
nb::object decoded(tenon_str s) {
  return steal(PyUnicode_DecodeUTF8(s.data, static_cast<Py_ssize_t>(s.size), "surrogateescape"));
}

void set_string(tenon_datum* datum, std::size_t index, PyObject* element, const char* input) {
  nb::object bytes;
  if (PyUnicode_Check(element)) bytes = steal(PyUnicode_AsEncodedString(element, "utf-8", "surrogateescape"));
  else if (PyBytes_Check(element)) bytes = nb::borrow(element);
  else
    throw Failure{TENON_INVALID_ARGUMENT,
                  std::string("input \"") + input + "\": element " + std::to_string(index) + " is " + Py_TYPE(element)->tp_name +
                      ", str or bytes are expected",
                  {}};
  check(tenon_datum_set_string(datum, index, {PyBytes_AS_STRING(bytes.ptr()), static_cast<std::uint64_t>(PyBytes_GET_SIZE(bytes.ptr()))}));
}

DatumPtr strings_from(PyArrayObject* from, const char* input) {
  const std::size_t rank = static_cast<std::size_t>(PyArray_NDIM(from));
  const std::vector<std::int64_t> dims(PyArray_DIMS(from), PyArray_DIMS(from) + rank);
  DatumPtr datum(out<tenon_datum>(&tenon_datum_create_tensor, std::int32_t{TENON_DTYPE_STRING}, dims.data(), rank));
  // The flat iterator gives elements as Python sees them: str, bytes without trailing zeros, or the objects.
  const nb::object iterator = steal(PyArray_IterNew(reinterpret_cast<PyObject*>(from)));
  auto* at = reinterpret_cast<PyArrayIterObject*>(iterator.ptr());
  const bool raw = PyArray_TYPE(from) == NPY_VOID;
  for (std::size_t i = 0; PyArray_ITER_NOTDONE(at); ++i) {
    if (raw) {
      const tenon_str bytes{static_cast<const char*>(PyArray_ITER_DATA(at)), static_cast<std::uint64_t>(PyArray_ITEMSIZE(from))};
      check(tenon_datum_set_string(datum.get(), i, bytes));
    } else {
      const nb::object element = steal(PyArray_GETITEM(from, static_cast<const char*>(PyArray_ITER_DATA(at))));
      set_string(datum.get(), i, element.ptr(), input);
    }
    PyArray_ITER_NEXT(at);
  }
  return datum;
}

// ---- tensors -------------------------------------------------------------------------------------------------------------

// Sub-byte types: one element a byte in numpy, packed from the low bits up in tenon.
void pack(const std::uint8_t* from, std::size_t count, int bits, std::uint8_t* to) {
  const std::size_t per_byte = 8u / static_cast<unsigned>(bits);
  const unsigned mask = (1u << bits) - 1u;
  std::memset(to, 0, (count + per_byte - 1) / per_byte);
  for (std::size_t i = 0; i < count; ++i)
    to[i / per_byte] = static_cast<std::uint8_t>(to[i / per_byte] | ((from[i] & mask) << (i % per_byte * static_cast<unsigned>(bits))));
}
void unpack(const std::uint8_t* from, std::size_t count, int bits, bool with_sign, std::uint8_t* to) {
  const std::size_t per_byte = 8u / static_cast<unsigned>(bits);
  const unsigned mask = (1u << bits) - 1u, sign = 1u << (bits - 1);
  for (std::size_t i = 0; i < count; ++i) {
    unsigned v = (from[i / per_byte] >> (i % per_byte * static_cast<unsigned>(bits))) & mask;
    if (with_sign && (v & sign)) v |= 0xffu & ~mask;
    to[i] = static_cast<std::uint8_t>(v);
  }
}

// An array of anything array-like. Lists and Python numbers take the input's element type where that loses nothing but
// precision of floats; arrays keep theirs.
nb::object as_array(PyObject* value, std::int32_t dtype) {
  if (PyArray_Check(value)) return nb::borrow(value);
  const bool number = PyBool_Check(value) || PyLong_CheckExact(value) || PyFloat_CheckExact(value);
  const bool plain = number || PyList_Check(value) || PyTuple_Check(value);
  if (dtype == TENON_DTYPE_STRING) {
    if (PyUnicode_Check(value) || PyBytes_Check(value) || plain)
      return steal(PyArray_FromAny(value, PyArray_DescrFromType(NPY_OBJECT), 0, 0, 0, nullptr));
    return steal(PyArray_FromAny(value, nullptr, 0, 0, 0, nullptr));
  }
  nb::object made = steal(PyArray_FromAny(value, nullptr, 0, 0, 0, nullptr));
  if (!plain) return made;
  PyArray_Descr* wanted = descr_of(dtype);
  const bool integers = PyArray_ISINTEGER(array(made)) && PyTypeNum_ISINTEGER(wanted->type_num);
  const bool same_kind = PyArray_CanCastTypeTo(PyArray_DESCR(array(made)), wanted, NPY_SAME_KIND_CASTING);
  if (PyArray_SIZE(array(made)) != 0 && !integers && !same_kind) {
    Py_DECREF(wanted);
    return made;
  }
  nb::object cast = steal(PyArray_FromArray(array(made), wanted, NPY_ARRAY_CARRAY | NPY_ARRAY_FORCECAST));
  if (!integers) return cast;
  const nb::object equal = steal(PyObject_RichCompare(made.ptr(), cast.ptr(), Py_EQ));
  return nb::cast<bool>(nb::bool_(equal.attr("all")())) ? cast : made;
}

DatumPtr tensor_from(const char* input, std::int32_t dtype, const tenon_port* port, PyObject* value, Keep& keep) {
  if (value == Py_None) throw Failure{TENON_INVALID_ARGUMENT, std::string("input \"") + input + "\" is None, a tensor is expected", {}};
  nb::object held;
  PyArrayObject* from = reinterpret_cast<PyArrayObject*>(value);
  if (!PyArray_Check(value)) {
    held = as_array(value, dtype);
    from = array(held);
  }
  PyArray_Descr* descr = PyArray_DESCR(from);
  const std::int32_t have = dtype_of(descr);
  if (have != dtype && !bits_of(have, dtype)) {
    const std::string target = dtype == TENON_DTYPE_STRING ? "object" : tenon_dtype_name(dtype);
    throw Failure{TENON_INVALID_ARGUMENT, unexpected(tensor_text(have, descr), "(" + tensor_text(dtype, nullptr) + ")", input),
                  "types are never converted silently; pass " + std::string(input) + ".astype(\"" + target + "\")"};
  }
  const int rank = PyArray_NDIM(from);
  const npy_intp* dims = PyArray_DIMS(from);
  if (port && port->rank >= 0) {
    if (rank != port->rank)
      throw Failure{TENON_INVALID_ARGUMENT,
                    std::string("Invalid rank for input: ") + input + " Got: " + std::to_string(rank) +
                        " Expected: " + std::to_string(port->rank) + " Please fix either the inputs/outputs or the model.",
                    {}};
    std::string wrong;
    for (int i = 0; i < rank; ++i)
      if (port->dims[i] >= 0 && port->dims[i] != dims[i])
        wrong += "\n index: " + std::to_string(i) + " Got: " + std::to_string(dims[i]) + " Expected: " + std::to_string(port->dims[i]);
    if (!wrong.empty())
      throw Failure{TENON_INVALID_ARGUMENT,
                    std::string("Got invalid dimensions for input: ") + input + " for the following indices" + wrong +
                        "\n Please fix either the inputs/outputs or the model.",
                    {}};
  }
  if (dtype == TENON_DTYPE_STRING) return strings_from(from, input);

  if (!PyArray_ISCARRAY_RO(from)) {
    Py_INCREF(descr);
    PyArray_Descr* native = PyArray_ISNOTSWAPPED(from) ? descr : PyArray_DescrNewByteorder(descr, NPY_NATIVE);
    if (native != descr) Py_DECREF(descr);
    if (!native) raise();
    held = steal(PyArray_FromArray(from, native, NPY_ARRAY_CARRAY_RO));
    from = array(held);
    dims = PyArray_DIMS(from);
  }
  static_assert(sizeof(npy_intp) == sizeof(std::int64_t));
  const auto* shape = reinterpret_cast<const std::int64_t*>(dims);
  if (const int bits = tenon_dtype_bits(dtype); bits < 8) {
    DatumPtr datum(out<tenon_datum>(&tenon_datum_create_tensor, dtype, shape, static_cast<std::size_t>(rank)));
    if (tenon_datum_bytes(datum.get()))
      pack(static_cast<const std::uint8_t*>(PyArray_DATA(from)), static_cast<std::size_t>(PyArray_SIZE(from)), bits,
           static_cast<std::uint8_t*>(tenon_datum_data(datum.get())));
    return datum;
  }
  tenon_datum* made = nullptr;
  check(tenon_datum_borrow_tensor(dtype, shape, static_cast<std::size_t>(rank), PyArray_DATA(from),
                                  static_cast<std::size_t>(PyArray_NBYTES(from)), nullptr, nullptr, &made));
  DatumPtr datum(made);
  // Without the GIL another thread may take the array out of the feed.
  keep.push_back(held.is_valid() ? std::move(held) : nb::borrow(value));
  return datum;
}

// ---- other kinds ---------------------------------------------------------------------------------------------------------

DatumPtr value_from(const char* input, const TypeTree& type, const tenon_port* port, PyObject* value, Keep& keep);

std::vector<const tenon_datum*> raw(const std::vector<DatumPtr>& data) {
  std::vector<const tenon_datum*> out;
  for (const DatumPtr& d : data) out.push_back(d.get());
  return out;
}

[[noreturn]] void wrong_kind(const char* input, const char* expected, PyObject* value) {
  throw Failure{TENON_INVALID_ARGUMENT, unexpected(type_text(value), expected, input), {}};
}

DatumPtr sequence_from(const char* input, const TypeTree& element, PyObject* value, Keep& keep) {
  if (PyUnicode_Check(value) || PyBytes_Check(value) || PyDict_Check(value)) wrong_kind(input, "a list", value);
  PyObject* fast = PySequence_Fast(value, "");
  if (!fast) {
    PyErr_Clear();
    wrong_kind(input, "a list", value);
  }
  const nb::object held = nb::steal(fast);
  std::vector<DatumPtr> items;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast); ++i)
    items.push_back(value_from(input, element, nullptr, PySequence_Fast_GET_ITEM(fast, i), keep));
  const auto list = raw(items);
  return DatumPtr(out<tenon_datum>(&tenon_datum_create_sequence, element.dtype, list.data(), list.size()));
}

DatumPtr map_from(const char* input, const TypeTree& type, PyObject* value, Keep& keep) {
  if (!PyDict_Check(value)) wrong_kind(input, "a dict", value);
  const bool strings = type.dtype == TENON_DTYPE_STRING;
  std::vector<std::int64_t> ints;
  std::vector<nb::object> texts;
  std::vector<tenon_str> names;
  std::vector<DatumPtr> values;
  PyObject *key, *item;
  for (Py_ssize_t at = 0; PyDict_Next(value, &at, &key, &item);) {
    if (strings) {
      if (!PyUnicode_Check(key)) wrong_kind(input, "a dict with str keys", key);
      texts.push_back(steal(PyUnicode_AsEncodedString(key, "utf-8", "surrogateescape")));
      names.push_back({PyBytes_AS_STRING(texts.back().ptr()), static_cast<std::uint64_t>(PyBytes_GET_SIZE(texts.back().ptr()))});
    } else {
      const nb::object index = nb::steal(PyNumber_Index(key));
      if (!index.is_valid()) raise();
      ints.push_back(PyLong_AsLongLong(index.ptr()));
      if (PyErr_Occurred()) raise();
    }
    values.push_back(value_from(input, *type.element, nullptr, item, keep));
  }
  const auto list = raw(values);
  const std::int64_t* int_keys = strings ? nullptr : ints.data();
  const tenon_str* string_keys = strings ? names.data() : nullptr;
  return DatumPtr(out<tenon_datum>(&tenon_datum_create_map, int_keys, string_keys, list.data(), list.size()));
}

DatumPtr value_from(const char* input, const TypeTree& type, const tenon_port* port, PyObject* value, Keep& keep) {
  switch (type.kind) {
    case TENON_KIND_SEQUENCE: return sequence_from(input, *type.element, value, keep);
    case TENON_KIND_MAP: return map_from(input, type, value, keep);
    case TENON_KIND_OPTIONAL: {
      if (value == Py_None) return DatumPtr(out<tenon_datum>(&tenon_datum_create_optional, nullptr));
      const DatumPtr inner = value_from(input, *type.element, nullptr, value, keep);
      return DatumPtr(out<tenon_datum>(&tenon_datum_create_optional, inner.get()));
    }
    default: return tensor_from(input, type.dtype, port, value, keep);
  }
}

void release_capsule(PyObject* capsule) { tenon_datum_release(static_cast<tenon_datum*>(PyCapsule_GetPointer(capsule, nullptr))); }

nb::object string_array(const tenon_datum* datum) {
  const int rank = static_cast<int>(tenon_datum_rank(datum));
  const auto* dims = reinterpret_cast<const npy_intp*>(tenon_datum_dims(datum));
  nb::object made = steal(PyArray_SimpleNew(rank, dims, NPY_OBJECT));
  auto* elements = static_cast<PyObject**>(PyArray_DATA(array(made)));
  for (std::size_t i = 0, n = tenon_datum_count(datum); i < n; ++i) {
    tenon_str s{};
    check(tenon_datum_string(datum, i, &s));
    PyObject* old = elements[i];
    elements[i] = decoded(s).release().ptr();
    Py_XDECREF(old);
  }
  return made;
}

nb::object tensor_array(DatumPtr datum) {
  const tenon_datum* d = datum.get();
  const std::int32_t dtype = tenon_datum_dtype(d);
  if (dtype == TENON_DTYPE_STRING) return string_array(d);
  const int rank = static_cast<int>(tenon_datum_rank(d));
  auto* dims = reinterpret_cast<npy_intp*>(const_cast<std::int64_t*>(tenon_datum_dims(d)));
  if (const int bits = tenon_dtype_bits(dtype); bits < 8) {
    nb::object made = steal(PyArray_NewFromDescr(&PyArray_Type, descr_of(dtype), rank, dims, nullptr, nullptr, 0, nullptr));
    const bool with_sign = dtype == TENON_DTYPE_INT4 || dtype == TENON_DTYPE_INT2;
    unpack(static_cast<const std::uint8_t*>(tenon_datum_data(d)), tenon_datum_count(d), bits, with_sign,
           static_cast<std::uint8_t*>(PyArray_DATA(array(made))));
    return made;
  }
  void* data = tenon_datum_bytes(d) ? tenon_datum_data(d) : nullptr;
  const int flags = data ? NPY_ARRAY_CARRAY : 0;
  nb::object made = steal(PyArray_NewFromDescr(&PyArray_Type, descr_of(dtype), rank, dims, nullptr, data, flags, nullptr));
  if (data) {
    PyObject* owner = PyCapsule_New(datum.get(), nullptr, &release_capsule);
    if (!owner) raise();
    (void)datum.release();
    if (PyArray_SetBaseObject(array(made), owner) < 0) raise();
  }
  return made;
}

// A tensor of rank 0 inside a map is a Python number or str, as everybody expects of a dict.
nb::object plain_value(const tenon_datum* item) {
  DatumPtr copy(out<tenon_datum>(&tenon_datum_copy, item));
  const bool scalar = tenon_datum_kind(item) == TENON_KIND_TENSOR && tenon_datum_rank(item) == 0;
  nb::object value = to_python(std::move(copy));
  return scalar ? steal(PyArray_GETITEM(array(value), static_cast<const char*>(PyArray_DATA(array(value))))) : value;
}

}  // namespace

TypeTree::TypeTree(std::string_view text) {
  const auto inside = [&](std::string_view head) { return text.substr(head.size(), text.size() - head.size() - 1); };
  if (text.starts_with("seq(") || text.starts_with("optional(")) {
    kind = text[0] == 's' ? TENON_KIND_SEQUENCE : TENON_KIND_OPTIONAL;
    element = std::make_unique<TypeTree>(inside(text[0] == 's' ? "seq(" : "optional("));
    dtype = element->dtype;
  } else if (text.starts_with("map(")) {
    kind = TENON_KIND_MAP;
    const std::string_view both = inside("map(");
    const std::size_t comma = both.find(',');
    dtype = tenon_dtype_from_name(std::string(both.substr(0, comma)).c_str());
    element = std::make_unique<TypeTree>(comma == std::string_view::npos ? std::string_view("tensor(float)") : both.substr(comma + 1));
  } else if (text.starts_with("tensor(")) {
    dtype = tenon_dtype_from_name(std::string(inside("tensor(")).c_str());
  } else {
    dtype = tenon_dtype_from_name(std::string(text).c_str());
  }
}

DatumPtr to_datum(const Input& input, PyObject* value, Keep& keep) {
  need_numpy();
  return value_from(input.port.name, input.type, &input.port, value, keep);
}

nb::object to_python(DatumPtr datum) {
  need_numpy();
  const tenon_datum* d = datum.get();
  switch (tenon_datum_kind(d)) {
    case TENON_KIND_TENSOR: return tensor_array(std::move(datum));
    case TENON_KIND_OPTIONAL: {
      const tenon_datum* inner = tenon_datum_item(d, 0);
      return inner ? to_python(DatumPtr(out<tenon_datum>(&tenon_datum_copy, inner))) : nb::none();
    }
    case TENON_KIND_MAP: {
      nb::dict all;
      const bool strings = tenon_datum_key_kind(d) == 2;
      for (std::size_t i = 0, n = tenon_datum_count(d); i < n; ++i) {
        nb::object key;
        if (strings) {
          tenon_str text{};
          check(tenon_datum_string_key(d, i, &text));
          key = decoded(text);
        } else {
          std::int64_t number = 0;
          check(tenon_datum_int_key(d, i, &number));
          key = steal(PyLong_FromLongLong(number));
        }
        if (PyDict_SetItem(all.ptr(), key.ptr(), plain_value(tenon_datum_item(d, i)).ptr()) < 0) raise();
      }
      return all;
    }
    default: {
      nb::list all;
      for (std::size_t i = 0, n = tenon_datum_count(d); i < n; ++i)
        all.append(to_python(DatumPtr(out<tenon_datum>(&tenon_datum_copy, tenon_datum_item(d, i)))));
      return all;
    }
  }
}

DatumPtr held_datum(nb::object value) {
  need_numpy();
  nb::object held = PyArray_Check(value.ptr()) ? value : steal(PyArray_FromAny(value.ptr(), nullptr, 0, 0, 0, nullptr));
  const std::int32_t dtype = dtype_of(PyArray_DESCR(array(held)));
  if (dtype == TENON_DTYPE_UNDEFINED)
    throw Failure{TENON_INVALID_ARGUMENT, "no element type of ONNX is " + tensor_text(0, PyArray_DESCR(array(held))), {}};
  Keep keep;
  DatumPtr borrowed = tensor_from("value", dtype, nullptr, held.ptr(), keep);
  if (keep.empty()) return borrowed;  // a copy
  const auto release = [](void* object) {
    const nb::gil_scoped_acquire gil;
    Py_DECREF(static_cast<PyObject*>(object));
  };
  const tenon_datum* b = borrowed.get();
  PyObject* owner = keep.back().ptr();
  Py_INCREF(owner);
  tenon_datum* made = nullptr;
  tenon_status* status = tenon_datum_borrow_tensor(dtype, tenon_datum_dims(b), tenon_datum_rank(b), PyArray_DATA(reinterpret_cast<PyArrayObject*>(owner)),
                                                   tenon_datum_bytes(b), release, owner, &made);
  if (status) Py_DECREF(owner);
  check(status);
  return DatumPtr(made);
}

std::int32_t dtype_number(const nb::object& type) {
  need_numpy();
  if (PyLong_CheckExact(type.ptr())) {
    const long number = PyLong_AsLong(type.ptr());
    if (number > 0 && number < 1000 && (number == TENON_DTYPE_STRING || tenon_dtype_bits(static_cast<std::int32_t>(number)) > 0)) return static_cast<std::int32_t>(number);
    throw Failure{TENON_INVALID_ARGUMENT, std::to_string(number) + " is no element type of ONNX", {}};
  }
  PyArray_Descr* descr = nullptr;
  if (!PyArray_DescrConverter(type.ptr(), &descr)) raise();
  const nb::object held = nb::steal(reinterpret_cast<PyObject*>(descr));
  if (const std::int32_t dtype = dtype_of(descr)) return dtype;
  throw Failure{TENON_INVALID_ARGUMENT, "no element type of ONNX is " + tensor_text(0, descr), {}};
}

std::string type_text(PyObject* value) {
  need_numpy();
  if (!PyArray_Check(value)) return Py_TYPE(value)->tp_name;
  PyArray_Descr* descr = PyArray_DESCR(reinterpret_cast<PyArrayObject*>(value));
  return tensor_text(dtype_of(descr), descr);
}

}  // namespace tenon::python
