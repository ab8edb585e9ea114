#include <algorithm>
#include <cstring>
#include <map>

#include "plugins/opencl/codegen/linked_epilogue.h"
#include "plugins/opencl/elementwise_op.h"
#include "plugins/opencl/ops/movement_copy.h"
#include "plugins/opencl/plan.h"

namespace tenon::opencl {
namespace {

using Buffer = PlanBuffer;

struct Step {
  Launch launch;
  const Unit* unit;
};

// A unit that asked which way to go, and where its launches are.
constexpr std::size_t open_piece = ~std::size_t{0};
struct Asked {
  std::string key;
  int count, chosen;
  std::size_t first, last;
};

Dims numbers(std::span<const std::int64_t> dims) { return Dims(dims.begin(), dims.end()); }

// The stride with which a group of axes is walked as one, outermost first; false where no single stride does it.
bool joint_stride(const Tensor& t, const std::vector<std::int64_t>& axes, std::int64_t& stride) {
  stride = 0;
  bool first = true;
  std::int64_t size = 1;
  for (std::size_t i = axes.size(); i-- > 0;) {
    const auto a = static_cast<std::size_t>(axes[i]);
    if (t.dims[a] == 1) continue;
    if (first) stride = t.strides[a];
    else if (t.strides[a] != stride * size) return false;
    first = false;
    size *= t.dims[a];
  }
  return true;
}

}  // namespace

// What one unit emits into, unit after unit.
class Planner final : public PlanBuilder {
 public:
  // sink: null for a trial, whose candidate every choice then gets.
  Planner(const Program& program, const tenon_plan_args& args, tenon_plan_sink* sink, int candidate = -1)
      : program_(program), args_(args), sink_(sink), candidate_(candidate), tensors_(program.values.size()), made_(program.values.size()) {
    next_operand_ = program.input_count + program.output_count;
    for (std::uint32_t o = 0; o < next_operand_; ++o) buffers_.push_back({o, no_value, no_value, 0});
    for (std::uint32_t v = 0; v < program.values.size(); ++v) tensors_[v] = start(v);
  }

  // All units; then finish or trial.
  void units() {
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
      if (!asked_.empty() && asked_.back().last == open_piece) asked_.back().last = steps_.size();
    }
  }

  // Builds the kernels, runs what depends on constants alone and tells the host every other step.
  void finish(Plan& plan) {
    std::vector<const KernelText*> texts;
    for (const Step& s : steps_) texts.push_back(&s.launch.kernel);
    const std::vector<BuiltKernel> kernels = program_.device->kernels->get(texts);
    for (const BuiltKernel& k : kernels)
      if (std::find(plan.programs.begin(), plan.programs.end(), k.program) == plan.programs.end()) plan.programs.push_back(k.program);
    const std::vector<bool> once = run_once(plan);
    const Host& host = program_.device->host;
    for (Buffer& b : buffers_) {
      if (b.temp_bytes == 0 || b.derived != no_value) continue;
      const tenon_temp raw{sizeof(tenon_temp), 0, b.temp_bytes, 64, 0};
      host.api->temp(sink_, &raw);
      b.operand = next_operand_++;
    }
    std::vector<PlannedLaunch> setup;
    for (std::size_t s = 0; s < steps_.size(); ++s) {
      PlannedLaunch planned = planned_launch(steps_[s], kernels[s]);
      if (once[s]) setup.push_back(std::move(planned));
      else tell(steps_[s], static_cast<std::uint32_t>(plan.launches.size())), plan.launches.push_back(std::move(planned));
    }
    run_now(plan, setup);
  }

  Trial trial() {
    Trial out;
    out.buffers = buffers_;
    for (const Asked& a : asked_) {
      Trial::Piece& piece = out.pieces.emplace_back();
      piece.key = a.key;
      piece.count = a.count;
      piece.chosen = a.chosen;
      for (std::size_t s = a.first; s < a.last; ++s) piece.launches.push_back(std::move(steps_[s].launch));
    }
    return out;
  }

  // ---- PlanBuilder ------------------------------------------------------------------------------------------------------

  const Profile& profile() const override { return program_.device->profile; }
  std::size_t inputs() const override { return unit_->inputs.size(); }
  std::size_t outputs() const override { return unit_->outputs.size(); }
  const Tensor& in(std::size_t i) const override {
    if (i >= unit_->inputs.size() || unit_->inputs[i] == no_value) return omitted_;
    return tensors_[unit_->inputs[i]];
  }
  const Tensor& out_shape(std::size_t i) const override {
    if (i == 0 && unit_->raw != no_value) return tensors_[unit_->raw];
    if (i >= unit_->outputs.size() || unit_->outputs[i] == no_value) return omitted_;
    return tensors_[unit_->outputs[i]];
  }

