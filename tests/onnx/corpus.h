// corpus: the test cases that tests/onnx/materialize.py wrote into a folder.
// Plain data; any thread may read.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "sdk/kit/compare.h"

namespace tenon::corpus {

using kit::Tolerances;

struct DataSet {
  std::vector<std::filesystem::path> inputs, outputs;  // input_0.pb and on: inputs without an initializer, in the model's order
};

struct Case {
  std::string name;  // its folder in the corpus, "simple/test_x"; without "node/" for those of single operators
  std::filesystem::path model;
  std::vector<DataSet> data_sets;
  Tolerances tolerances;
};

struct Corpus {
  std::string onnx_version;
  std::vector<Case> cases;  // by folder
  std::size_t minimum = 0;  // fewest that must pass
};

// Errors: throws std::runtime_error for a folder without a manifest, with fewer cases than it promises or with a case without data.
Corpus read_corpus(const std::filesystem::path& folder);

}  // namespace tenon::corpus
