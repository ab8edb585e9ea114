// Epilogue: elementwise work on a producer's tile, linked into the producer's kernel as text.
//
// The producer's result is seen as [batch, rows, cols], cols innermost (a product: batch, M, N; a convolution in channels-last layout:
// image, pixel, channel). The producer never stores its result: the epilogue does, in whatever type and after whatever follows.
// Made while a plan is made, for one unit; used at once.
#pragma once

#include <string>
#include <vector>

namespace tenon::opencl {

class Epilogue {
 public:
  virtual ~Epilogue() = default;
  // Kernel parameters, each preceded by ", ": outputs, operands, their strides. They stand at the end of the producer's own list.
  virtual std::string parameters() const = 0;
  // Statements that take the variable acc, a vector of the accumulator's compute type (float, int, double...) and width elements (1: a
  // scalar), for the elements [b, r, c .. c + width) and store the outputs. b, r, c: expressions of an integer type. May be written
  // any number of times, each in a scope of its own.
  virtual std::string statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const = 0;
  // Texts that must stand before the kernel, for every width that the kernel uses.
  virtual std::vector<std::string> helpers(const std::vector<int>& widths) const = 0;
};

}  // namespace tenon::opencl