  Tensor laid_out(const Tensor& t, Layout layout) override {
    if (is_laid_out(t, layout)) return t;
    for (const auto& [from, to] : copies_)
      if (from.buffer == t.buffer && from.offset == t.offset && from.dims == t.dims && from.strides == t.strides && from.dtype == t.dtype && is_laid_out(to, layout)) return to;
    Tensor to = temp(t.dtype, t.dims, layout);
    copy(t, to);
    to.known = t.known;
    copies_.emplace_back(t, to);
    return to;
  }

  Tensor make_out(std::size_t i, Layout layout) override {
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

  void alias_out(std::size_t i, const Tensor& view) override {
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

  Tensor temp(std::int32_t dtype, const Dims& dims, Layout layout) override {
    Tensor t;
    t.dtype = dtype;
    t.dims = dims;
    t.strides = strides_of(dims, layout);
    t.buffer = static_cast<std::uint32_t>(buffers_.size());
    const std::uint64_t bytes = std::max<std::uint64_t>(static_cast<std::uint64_t>(t.count() * storage_bytes(dtype)), 1);
    buffers_.push_back({no_value, no_value, no_value, bytes});
    return t;
  }

  int choice(const std::string& key, int count, int seed) override {
    int chosen = candidate_ >= 0 ? candidate_ : program_.device->tuning->find(key);
    if (chosen < 0 || chosen >= count) chosen = seed;
    if (!asked_.empty() && asked_.back().last == open_piece) asked_.back().last = steps_.size();
    asked_.push_back({key, count, chosen, steps_.size(), open_piece});
    return chosen;
  }

  LinkedEpilogue link(const TileSpace& space, std::int32_t accumulator) override {
    LinkedEpilogue out;
    std::vector<Tensor> outs{make_out(0, space.layout)};
    out.dims = outs[0].dims;
    Expression e = unit_->epilogue;
    if (e.nodes.empty()) {
      // What the op makes may be computed in another type than it is stored in.
      const std::uint32_t acc = e.load(0, accumulator);
      e.outputs = {e.cast(outs[0].dtype, acc)};
    } else {
      const std::int32_t raw = program_.values[unit_->raw].dtype;
      for (Expression::Node& n : e.nodes)
        if (n.kind == Expression::Kind::load && n.slot == 0 && compute_of(n.dtype) == compute_of(accumulator)) n.dtype = raw;
    }
    std::vector<ExpressionEpilogue::Operand> outputs, operands;
    std::vector<Arg> strides;
    const auto describe = [&](Tensor t, bool output) {
      std::int64_t b = 0, r = 0, c = 0;
      if (!joint_stride(t, space.batch, b) || !joint_stride(t, space.rows, r) || !joint_stride(t, space.cols, c)) {
        if (output) throw Failure{TENON_INTERNAL, "an output whose axes cannot be walked together"};
        // Spread over the whole output, once.
        Tensor full = temp(t.dtype, outs[0].dims, space.layout);
        copy(t, full);
        t = full;
        joint_stride(t, space.batch, b), joint_stride(t, space.rows, r), joint_stride(t, space.cols, c);
      }
      std::int64_t columns = 1;
      for (std::int64_t a : space.cols) columns *= outs[0].dims[static_cast<std::size_t>(a)];
      ExpressionEpilogue::Operand o{t.dtype, b != 0, r != 0, c == 0 && !(output || columns == 1) ? 0 : c == 1 || columns == 1 ? 1 : 2};
      (output ? outputs : operands).push_back(o);
      out.args.push_back(output ? Arg::out(t) : Arg::in(t));
      if (o.moves_b) out.args.push_back(Arg::i32(b));
      if (o.moves_r) out.args.push_back(Arg::i32(r));
      if (o.cols == 2) out.args.push_back(Arg::i32(c));
    };
    for (const Tensor& t : outs) describe(t, true);
    for (std::uint32_t v : unit_->epilogue_inputs) describe(broadcast(tensors_[v], outs[0].dims), false);
    out.text = std::make_shared<ExpressionEpilogue>(std::move(e), std::move(operands), std::move(outputs));
    return out;
  }

  void launch(Launch l) override {
    for (std::size_t g : l.global)
      if (g == 0) return;
    steps_.push_back({std::move(l), unit_});
  }

  void copy(const Tensor& from, const Tensor& to) override {
    launch_copy(*this, from, to);
  }

 private:
  // Which steps read constants only, or what such steps have made, and write temps that no other step writes: their results are the
  // plan's own, with memory of their own.
  std::vector<bool> run_once(Plan& plan) {
    std::vector<std::uint32_t> writers(buffers_.size(), 0);
    for (const Step& s : steps_)
      for (const Arg& a : s.launch.args)
        if (a.kind == Arg::Kind::write) ++writers[a.tensor.buffer];
    std::vector<bool> once(steps_.size());
    for (std::size_t s = 0; s < steps_.size(); ++s) {
      once[s] = true;
      bool reads = false;
      for (const Arg& a : steps_[s].launch.args) {
        if (a.kind == Arg::Kind::read || a.kind == Arg::Kind::weight) reads = true;
        if (a.kind == Arg::Kind::read && buffers_[a.tensor.buffer].constant == no_value && buffers_[a.tensor.buffer].derived == no_value) once[s] = false;
        if (a.kind == Arg::Kind::write && (buffers_[a.tensor.buffer].temp_bytes == 0 || writers[a.tensor.buffer] > 1)) once[s] = false;
      }
      once[s] = once[s] && reads;
      if (!once[s]) continue;
      for (const Arg& a : steps_[s].launch.args) {
        if (a.kind != Arg::Kind::write) continue;
        Buffer& b = buffers_[a.tensor.buffer];
        b.derived = static_cast<std::uint32_t>(plan.derived.size());
        plan.derived.push_back(program_.device->allocate(b.temp_bytes));
      }
    }
    return once;
  }

  PlannedLaunch planned_launch(const Step& step, const BuiltKernel& kernel) {
    PlannedLaunch planned{kernel, {}, step.launch.global, step.launch.local, step.launch.name, &step.unit->label};
    for (const Arg& a : step.launch.args) {
      PlannedArg& out = planned.args.emplace_back();
      out.bytes = a.bytes;
      out.size = a.size;
      if (a.kind == Arg::Kind::scalar) continue;
      if (a.kind == Arg::Kind::weight) {
        out.kind = PlannedArg::Kind::constant;
        out.index = a.packed.constant;
        continue;
      }
      if (a.tensor.buffer == no_value) throw Failure{TENON_INTERNAL, step.unit->label + ": a tensor without memory"};
      const Buffer& b = buffers_[a.tensor.buffer];
      out.offset = static_cast<std::uint64_t>(a.tensor.offset * storage_bytes(a.tensor.dtype));
      if (b.constant != no_value) (void)program_.constant(b.constant, args_.load);
      out.kind = b.constant != no_value ? PlannedArg::Kind::constant : b.derived != no_value ? PlannedArg::Kind::derived : PlannedArg::Kind::operand;
      out.index = b.constant != no_value ? b.constant : b.derived != no_value ? b.derived : b.operand;
    }
    return planned;
  }

  // Says to the host what a step reads and writes.
  void tell(const Step& step, std::uint32_t stage) {
    std::vector<std::uint32_t> reads, writes;
    double bytes = 0;
    for (const Arg& a : step.launch.args) {
      if (a.kind == Arg::Kind::scalar) continue;
      if (a.kind == Arg::Kind::weight) {
        bytes += static_cast<double>(a.packed.bytes);
        continue;
      }
      bytes += static_cast<double>(a.tensor.count() * storage_bytes(a.tensor.dtype));
      const std::uint32_t operand = buffers_[a.tensor.buffer].operand;
      auto& list = a.kind == Arg::Kind::write ? writes : reads;
      if (operand != no_value && std::find(list.begin(), list.end(), operand) == list.end()) list.push_back(operand);
    }
    tenon_step raw{};
    raw.struct_size = sizeof raw;
    raw.stage = stage;
    raw.flags = TENON_STEP_CAPTURABLE;
    raw.name = str(step.launch.name);
    raw.reads = reads.data(), raw.read_count = static_cast<std::uint32_t>(reads.size());
    raw.writes = writes.data(), raw.write_count = static_cast<std::uint32_t>(writes.size());
    raw.nodes = step.unit->nodes.data(), raw.node_count = static_cast<std::uint32_t>(step.unit->nodes.size());
    raw.est_ns = static_cast<std::uint64_t>(std::max(bytes / 10, step.launch.flops / 100) + 5000);
    program_.device->host.api->step(sink_, &raw);
  }

  // Runs launches on constants and the plan's own memory, and waits.
  void run_now(Plan& plan, const std::vector<PlannedLaunch>& setup) {
    if (setup.empty()) return;
    const Device& device = *program_.device;
    const QueueHandle queue = device.make_queue();
    std::vector<KernelHandle> held;
    for (const PlannedLaunch& l : setup) {
      cl_int code = CL_SUCCESS;
      held.emplace_back(device.api->clCreateKernel(l.kernel.program->program, l.kernel.name.c_str(), &code), device.api->clReleaseKernel);
      check(code, *l.label + ": its kernel");
      for (std::size_t a = 0; a < l.args.size(); ++a) {
        const PlannedArg& arg = l.args[a];
        const Constant* c = arg.kind == PlannedArg::Kind::constant ? program_.constants[arg.index].get() : nullptr;
        set_argument(device, held.back().get(), l, a, c ? c->mem : arg.kind == PlannedArg::Kind::derived ? plan.derived[arg.index].get() : nullptr, c ? c->offset : 0);
      }
      check(device.api->clEnqueueNDRangeKernel(queue.get(), held.back().get(), 3, nullptr, l.global.data(), l.local.data(), 0, nullptr, nullptr), *l.label);
    }
    check(device.api->clFinish(queue.get()), "waiting for " + device.profile.name);
  }

  // A value before anything has run: dims, and a buffer where it has one.
  Tensor start(std::uint32_t v) {
    const Value& value = program_.values[v];
    if (value.graph_value >= args_.values.count) throw Failure{TENON_INTERNAL, "a value without sizes"};
    const auto& p = element<tenon_plan_value>(args_.values, value.graph_value);
    Tensor t;
    t.dtype = value.dtype;
    if (value.constant != no_value) {
      t.dims = program_.constants[value.constant]->dims;
      t.known = program_.known(value.constant, args_.load);
      t.buffer = static_cast<std::uint32_t>(buffers_.size());
      buffers_.push_back({no_value, value.constant, no_value, 0});
    } else {
      if (p.rank > 0) t.dims = numbers({p.dims, static_cast<std::size_t>(p.rank)});
      t.known = p.known;
      if (value.operand != no_value) t.buffer = value.operand;
    }
    for (std::int64_t d : t.dims)
      if (d < 0) throw Failure{TENON_UNSUPPORTED_SHAPE, "a size is known only while the model runs"};
    t.strides = strides_of(t.dims, Layout::dense);
    return t;
  }

  const Program& program_;
  const tenon_plan_args& args_;
  tenon_plan_sink* sink_;
  int candidate_;
  std::vector<Tensor> tensors_;   // by value
  std::vector<bool> made_;
  std::vector<Buffer> buffers_;
  std::vector<Step> steps_;
  std::vector<Asked> asked_;
  std::vector<std::pair<Tensor, Tensor>> copies_;   // of which tensor, what
  std::vector<std::pair<Tensor, Tensor>> leaving_;  // to be copied when the unit has been planned
  const Unit* unit_ = nullptr;
  Tensor omitted_;
  std::uint32_t next_operand_ = 0;
};

PlanInput::PlanInput(const tenon_plan_args& args) {
  items.resize(args.values.count);
  for (std::uint64_t v = 0; v < args.values.count; ++v) {
    Item& item = items[v];
    item.value = element<tenon_plan_value>(args.values, v);
    if (item.value.rank > 0) item.dims.assign(item.value.dims, item.value.dims + item.value.rank);
    std::int64_t count = 1;
    for (std::int64_t d : item.dims) count *= d;
    if (item.value.known && has_storage(item.value.dtype)) {
      const auto* bytes = static_cast<const char*>(item.value.known);
      item.known.assign(bytes, bytes + count * storage_bytes(item.value.dtype));
    }
    item.value.dims = item.value.dims_max = item.dims.data();
    item.value.strides = nullptr;
    item.value.known = item.known.empty() ? nullptr : item.known.data();
    values.push_back(item.value);
  }
}

Trial Trial::make(const Program& program, const tenon_plan_args& args, int candidate) {
  Planner planner(program, args, nullptr, candidate);
  planner.units();
  return planner.trial();
}

std::unique_ptr<Plan> Plan::make(std::shared_ptr<const Program> program, const tenon_plan_args& args, tenon_plan_sink* sink) {
  auto plan = std::make_unique<Plan>();
  plan->program = program;
  Planner planner(*program, args, sink);
  planner.units();
  planner.finish(*plan);
  if (program->device->tunes) plan->input = std::make_unique<PlanInput>(args);
  return plan;
}

}  // namespace tenon::opencl
