#include "value.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "failure.h"

namespace nb = nanobind;

namespace tenon::python {
namespace {

DatumPtr copy_of(const DatumPtr& datum) { return DatumPtr(out<tenon_datum>(&tenon_datum_copy, datum.get())); }

Value value_over(std::uintptr_t pointer, nb::object type, const std::vector<std::int64_t>& dims) {
  const std::int32_t dtype = dtype_number(type);
  const std::int32_t bits = tenon_dtype_bits(dtype);
  std::size_t count = 1;
  for (std::int64_t d : dims) count *= static_cast<std::size_t>(d < 0 ? 0 : d);
  return {DatumPtr(out<tenon_datum>(&tenon_datum_borrow_tensor, dtype, dims.data(), dims.size(), reinterpret_cast<void*>(pointer),
                                    (count * static_cast<std::size_t>(bits) + 7) / 8, static_cast<void (*)(void*)>(nullptr),
                                    static_cast<void*>(nullptr)))};
}

nb::list shape_of(const Value& v) {
  nb::list all;
  const std::int64_t* dims = tenon_datum_dims(v.datum.get());
  for (std::size_t d = 0; d < tenon_datum_rank(v.datum.get()); ++d) all.append(nb::int_(static_cast<long long>(dims[d])));
  return all;
}

std::string type_of(const Value& v) {
  const std::string element = std::string("tensor(") + tenon_dtype_onnx_name(tenon_datum_dtype(v.datum.get())) + ")";
  return tenon_datum_kind(v.datum.get()) == TENON_KIND_SEQUENCE ? "seq(" + element + ")" : element;
}

}  // namespace

std::size_t Binding::place(std::vector<std::string>& names, std::string name) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return i;
  names.push_back(std::move(name));
  return names.size() - 1;
}

void Binding::bind_input(std::string name, const Value& value) {
  DatumPtr shared = copy_of(value.datum);
  const std::size_t i = place(input_names_, std::move(name));
  if (i == inputs_.size()) inputs_.emplace_back();
  inputs_[i] = std::move(shared);
}

void Binding::bind_output(std::string name, const Value* value) {
  DatumPtr shared = value ? copy_of(value->datum) : nullptr;
  const std::size_t i = place(output_names_, std::move(name));
  if (i == given_.size()) given_.emplace_back();
  given_[i] = std::move(shared);
}

tenon_status* Binding::run(const tenon_session* session, const tenon_run_options& options) {
  raw_inputs_.clear(), raw_outputs_.clear(), feeds_.clear(), slots_.clear();
  for (const std::string& name : input_names_) raw_inputs_.push_back(name.c_str());
  for (const DatumPtr& d : inputs_) feeds_.push_back(d.get());
  for (const std::string& name : output_names_) raw_outputs_.push_back(name.c_str());
  for (const DatumPtr& d : given_) slots_.push_back(d.get());
  tenon_status* status = tenon_session_run(session, raw_inputs_.data(), feeds_.data(), feeds_.size(), raw_outputs_.data(), slots_.size(), &options,
                                           slots_.data());
  results_.resize(given_.size());
  for (std::size_t i = 0; i < given_.size(); ++i) results_[i].reset(given_[i] || status ? nullptr : slots_[i]);
  return status;
}

nb::list Binding::outputs() const {
  nb::list all;
  for (std::size_t i = 0; i < given_.size(); ++i) {
    const DatumPtr& made = given_[i] ? given_[i] : i < results_.size() ? results_[i] : given_[i];
    if (!made) throw Failure{TENON_FAILED_PRECONDITION, "output \"" + output_names_[i] + "\" has not been made: run_with_iobinding comes first", {}};
    all.append(nb::cast(Value{copy_of(made)}));
  }
  return all;
}

void add_values(nb::module_& m) {
  nb::class_<Value>(m, "Value")
      .def_static("from_array", [](nb::object array) { return Value{held_datum(array)}; })
      .def_static("empty", [](nb::object type, const std::vector<std::int64_t>& dims) {
        return Value{DatumPtr(out<tenon_datum>(&tenon_datum_create_tensor, dtype_number(type), dims.data(), dims.size()))};
      })
      .def_static("over", &value_over, nb::arg("pointer"), nb::arg("type"), nb::arg("dims"))
      .def("array", [](const Value& v) { return to_python(copy_of(v.datum)); })
      .def("shape", &shape_of)
      .def("type", &type_of)
      .def("kind", [](const Value& v) { return tenon_datum_kind(v.datum.get()); })
      .def("dtype", [](const Value& v) { return tenon_datum_dtype(v.datum.get()); })
      .def("bytes", [](const Value& v) { return tenon_datum_bytes(v.datum.get()); })
      .def("pointer", [](const Value& v) { return reinterpret_cast<std::uintptr_t>(tenon_datum_data(v.datum.get())); });

  nb::class_<Binding>(m, "Binding")
      .def(nb::init<>())
      .def("bind_input", &Binding::bind_input)
      .def("bind_output", [](Binding& b, std::string name, const Value* value) { b.bind_output(std::move(name), value); }, nb::arg("name"),
           nb::arg("value").none())
      .def("clear_inputs", &Binding::clear_inputs)
      .def("clear_outputs", &Binding::clear_outputs)
      .def("outputs", &Binding::outputs)
      .def("output_names", &Binding::output_names);
}

}  // namespace tenon::python
