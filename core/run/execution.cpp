#include "core/run/execution.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/log.h"

namespace tenon {
namespace {

// What the caller gave for an output must fit what the run makes.
Status check_destination(const Datum& out, const Value& value, DType dtype, const std::int64_t* dims, std::size_t rank, std::uint64_t bytes) {
  if (out.dtype != dtype || out.bytes < bytes)
    return invalid("output \"{}\": the memory given is {} bytes of {}, the run makes {} bytes of {} with shape {}", value.name, out.bytes,
                   dtype_name(out.dtype), bytes, dtype_name(dtype), dims_text(dims, rank));
  return {};
}

}  // namespace

std::uint64_t exact_bytes(const Datum& d) {
  const Checked bytes = dtype_bytes(d.dtype, element_count(d.dims));
  return bytes.valid() ? static_cast<std::uint64_t>(bytes.value()) : d.bytes;
}

Result<Datum> copy_datum(const Datum& from) {
  if (from.kind != TENON_KIND_TENSOR) {
    Datum out = from;
    for (Datum& item : out.items) TENON_SET(item, copy_datum(item));
    return out;
  }
  TENON_ASSIGN(Datum out, Datum::tensor(from.dtype, from.dims));
  if (from.strings) *out.strings = *from.strings;
  else if (out.bytes) std::memcpy(out.data, from.data, out.bytes);
  return out;
}

Status RunTask::alloc_output(std::uint32_t operand, std::uint32_t rank, const std::int64_t* dims, tenon_address* out) {
  if (!program_ || operand >= program_->operands.size() || program_->operands[operand].kind != Storage::Kind::slot)
    return error(TENON_FAILED_PRECONDITION, "alloc_output: operand {} is not an output whose size the data decides", operand);
  if (rank > 64 || (rank && !dims)) return invalid("alloc_output: rank {}", rank);
  const ValueId v = program_->operands[operand].value;
  const Value& value = graph_.values[v];
  const Checked bytes = dtype_bytes(value.type.dtype, tenon::element_count(dims, rank));
  if (value.type.dtype != TENON_DTYPE_STRING && (!bytes.valid() || static_cast<std::uint64_t>(bytes.value()) > memory_limit_))
    return error(TENON_RESOURCE_EXHAUSTED, "output \"{}\" of shape {} is over limits.memory = {} bytes", value.name, dims_text(dims, rank), memory_limit_);
  for (auto& [id, destination] : *destinations) {
    if (id != v) continue;
    if (destination->data) {
      TENON_TRY(check_destination(*destination, value, value.type.dtype, dims, rank, static_cast<std::uint64_t>(bytes.value())));
      destination->dims.assign(dims, dims + rank);
    } else {
      TENON_SET(*destination, Datum::tensor(value.type.dtype, Dims(dims, dims + rank)));
    }
    context_.slots[v] = *destination;
    *out = datum_address(context_.slots[v]);
    return {};
  }
  TENON_TRY(context_.size_slot(v, value.type.dtype, dims, rank));
  *out = datum_address(context_.slots[v]);
  return {};
}

// Forgets what a slot refers to and keeps its capacity for dims: a warm run allocates nothing.
static void let_go(Datum& d) {
  d.kind = TENON_KIND_TENSOR;
  d.dtype = TENON_DTYPE_UNDEFINED;
  d.dims.clear();
  d.data = nullptr;
  d.bytes = 0;
  d.keep.reset();
  d.strings.reset();
  d.items.clear();
  d.int_keys.clear();
  d.string_keys.clear();
}

Status Block::run(RunState& state, std::span<const Datum* const> feeds, std::span<Datum> outputs, const std::vector<bool>* wanted,
                  std::span<Resident> residents) const {
  for (const Program& p : programs_)
    if (p.device->lost())
      return error(TENON_DEVICE_LOST, "provider {}: device \"{}\" was lost; load the model again", p.device->provider().id(), p.device->info().uid);
  if (Watch::outstanding() > 0)
    for (const Program& p : programs_) TENON_TRY(p.device->trouble());
  std::unique_ptr<RunContext> context = take_context();
  Status status;
  {
    Execution execution(*this, state, *context);
    status = execution.run(feeds, outputs, wanted, residents);
    // A run that failed or was cancelled may have work in its queues, which uses the caller's memory, the context's and the
    // run's task.
    Status late = context->queues().drain();
    if (status.ok()) status = std::move(late);
  }
  if (const Program* p = std::exchange(context->refused, nullptr); p && status.code() == TENON_UNSUPPORTED_SHAPE)
    for (NodeId n : p->nodes)
      if (const auto& made = graph_.nodes[n].outputs; !made.empty() && made[0] != none)
        state.refused.push_back({graph_.values[made[0]].name, p->device->provider().id(), p->device->info().uid});
  // Nothing of the caller's stays behind: feeds and handed-out outputs.
  for (ValueId v : feeds_) let_go(context->slots[v]);
  if (!residents.empty()) context->residents = {}, context->give_back_lent();
  if (!context->queues().broken()) give_back(std::move(context));
  return status;
}

Execution::Execution(const Block& block, RunState& state, RunContext& context)
    : block_(block), state_(state), context_(context), task_(state.control, block.graph_, context, block.environment_.config->limits.memory, state.profile != nullptr),
      destinations_(context.destinations) {
  destinations_.clear();
  task_.destinations = &destinations_;
}

Status Execution::run(std::span<const Datum* const> feeds, std::span<Datum> outputs, const std::vector<bool>* wanted, std::span<Resident> residents) {
  context_.residents = residents;
  for (const Resident& r : residents)
    if (r.buffer) context_.lend(r);
  for (std::size_t i = 0; i < feeds.size(); ++i) context_.slots[block_.feeds_[i]] = *feeds[i];  // into the capacity that is there
  TENON_TRY(signature(feeds));
  place_outputs(outputs, wanted);
  std::shared_ptr<const Plan> plan;
  for (std::uint32_t segment = 0; segment < block_.segments_; ++segment) {
    if (segment > 0) TENON_TRY(segment_key(*plan));
    TENON_ASSIGN(auto next, block_.plan(context_.key, segment, plan.get(), context_, feeds));
    plan = std::move(next);
    plan_ = plan.get();
    if (segment == 0 && state_.outputs_may_move) move_apart(*plan, feeds, outputs);
    TENON_TRY(prepare_slots(*plan));
    if (segment == 0) TENON_TRY(check_overlap(*plan, feeds, outputs));
    TENON_TRY(context_.keep(*plan));
    TENON_ASSIGN(BoundPlan * bound, context_.bind(plan));
    TENON_TRY(items(*bound));
  }
  TENON_TRY(finish(outputs, wanted));
  if (!residents.empty()) hand_over(outputs, residents);
  return {};
}

// What stays in memories of devices.
void Execution::hand_over(std::span<Datum> outputs, std::span<Resident> residents) {
  for (Resident& r : residents) {
    r.buffer.reset();
    for (const Plan::Kept& k : plan_->standing)
      if (k.value == r.value && plan_->domains[k.domain].uid == r.memory.uid()) r.buffer = context_.kept_buffer(k.value, r.memory.uid());
    for (std::size_t o = 0; r.buffer && o < outputs.size(); ++o)
      if (graph().outputs[o] == r.value) outputs[o] = shape_of(r.value);
  }
}

Datum Execution::shape_of(ValueId v) const {
  Datum out;
  out.dtype = graph().values[v].type.dtype;
  out.dims = plan_->shapes.values[v].dims;
  out.bytes = exact_bytes(out);
  return out;
}

std::shared_ptr<DeviceBuffer> Execution::on_device(NodeId n, ValueId v) const {
  for (const Plan::BodyRead& r : plan_->body_reads)
    if (r.node == n && r.value == v) return context_.kept_buffer(v, plan_->domains[r.domain].uid);
  return nullptr;
}

// Sizes of all feeds, and the elements of those that inference reads.
Status Execution::signature(std::span<const Datum* const> feeds) {
  std::vector<std::int64_t>& key = context_.key;
  key.clear();
  key.push_back(0);
  for (std::size_t i = 0; i < feeds.size(); ++i) {
    const Datum& d = *feeds[i];
    if (d.kind != TENON_KIND_TENSOR) {
      key.push_back(-1000 - d.kind);
      continue;
    }
    key.push_back(static_cast<std::int64_t>(d.dims.size()));
    key.insert(key.end(), d.dims.begin(), d.dims.end());
    if (!block_.known_feed_[i] || d.strings) continue;
    const std::uint64_t bytes = exact_bytes(d);
    if (bytes > 32768) continue;
    const std::size_t at = key.size();
    key.resize(at + (bytes + 7) / 8);
    if (bytes) std::memcpy(key.data() + at, d.data, bytes);
  }
  for (const Resident& r : context_.residents) key.push_back(static_cast<std::int64_t>(r.value) << 1 | (r.buffer ? 1 : 0));
  return {};
}

// What the segments so far have decided, on top of the plan they followed.
Status Execution::segment_key(const Plan& plan) {
  std::vector<std::int64_t>& key = context_.key;
  key.clear();
  key.push_back(static_cast<std::int64_t>(plan.segment) + 1);
  key.push_back(static_cast<std::int64_t>(plan.serial));
  const auto elements = [&](ValueId v) -> Status {
    TENON_ASSIGN(const Datum d, datum(v));
    if (d.kind != TENON_KIND_TENSOR || d.strings) return {};
    const std::uint64_t bytes = exact_bytes(d);
    if (bytes > 32768)
      return error(TENON_UNIMPLEMENTED, "value \"{}\": its {} bytes would decide sizes; at most 32768 can", graph().values[v].name, bytes);
    const std::size_t at = key.size();
    key.resize(at + (bytes + 7) / 8);
    if (bytes) std::memcpy(key.data() + at, d.data, bytes);
    context_.slots[v].dims = d.dims;
    return {};
  };
  for (ValueId v : plan.open) {
    const Datum& d = context_.slots[v];
    if (d.kind == TENON_KIND_TENSOR && d.dtype == TENON_DTYPE_UNDEFINED)
      return internal("value \"{}\" was not made in segment {}", graph().values[v].name, plan.segment);
    key.push_back(static_cast<std::int64_t>(d.dims.size()));
    key.insert(key.end(), d.dims.begin(), d.dims.end());
  }
  for (ValueId v : plan.fetched) TENON_TRY(elements(v));
  return {};
}

// Outputs that a program writes go straight to where the caller wants them, each once.
void Execution::place_outputs(std::span<Datum> outputs, const std::vector<bool>* wanted) {
  const Graph& g = graph();
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    if (wanted && !(*wanted)[o]) continue;
    const ValueId v = g.outputs[o];
    const NodeId producer = g.values[v].producer;
    if (producer == none || block_.placement_.host_step[producer] || g.nodes[producer].host_evaluated) continue;
    if (std::any_of(destinations_.begin(), destinations_.end(), [&](auto& d) { return d.first == v; })) continue;
    destinations_.emplace_back(v, &outputs[o]);
  }
}

