// SmallModel: an ONNX model of one node, written without a library for it. For smoke tests.
// A value; threads: like any value.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <tenon/tenon.hpp>

namespace tenon::cli {

struct SmallInput {
  Dims dims;
  bool constant = false;  // an initializer instead of an input
};

struct SmallModel {
  std::string op;
  std::vector<SmallInput> inputs;  // all of dtype
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> attributes;  // of type INTS
  std::int32_t dtype = TENON_DTYPE_FLOAT;

  // The serialized model; inputs are x0, x1, ..., the output is y.
  std::string bytes() const;
  // Numbers between -1 and 1 for the inputs, the same every time; whole ones between -4 and 4 for integers.
  std::vector<Feed> feeds() const;
};

}  // namespace tenon::cli
