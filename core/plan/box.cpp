#include "core/plan/box.h"

#include <algorithm>
#include <cstring>

#include "core/plan/memory.h"

namespace tenon {
namespace {

Status outside(const Node& node, const char* what) { return error(TENON_UNSUPPORTED_SHAPE, "{}: {} than its plan has", node.label(), what); }

// Its plan consists of programs that can be set to other sizes, and nothing of it is decided by the run.
bool can_be(const PlanInput& input) {
  if (input.segment_count != 1) return false;
  for (const Item& item : *input.items)
    if (item.kind != Item::Kind::program) return false;
  for (const Program& p : *input.programs)
    if (!p.device->can_resize() || (p.device->has_bind() && !p.device->provider().isolated()) || p.device->has_streams()) return false;
  return std::none_of(input.graph->nodes.begin(), input.graph->nodes.end(), [](const Node& n) { return n.control_flow(); });
}

}  // namespace

BoxPlan::BoxPlan(const PlanInput& input, const std::vector<ValueId>& feeds, Turn& turn)
    : in_(input), graph_(*input.graph), feeds_(feeds), turn_(turn), rules_(graph_), capacity_(graph_.values.size()), elements_(graph_.values.size()),
      declared_at_(graph_.values.size(), none), seen_(graph_.values.size()) {}

Result<std::unique_ptr<BoxPlan>> BoxPlan::make(const PlanInput& input, const std::vector<ValueId>& feeds, ShapeTable largest, Turn& turn) {
  if (!can_be(input)) return std::unique_ptr<BoxPlan>();
  std::unique_ptr<BoxPlan> box(new BoxPlan(input, feeds, turn));
  PlanInput boxed = input;
  boxed.box = true;
  TENON_ASSIGN(std::unique_ptr<Plan> made, make_plan(boxed, 0, std::move(largest)));
  if (!made->open.empty() || !made->fetched.empty() || !made->copies.empty()) return std::unique_ptr<BoxPlan>();
  box->plan_ = std::move(made);
  const ShapeTable& shapes = box->plan_->shapes;
  for (ValueId v : feeds) {
    if (!shapes.complete(v) || box->graph_.values[v].type.dtype == TENON_DTYPE_STRING) return std::unique_ptr<BoxPlan>();
    box->most_.push_back(shapes.values[v].dims);
    auto& numbers = box->most_numbers_.emplace_back();
    if (const ConstantPtr& known = shapes.values[v].known; known && known->dtype == TENON_DTYPE_INT64) {
      numbers.resize(known->bytes / sizeof(std::int64_t));
      if (!numbers.empty()) std::memcpy(numbers.data(), known->data, known->bytes);
    }
    box->seen_[v] = true;
  }
  for (ValueId v = 0; v < box->graph_.values.size(); ++v) {
    box->capacity_[v] = value_bytes(box->graph_, shapes, v);
    if (shapes.complete(v)) box->elements_[v] = static_cast<std::uint64_t>(element_count(shapes.values[v].dims).value());
  }
  for (NodeId n = 0; n < box->graph_.nodes.size(); ++n) {
    const Node& node = box->graph_.nodes[n];
    if (std::none_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return v != none && box->seen_[v]; })) continue;
    const auto first = static_cast<std::uint32_t>(box->reads_.size());
    for (ValueId v : node.inputs)
      if (v != none && box->seen_[v]) box->reads_.push_back(v);
    box->behind_.push_back({n, first, static_cast<std::uint32_t>(box->reads_.size())});
    for (ValueId v : node.outputs)
      if (v != none) box->seen_[v] = true;
  }
  for (ValueId v = 0; v < box->graph_.values.size(); ++v) {
    const Type& type = box->graph_.values[v].type;
    if (!box->seen_[v] || !type.dims) continue;
    box->declared_at_[v] = static_cast<std::uint32_t>(box->declared_.size());
    box->declared_.push_back(static_cast<std::int64_t>(type.dims->size()));
    for (const Dim& d : *type.dims) box->declared_.push_back(d.fixed() ? d.value : -1);
  }
  std::fill(box->seen_.begin(), box->seen_.end(), false);
  return box;
}