// Memory for what this segment makes and does not keep in the arena, as far as sizes are known.
Status Execution::prepare_slots(const Plan& plan) {
  const Graph& g = graph();
  for (const PlannedProgram& p : plan.programs)
    for (std::size_t i = 0; i < p.program->part.outputs.size(); ++i) {
      const ValueId v = p.program->part.outputs[i];
      if (plan.on_host[v].kind != Storage::Kind::slot) continue;
      const auto& entry = plan.shapes.values[v];
      const DType dtype = g.values[v].type.dtype;
      const bool complete = plan.shapes.complete(v);
      auto to = std::find_if(destinations_.begin(), destinations_.end(), [&](auto& d) { return d.first == v; });
      if (!complete) {
        if (to == destinations_.end()) context_.slots[v].dims.clear();
        continue;
      }
      if (to == destinations_.end()) {
        TENON_TRY(context_.size_slot(v, dtype, entry.dims.data(), entry.dims.size()));
        continue;
      }
      Datum& out = *to->second;
      if (out.data) {
        const Checked bytes = dtype_bytes(dtype, element_count(entry.dims));
        TENON_TRY(check_destination(out, g.values[v], dtype, entry.dims.data(), entry.dims.size(), static_cast<std::uint64_t>(bytes.value())));
        out.dims.assign(entry.dims.begin(), entry.dims.end());
      } else {
        TENON_SET(out, Datum::tensor(dtype, entry.dims));
      }
      Datum& slot = context_.slots[v];
      slot.kind = TENON_KIND_TENSOR;
      slot.dtype = dtype;
      slot.dims.assign(entry.dims.begin(), entry.dims.end());
      slot.data = out.data;
      slot.bytes = out.bytes;
      slot.strings = out.strings;
      slot.keep.reset();
    }
  return {};
}

