// OnnxCases: single nodes with inputs and expected outputs, as the ONNX standard gives them.
//
// From the archive that is installed beside the kit (pack_onnx_cases.py), or from a folder of cases in the layout of ONNX's
// backend tests: <case>/model.onnx, <case>/test_data_set_<k>/{input,output}_<i>.pb. Immutable; any thread, and any child process.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sdk/kit/case.h"
#include "sdk/kit/compare.h"

namespace tenon::kit {

struct OnnxCase {
  // inputs: those without an initializer, in the model's order. All are names for read().
  struct Data {
    std::vector<std::string> inputs, outputs;
  };
  std::string name, model;
  std::vector<Data> sets;
  Tolerances tolerances;
  bool random = false;  // its results are of chance: only types and shapes are expected
};

class OnnxCases {
 public:
  // path: a folder or an archive. Errors: std::runtime_error that says what is wrong with it.
  explicit OnnxCases(std::string path);

  const std::string& path() const { return path_; }
  const std::string& version() const { return version_; }  // of onnx; "" for a folder
  const std::vector<OnnxCase>& cases() const { return cases_; }
  // The contents of a file of a case. Errors: std::runtime_error.
  std::string read(const std::string& name) const;

 private:
  void read_archive();
  void read_folder();
  std::string read_entry(const std::string& name) const;

  std::string path_, version_;
  bool archive_ = true;
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> places_;  // of an archive's entries, in its directory
  std::vector<OnnxCase> cases_;
};

// One case of the suite operators for each of them, "onnx/<name>".
void add_onnx(std::vector<Case>& cases, const std::string& path);

}  // namespace tenon::kit
