// SpaceKernel: a kernel over a space of indices, written from the text of one element's work, and its launch.
//
// Most operators that move or fold elements differ in a line or two: which element is read, what becomes of it. An op names its tensors,
// gives those lines, and gets a kernel that serves all sizes. Lives while one launch is made; one thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "plugins/opencl/op.h"

namespace tenon::opencl {

class SpaceKernel {
 public:
  // Axes of the space from the outermost in; the last one is walked within a row. Rank 0 is one element.
  SpaceKernel(PlanBuilder& builder, const char* name, Dims space);

  // A tensor as pointer `name` of its storage type, `name_s0`... being the strides of its own axes (elements).
  void in(const std::string& name, const Tensor& t) { operands_.push_back({name, t, false}); }
  void out(const std::string& name, const Tensor& t) { operands_.push_back({name, t, true}); }
  // A scalar: type is "int", "long", "float"...
  void scalar(const std::string& type, const std::string& name, Arg value);
  void integer(const std::string& name, std::int64_t value) { scalar("int", name, Arg::i32(value)); }
  void helper(std::string text) { helpers_.push_back(std::move(text)); }
  void helpers(std::vector<std::string> texts) { helpers_.insert(helpers_.end(), texts.begin(), texts.end()); }

  // The name of a coordinate: "c0"...
  std::string at(std::size_t axis) const { return "c" + std::to_string(axis); }
  // The element that a tensor has at these coordinates (texts of type int or long), as an index of type long.
  std::string index(const std::string& name, const std::vector<std::string>& coordinates) const;
  // ... at the first coordinates of the space: REQUIRES a tensor of the space's rank.
  std::string here(const std::string& name) const;
  std::string load(const std::string& name, const std::string& index, int width = 1) const;
  std::string store(const std::string& name, const std::string& index, const std::string& value, int width = 1) const;
  std::string compute(const std::string& name, int width = 1) const;

  // Statements once a row: the last coordinate is not there yet.
  void row(std::string text) { row_ = std::move(text); }
  // Statements for width elements from the last coordinate on.
  void each(std::function<std::string(int width)> text) { each_ = std::move(text); }
  void each(std::string text) {
    each_ = [text = std::move(text)](int) { return text; };
  }
  // Elements at once; 1 unless set.
  void width(int width) { width_ = width; }
  // What one element costs, in loads.
  void cost(double cost) { cost_ = cost < 1 ? 1 : cost; }
  void launch();

 private:
  struct Operand {
    std::string name;
    Tensor tensor;
    bool written;
  };
  const Operand& operand(const std::string& name) const;
  std::string parameters() const;
  std::string body() const;

  PlanBuilder& builder_;
  const char* name_;
  Dims space_;
  std::vector<Operand> operands_;
  std::vector<std::string> scalars_, helpers_;  // scalars_: "int k"
  std::vector<Arg> values_;
  std::string row_;
  std::function<std::string(int)> each_;
  int width_ = 1;
  double cost_ = 1;
};

// Statements that assign an expression to the variable `to`, its loads (by slot) being these texts.
std::string assignment(const Expression& e, int width, const std::string& to, const std::vector<std::string>& loads);
// Statements that compute fn(a, b) of an ONNX type into the variable `to`; a and b are texts of its compute type.
std::string apply_text(const std::string& fn, std::int32_t dtype, int width, const std::string& to, const std::string& a, const std::string& b);
// Statements that convert a from one type to another, into `to`.
std::string cast_text(std::int32_t from, std::int32_t dtype, int width, const std::string& to, const std::string& a);
// What those statements call.
std::vector<std::string> cast_helpers(std::int32_t from, std::int32_t dtype, const std::vector<int>& widths);

}  // namespace tenon::opencl