// The plan lets a program write this output where the input is.
bool Execution::writes_over(const Plan& plan, ValueId input, const Datum& output) const {
  const auto to = std::find_if(destinations_.begin(), destinations_.end(), [&](const auto& d) { return d.second == &output; });
  return to != destinations_.end() && std::find(plan.in_place.begin(), plan.in_place.end(), std::pair{input, to->first}) != plan.in_place.end();
}

// Outputs that would stand over an input and cannot: the run makes memory for them.
void Execution::move_apart(const Plan& plan, std::span<const Datum* const> feeds, std::span<Datum> outputs) const {
  for (Datum& out : outputs)
    for (std::size_t i = 0; out.data && i < feeds.size(); ++i) {
      if (feeds[i]->kind != TENON_KIND_TENSOR || feeds[i]->data != out.data || writes_over(plan, block_.feeds_[i], out)) continue;
      out.data = nullptr;
      out.bytes = 0;
      out.keep.reset();
    }
}

// An output may stand where an input stands if the plan writes it there: the cache of a decoder.
Status Execution::check_overlap(const Plan& plan, std::span<const Datum* const> feeds, std::span<const Datum> outputs) const {
  const Graph& g = graph();
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    if (!outputs[o].data) continue;
    for (std::size_t i = 0; i < feeds.size(); ++i) {
      if (feeds[i]->kind != TENON_KIND_TENSOR || feeds[i]->data != outputs[o].data || !feeds[i]->bytes || !outputs[o].bytes) continue;
      if (writes_over(plan, block_.feeds_[i], outputs[o])) continue;
      return invalid("the memory given for output \"{}\" overlaps that of input \"{}\", and the model does not write one over the other",
                     g.values[g.outputs[o]].name, g.values[block_.feeds_[i]].name);
    }
  }
  return {};
}

