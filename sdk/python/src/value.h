// Value and Binding: what tenonrt.OrtValue and tenonrt.IOBinding stand on.
//
// A Value is a datum that Python holds: over an array's memory, over memory of its own, or a result of a run. A Binding holds the
// inputs and outputs of a session by name; a run with it converts and copies nothing. Threads: everything needs the GIL but run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert.h"

namespace tenon::python {

struct Value {
  DatumPtr datum;
};

class Binding {
 public:
  Binding() = default;
  Binding(const Binding&) = delete;
  void bind_input(std::string name, const Value& value);
  // A copy of a Value shares its elements, so a result is written where the Value's elements are.
  void bind_output(std::string name, const Value* value);
  void clear_inputs() { input_names_.clear(), inputs_.clear(); }
  void clear_outputs() { output_names_.clear(), given_.clear(), results_.clear(); }

  // Without the GIL.
  tenon_status* run(const tenon_session* session, const tenon_run_options& options);
  // The results of the last run, in the order in which outputs were bound.
  nanobind::list outputs() const;
  const std::vector<std::string>& output_names() const { return output_names_; }

 private:
  static std::size_t place(std::vector<std::string>& names, std::string name);
  std::vector<std::string> input_names_, output_names_;
  std::vector<DatumPtr> inputs_, given_, results_;  // given: null where the run makes the memory
  std::vector<const char*> raw_inputs_, raw_outputs_;
  std::vector<const tenon_datum*> feeds_;
  std::vector<tenon_datum*> slots_;
};

// Adds both classes to the module.
void add_values(nanobind::module_& m);

}  // namespace tenon::python
