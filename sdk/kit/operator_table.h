// The operators that the kit tries: one row is one node, its operands drawn at random. Data; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sdk/kit/model.h"
#include "sdk/kit/values.h"

namespace tenon::kit {

struct Operand {
  std::int32_t dtype = 0;      // 0: the type that the case sweeps
  Dims dims;                   // below zero: a size drawn at random, the same for the same number in one row
  double lo = -4, hi = 4;
  std::vector<double> values;  // these instead of random ones
  bool constant = false;       // an initializer
  bool omitted = false;
  bool numbers = false;        // strings are numbers written out
};

struct Row {
  std::string op;
  std::vector<Operand> operands;
  std::vector<Attribute> attributes;
  int outputs = 1;
  double tolerance = 1;    // times tolerance_of the output's type
  double whole_steps = 0;  // how far integers may be off: quantized results that lie between two steps
  std::string domain;
  bool moves = false;      // elements are moved and none is computed: they arrive as they were
  bool specials = false;   // NaN, infinities, -0 and the largest numbers mean something here
};

const std::vector<Row>& operator_rows();

}  // namespace tenon::kit