Result<Datum> Execution::datum(ValueId v) const {
  const Value& value = graph().values[v];
  Datum out;
  out.dtype = value.type.dtype;
  if (value.constant) {
    TENON_ASSIGN(const ConstantPtr c, with_bytes(value.constant));
    out.dims = c->dims;
    out.bytes = c->bytes;
    out.data = const_cast<std::byte*>(c->data);
    out.keep = std::const_pointer_cast<Constant>(std::shared_ptr<const Constant>(c));
    if (c->dtype == TENON_DTYPE_STRING) out.strings = std::make_shared<std::vector<std::string>>(c->strings);
    return out;
  }
  const Storage& s = plan_->on_host[v];
  switch (s.kind) {
    case Storage::Kind::fixed:
      out.dims = plan_->shapes.values[v].dims;
      out.data = const_cast<std::byte*>(s.data);
      out.bytes = s.bytes;
      out.keep = std::const_pointer_cast<Constant>(plan_->shapes.values[v].known);
      return out;
    case Storage::Kind::kept:
    case Storage::Kind::arena: {
      const tenon_address a = context_.address(*plan_, s);
      out.dims = plan_->shapes.values[v].dims;
      out.data = static_cast<std::byte*>(a.handle) + a.offset;
      out.bytes = s.bytes;
      return out;
    }
    default:
      if (const ConstantPtr& known = plan_->shapes.values[v].known; known && context_.slots[v].dtype == TENON_DTYPE_UNDEFINED) {
        out.dims = known->dims;
        out.data = const_cast<std::byte*>(known->data);
        out.bytes = known->bytes;
        out.keep = std::const_pointer_cast<Constant>(known);
        return out;
      }
      out = context_.slots[v];
      if (out.kind == TENON_KIND_TENSOR && !out.strings) out.bytes = exact_bytes(out);
      return out;
  }
}

void Execution::set(ValueId v, Datum datum) { context_.slots[v] = std::move(datum); }

// Outputs that were not written in place: feeds, constants, evaluated values, results of host steps.
Status Execution::finish(std::span<Datum> outputs, const std::vector<bool>* wanted) {
  const Graph& g = graph();
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    if (wanted && !(*wanted)[o]) continue;
    const ValueId v = g.outputs[o];
    if (std::any_of(destinations_.begin(), destinations_.end(), [&](auto& d) { return d.second == &outputs[o]; })) continue;
    TENON_ASSIGN(Datum made, datum(v));
    if (made.kind == TENON_KIND_TENSOR && made.dtype == TENON_DTYPE_UNDEFINED && !made.keep) return internal("nothing made output \"{}\"", g.values[v].name);
    Datum& out = outputs[o];
    const NodeId producer = g.values[v].producer;
    const bool ours = producer != none && block_.placement_.host_step[producer];
    if (out.data) {
      TENON_TRY(check_destination(out, g.values[v], made.dtype, made.dims.data(), made.dims.size(), exact_bytes(made)));
      std::memcpy(out.data, made.data, exact_bytes(made));
      out.dims = made.dims;
    } else if (ours && made.kind == TENON_KIND_TENSOR && made.keep) {
      out = std::move(made);  // only its slot and the caller hold it, and the slot lets go below
    } else {
      TENON_SET(out, copy_datum(made));
    }
  }
  for (auto& [v, destination] : destinations_) let_go(context_.slots[v]);
  for (ValueId v : g.outputs) {
    const NodeId producer = g.values[v].producer;
    if (producer != none && block_.placement_.host_step[producer]) let_go(context_.slots[v]);
  }
  return {};
}

}  // namespace tenon