bool BoxPlan::at(std::span<const Datum* const> feeds) const {
  for (std::size_t i = 0; i < feeds.size(); ++i) {
    const ShapeTable::Entry& e = plan_->shapes.values[feeds_[i]];
    const Datum& d = *feeds[i];
    if (d.kind != TENON_KIND_TENSOR || d.dims != e.dims) return false;
    if (e.known && e.known->bytes && std::memcmp(e.known->data, d.data, e.known->bytes) != 0) return false;
  }
  return true;
}

bool BoxPlan::holds(std::span<const Datum* const> feeds) const {
  for (std::size_t i = 0; i < feeds.size(); ++i) {
    const Datum& d = *feeds[i];
    if (d.kind != TENON_KIND_TENSOR || d.dims.size() != most_[i].size()) return false;
    for (std::size_t k = 0; k < d.dims.size(); ++k)
      if (d.dims[k] > most_[i][k]) return false;
    for (std::size_t k = 0; k < most_numbers_[i].size() && (k + 1) * sizeof(std::int64_t) <= d.bytes; ++k) {
      std::int64_t number;
      std::memcpy(&number, d.data + k * sizeof number, sizeof number);
      if (number > most_numbers_[i][k]) return false;
    }
  }
  return true;
}

// Where set finds what it needs for the nodes that it has just run.
void BoxPlan::follow_reads() {
  ran_ = running_;
  lines_.clear();
  const auto add = [&](const void* p) { lines_.push_back(p); };
  const auto value = [&](ValueId v) {
    if (v == none) return;
    const ShapeTable::Entry& e = plan_->shapes.values[v];
    for (const void* p : {static_cast<const void*>(&e), static_cast<const void*>(e.dims.data()), static_cast<const void*>(e.known.get())}) add(p);
    if (e.known) add(e.known->data);
  };
  for (NodeId n : ran_) {
    const Node& node = graph_.nodes[n];
    for (const void* p : {static_cast<const void*>(&node.inputs), static_cast<const void*>(&node.outputs), static_cast<const void*>(node.inputs.data()),
                          static_cast<const void*>(node.outputs.data()), rules_.place(n)})
      add(p);
    for (ValueId v : node.inputs) value(v);
    for (ValueId v : node.outputs) value(v);
  }
  for (ValueId v : changed_) {
    for (const void* p : {static_cast<const void*>(&plan_->values[v]), static_cast<const void*>(&capacity_[v]), static_cast<const void*>(&elements_[v]),
                          static_cast<const void*>(&declared_at_[v]), static_cast<const void*>(&plan_->on_host[v])})
      add(p);
    if (declared_at_[v] != none) add(&declared_[declared_at_[v]]);
  }
  const auto line = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) / 64; };
  std::stable_sort(lines_.begin(), lines_.end(), [&](const void* a, const void* b) { return line(a) < line(b); });
  lines_.erase(std::unique(lines_.begin(), lines_.end(), [&](const void* a, const void* b) { return line(a) == line(b); }), lines_.end());
}

Status BoxPlan::set(std::span<const Datum* const> feeds) {
  for (const void* p : lines_) __builtin_prefetch(p);
  changed_.clear();
  running_.clear();
  std::fill(seen_.begin(), seen_.end(), false);
  for (std::size_t i = 0; i < feeds.size(); ++i) {
    const ValueId v = feeds_[i];
    ShapeTable::Entry& e = plan_->shapes.values[v];
    const Datum& d = *feeds[i];
    bool other = d.dims != e.dims;
    std::copy(d.dims.begin(), d.dims.end(), e.dims.begin());
    if (e.known) {
      auto& own = const_cast<Constant&>(*e.known);
      const std::uint64_t bytes = value_bytes(graph_, plan_->shapes, v);
      other = other || std::memcmp(own.data, d.data, bytes) != 0;
      own.dims.assign(d.dims.begin(), d.dims.end());
      own.bytes = bytes;
      if (bytes) std::memcpy(const_cast<std::byte*>(own.data), d.data, bytes);
    }
    if (other) TENON_TRY(changed(v));
  }
  for (const Behind& b : behind_) {
    const bool sees = std::any_of(reads_.begin() + b.inputs, reads_.begin() + b.end, [&](ValueId v) { return seen_[v] != 0; });
    if (!sees) continue;
    running_.push_back(b.node);
    TENON_TRY(infer(b.node));
  }
  if (running_ != ran_) follow_reads();
  tenon_resize_args args{};
  args.struct_size = sizeof args;
  args.values = {plan_->values.data(), plan_->values.size(), sizeof(tenon_plan_value), 0};
  args.changed = changed_.data();
  args.changed_count = changed_.size();
  args.load = in_.load;
  for (PlannedProgram& p : plan_->programs) TENON_TRY(p.program->device->resize(p.program->handle, p.handle, args));
  for (ValueId v : changed_)
    if (Storage& s = plan_->on_host[v]; s.kind == Storage::Kind::fixed) s.bytes = plan_->shapes.values[v].known->bytes;
  return {};
}

