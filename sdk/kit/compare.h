// compare: a value beside the one that is expected, by the rules of the standard's runner.
//
// Kind, element type, shape, strings and integers must be the same; floats may be off by atol + rtol * |expected|; NaN is NaN;
// sequences, maps and optionals are compared item by item. Pure; any thread.
#pragma once

#include <string>

#include <tenon/tenon.hpp>

namespace tenon::kit {

struct Tolerances {
  double rtol = 1e-3, atol = 1e-7;
};

// "" if they agree, else where and how they do not.
std::string difference(const Value& got, const Value& expected, const Tolerances& tolerances);

}  // namespace tenon::kit
