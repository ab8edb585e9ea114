#include "plugins/opencl/ops/movement_space.h"

#include <algorithm>
#include <cmath>

#include "plugins/opencl/codegen/expression_text.h"

namespace tenon::opencl {
namespace {

std::string number(std::size_t n) { return std::to_string(n); }

Expression cast_expression(std::int32_t from, std::int32_t dtype) {
  Expression e;
  e.outputs = {e.cast(dtype, e.load(0, from))};
  return e;
}

}  // namespace

std::string assignment(const Expression& e, int width, const std::string& to, const std::vector<std::string>& loads) {
  const ExpressionText text = write_expression(e, width, "e", [&](const Expression::Node& n) { return loads[n.slot]; });
  return "{ " + text.statements + to + " = " + text.names[e.outputs[0]] + "; }";
}

std::string apply_text(const std::string& fn, std::int32_t dtype, int width, const std::string& to, const std::string& a, const std::string& b) {
  Expression e;
  const std::uint32_t x = e.load(0, dtype), y = e.load(1, dtype);
  e.outputs = {e.call(fn, dtype, {x, y})};
  return assignment(e, width, to, {a, b});
}

std::string cast_text(std::int32_t from, std::int32_t dtype, int width, const std::string& to, const std::string& a) {
  return assignment(cast_expression(from, dtype), width, to, {a});
}

std::vector<std::string> cast_helpers(std::int32_t from, std::int32_t dtype, const std::vector<int>& widths) {
  return expression_helpers(cast_expression(from, dtype), widths);
}

SpaceKernel::SpaceKernel(PlanBuilder& builder, const char* name, Dims space) : builder_(builder), name_(name), space_(std::move(space)) {
  if (space_.empty()) space_.push_back(1);
}

const SpaceKernel::Operand& SpaceKernel::operand(const std::string& name) const {
  for (const Operand& o : operands_)
    if (o.name == name) return o;
  throw Failure{TENON_INTERNAL, std::string(name_) + ": no operand " + name};
}

void SpaceKernel::scalar(const std::string& type, const std::string& name, Arg value) {
  scalars_.push_back(type + " " + name);
  values_.push_back(std::move(value));
}

std::string SpaceKernel::index(const std::string& name, const std::vector<std::string>& coordinates) const {
  std::string out;
  for (std::size_t a = 0; a < coordinates.size(); ++a) out += (a ? " + " : "") + ("(long)(" + coordinates[a] + ") * " + name + "_s" + number(a));
  return out.empty() ? "0" : "(" + out + ")";
}

std::string SpaceKernel::here(const std::string& name) const {
  std::vector<std::string> c;
  for (std::size_t a = 0; a < operand(name).tensor.dims.size(); ++a) c.push_back(at(a));
  return index(name, c);
}

std::string SpaceKernel::load(const std::string& name, const std::string& index, int width) const {
  return load_text(operand(name).tensor.dtype, width, name, index);
}

std::string SpaceKernel::store(const std::string& name, const std::string& index, const std::string& value, int width) const {
  return store_text(operand(name).tensor.dtype, width, name, index, value) + " ";
}

std::string SpaceKernel::compute(const std::string& name, int width) const { return compute_name(compute_of(operand(name).tensor.dtype), width); }

std::string SpaceKernel::parameters() const {
  std::string p;
  for (const Operand& o : operands_) {
    p += std::string(o.written ? "__global char* " : "__global const char* ") + o.name + "_base, ulong " + o.name + "_at, ";
    for (std::size_t a = 0; a < o.tensor.dims.size(); ++a) p += "int " + o.name + "_s" + number(a) + ", ";
  }
  for (const std::string& s : scalars_) p += s + ", ";
  p += "int inner, int chunk, int rows, int rows_each";
  for (std::size_t a = 1; a + 1 < space_.size(); ++a) p += ", int n" + number(a);
  return p;
}

std::string SpaceKernel::body() const {
  std::string p;
  for (const Operand& o : operands_) {
    const std::string type = std::string("__global ") + (o.written ? "" : "const ") + storage_name(o.tensor.dtype) + "*";
    p += "  " + type + " const " + o.name + " = (" + type + ")(" + o.name + "_base + " + o.name + "_at);\n";
  }
  p += "  const int span_begin = (int)get_global_id(0) * chunk, span_end = min(span_begin + chunk, inner);\n"
       "  const int row_begin = (int)get_global_id(1) * rows_each, row_end = min(row_begin + rows_each, rows);\n"
       "  for (int row = row_begin; row < row_end; ++row) {\n";
  const std::size_t outer = space_.size() - 1;
  if (outer > 1) p += "    int t = row;\n";
  for (std::size_t a = outer; a-- > 1;) p += "    const int c" + number(a) + " = t % n" + number(a) + "; t /= n" + number(a) + ";\n";
  if (outer > 0) p += std::string("    const int c0 = ") + (outer > 1 ? "t" : "row") + ";\n";
  if (!row_.empty()) p += "    " + row_ + "\n";
  const std::string c = at(outer);
  p += "    int " + c + " = span_begin;\n";
  if (width_ > 1)
    p += "    for (; " + c + " + " + std::to_string(width_) + " <= span_end; " + c + " += " + std::to_string(width_) + ") {\n      " + each_(width_) +
         "\n    }\n";
  p += "    for (; " + c + " < span_end; ++" + c + ") {\n      " + each_(1) + "\n    }\n  }\n";
  return p;
}

void SpaceKernel::launch() {
  std::int64_t rows = 1;
  for (std::size_t a = 0; a + 1 < space_.size(); ++a) rows *= space_[a];
  const std::int64_t inner = space_.back();
  if (rows * inner == 0) return;
  const Profile& profile = builder_.profile();
  std::int64_t chunk = width_, rows_each = 1;
  if (profile.cpu) {
    // Long stretches, but a few for every unit.
    const auto elements = [&](double loads) { return std::max<std::int64_t>(static_cast<std::int64_t>(loads / cost_), 1); };
    const std::int64_t units = 4 * static_cast<std::int64_t>(profile.compute_units), share = (rows * inner + units - 1) / units;
    const std::int64_t wanted = std::clamp<std::int64_t>(share, elements(256), elements(16384));
    chunk = std::min((wanted + width_ - 1) / width_ * width_, inner);
    rows_each = std::max<std::int64_t>(wanted / inner, 1);
  }
  Launch l;
  l.name = name_;
  l.kernel.helpers = helpers_;
  l.kernel.body = "__kernel __attribute__((reqd_work_group_size(" + std::to_string(profile.group) + ", 1, 1))) void KERNEL_NAME(" + parameters() +
                  ") {\n" + body() + "}\n";
  for (const Operand& o : operands_) {
    l.args.push_back(o.written ? Arg::out(o.tensor) : Arg::in(o.tensor));
    for (std::int64_t s : o.tensor.strides) l.args.push_back(Arg::i32(s));
  }
  l.args.insert(l.args.end(), values_.begin(), values_.end());
  for (std::int64_t v : {inner, chunk, rows, rows_each}) l.args.push_back(Arg::i32(v));
  for (std::size_t a = 1; a + 1 < space_.size(); ++a) l.args.push_back(Arg::i32(space_[a]));
  const auto up = [](std::int64_t n, std::int64_t to) { return static_cast<std::size_t>((n + to - 1) / to); };
  l.local = {profile.group, 1, 1};
  l.global = {(up(inner, chunk) + profile.group - 1) / profile.group * profile.group, up(rows, rows_each), 1};
  l.flops = static_cast<double>(rows * inner) * cost_;
  builder_.launch(std::move(l));
}

}  // namespace tenon::opencl