// Its outputs, and which of them are not what they were.
Status BoxPlan::infer(NodeId n) {
  const Node& node = graph_.nodes[n];
  std::vector<ShapeTable::Entry>& values = plan_->shapes.values;
  if (node.outputs.size() == 1 && node.outputs[0] != none) {
    const ValueId v = node.outputs[0];
    scratch_.assign(values[v].dims.begin(), values[v].dims.end());
    const ConstantPtr& known = values[v].known;
    if (known) bytes_.assign(known->data, known->data + known->bytes);
    if (rules_.apply(n, plan_->shapes, capacity_)) {
      const bool same = scratch_ == values[v].dims && (!known || (known->bytes == bytes_.size() && std::memcmp(known->data, bytes_.data(), bytes_.size()) == 0));
      return same ? Status() : changed(v);
    }
  }
  // As for any plan; what it says goes into the memory that providers know.
  std::vector<ShapeTable::Entry> before;
  for (ValueId v : node.outputs) before.push_back(v == none ? ShapeTable::Entry() : values[v]);
  {
    TENON_ASSIGN(const Turn::Hold held, turn_.take());
    TENON_TRY(in_.inference->run_node(n, plan_->shapes));
  }
  for (std::size_t o = 0; o < node.outputs.size(); ++o) {
    const ValueId v = node.outputs[o];
    if (v == none) continue;
    ShapeTable::Entry& e = values[v];
    const ConstantPtr own = before[o].known;
    if (e.dims.size() != before[o].dims.size() || (own && (!e.known || e.known->bytes > capacity_[v]))) return outside(node, "other values");
    bool other = e.dims != before[o].dims;
    if (own && e.known != own) {
      other = other || e.known->bytes != own->bytes || std::memcmp(e.known->data, own->data, own->bytes) != 0;
      auto& to = const_cast<Constant&>(*own);
      to.dims.assign(e.known->dims.begin(), e.known->dims.end());
      to.bytes = e.known->bytes;
      if (to.bytes) std::memcpy(const_cast<std::byte*>(to.data), e.known->data, to.bytes);
    }
    e.known = own;  // known where the box knows it
    if (other) TENON_TRY(changed(v));
  }
  return {};
}

Status BoxPlan::changed(ValueId v) {
  if (plan_->values[v].dims != plan_->shapes.values[v].dims.data()) return internal("value \"{}\": its sizes have moved", graph_.values[v].name);
  if (!fits(v))
    return error(TENON_UNSUPPORTED_SHAPE, "value \"{}\" is larger than its plan allows or not what was declared", graph_.values[v].name);
  seen_[v] = true;
  changed_.push_back(v);
  return {};
}

// Its sizes are known, no more than there is memory for, and those that the graph declares where it does: programs were compiled
// for these.
bool BoxPlan::fits(ValueId v) const {
  const Dims& dims = plan_->shapes.values[v].dims;
  const std::int64_t* declared = declared_at_[v] == none ? nullptr : &declared_[declared_at_[v]];
  if (declared && *declared++ != static_cast<std::int64_t>(dims.size())) return false;
  std::uint64_t elements = 1;
  for (std::size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] < 0 || (declared && declared[d] >= 0 && declared[d] != dims[d])) return false;
    const auto size = static_cast<std::uint64_t>(dims[d]);
    if (size != 0 && elements > elements_[v] / size) return false;
    elements *= size;
  }
  return elements <= elements_[v];
}

}  // namespace tenon
