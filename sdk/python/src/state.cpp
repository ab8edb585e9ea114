#include "state.h"

#include <nanobind/stl/string.h>

#include "value.h"

namespace nb = nanobind;

namespace tenon::python {

void add_states(nb::module_& m) {
  nb::class_<State>(m, "State")
      .def("rows", [](const State& s) { return tenon_state_rows(s.raw()); })
      .def("capacity", [](const State& s) { return tenon_state_capacity(s.raw()); })
      .def("truncate", [](State& s, std::int64_t rows) { check(tenon_state_truncate(s.raw(), rows)); })
      .def("value", [](const State& s, const std::string& name) { return Value{DatumPtr(out<tenon_datum>(&tenon_state_value, s.raw(), name.c_str()))}; })
      .def("copy", [](const State& s) { return new State(out<tenon_state>(&tenon_state_copy, s.raw()), true); });
}

}  // namespace tenon::python
