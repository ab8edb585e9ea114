#include "plugins/opencl/planner.h"

#include <algorithm>

#include "plugins/opencl/ops/movement_copy.h"

namespace tenon::opencl {

Planner::Planner(const Program& program, const tenon_plan_args& args, int candidate)
    : program_(program), args_(args), candidate_(candidate), tensors_(program.values.size()), made_(program.values.size()) {
  for (std::uint32_t o = 0; o < program.input_count + program.output_count; ++o) buffers.push_back({o, no_value, no_value, 0});
  for (std::uint32_t v = 0; v < program.values.size(); ++v) tensors_[v] = start(v);
}

// A value before anything has run: dims, and a buffer where it has one.
Tensor Planner::start(std::uint32_t v) {
  const Value& value = program_.values[v];
  if (value.graph_value >= args_.values.count) throw Failure{TENON_INTERNAL, "a value without sizes"};
  const auto& p = element<tenon_plan_value>(args_.values, value.graph_value);
  Tensor t;
  t.dtype = value.dtype;
  if (value.constant != no_value) {
    t.dims = program_.constants[value.constant]->dims;
    t.known = program_.known(value.constant, args_.load);
    t.buffer = static_cast<std::uint32_t>(buffers.size());
    buffers.push_back({no_value, value.constant, no_value, 0});
  } else {
    if (p.rank > 0) t.dims.assign(p.dims, p.dims + p.rank);
    t.known = p.known;
    if (value.operand != no_value) t.buffer = value.operand;
  }
  for (std::int64_t d : t.dims)
    if (d < 0) throw Failure{TENON_UNSUPPORTED_SHAPE, "a size is known only while the model runs"};
  t.strides = strides_of(t.dims, Layout::dense);
  return t;
}

void Planner::units() {
  for (const Unit& unit : program_.units) {
    unit_ = &unit;
    leaving_.clear();
    try {
      unit.op->plan(*this);
      for (auto& [from, to] : leaving_) copy(from, to);
    } catch (const Failure& f) {
      throw Failure{f.code, unit.label + ": " + f.text};
    }
    const auto& outputs = unit.outputs;
    for (std::uint32_t v : outputs)
      if (v != no_value && !made_[v]) throw Failure{TENON_INTERNAL, unit.label + ": its plan left an output unmade"};
    close_piece();
  }
}

// Ends the launches that belong to the last question.
void Planner::close_piece() {
  if (!asked.empty() && asked.back().last == open_piece) asked.back().last = steps.size();
}

const Tensor& Planner::in(std::size_t i) const {
  if (i >= unit_->inputs.size() || unit_->inputs[i] == no_value) return omitted_;
  return tensors_[unit_->inputs[i]];
}
const Tensor& Planner::out_shape(std::size_t i) const {
  if (i == 0 && unit_->raw != no_value) return tensors_[unit_->raw];
  if (i >= unit_->outputs.size() || unit_->outputs[i] == no_value) return omitted_;
  return tensors_[unit_->outputs[i]];
}

Tensor Planner::laid_out(const Tensor& t, Layout layout) {
  if (is_laid_out(t, layout)) return t;
  for (const auto& [from, to] : copies_)
    if (from.buffer == t.buffer && from.offset == t.offset && from.dims == t.dims && from.strides == t.strides && from.dtype == t.dtype && is_laid_out(to, layout)) return to;
  Tensor to = temp(t.dtype, t.dims, layout);
  copy(t, to);
  to.known = t.known;
  copies_.emplace_back(t, to);
  return to;
}

Tensor Planner::make_out(std::size_t i, Layout layout) {
  const std::uint32_t v = unit_->outputs.at(i);
  if (v == no_value) return temp(out_shape(i).dtype, out_shape(i).dims, layout);
  Tensor& t = tensors_[v];
  made_[v] = true;
  const std::uint32_t operand = program_.values[v].operand;
  Tensor leaving = t;
  leaving.strides = strides_of(t.dims, Layout::dense);
  leaving.buffer = operand;
  if (operand != no_value && is_laid_out(leaving, layout)) return t = leaving;
  t = temp(t.dtype, t.dims, layout);
  if (operand != no_value) leaving_.emplace_back(t, leaving);
  return t;
}

void Planner::alias_out(std::size_t i, const Tensor& view) {
  const std::uint32_t v = unit_->outputs.at(i);
  if (v == no_value) return;
  Tensor to = tensors_[v];
  if (view.count() != to.count() || view.dims != to.dims) throw Failure{TENON_INTERNAL, "a view has other dims than the output"};
  made_[v] = true;
  tensors_[v] = view;
  tensors_[v].dtype = to.dtype;
  tensors_[v].known = to.known;
  if (program_.values[v].operand == no_value) return;
  to.buffer = program_.values[v].operand;
  to.strides = strides_of(to.dims, Layout::dense);
  Tensor from = view;
  from.dtype = to.dtype;
  leaving_.emplace_back(from, to);
}

Tensor Planner::temp(std::int32_t dtype, const Dims& dims, Layout layout) {
  Tensor t;
  t.dtype = dtype;
  t.dims = dims;
  t.strides = strides_of(dims, layout);
  t.buffer = static_cast<std::uint32_t>(buffers.size());
  const std::uint64_t bytes = std::max<std::uint64_t>(static_cast<std::uint64_t>(t.count() * storage_bytes(dtype)), 1);
  buffers.push_back({no_value, no_value, no_value, bytes});
  return t;
}

int Planner::choice(const std::string& key, int count, int seed) {
  int chosen = candidate_ >= 0 ? candidate_ : program_.device->tuning->find(key);
  if (chosen < 0 || chosen >= count) chosen = seed;
  close_piece();
  asked.push_back({key, count, chosen, steps.size(), open_piece});
  return chosen;
}

void Planner::launch(Launch l) {
  for (std::size_t g : l.global)
    if (g == 0) return;
  steps.push_back({std::move(l), unit_});
}

void Planner::copy(const Tensor& from, const Tensor& to) { launch_copy(*this, from, to); }

}  // namespace tenon::opencl
