#include "tests/unit/cpu/op_harness.h"

#include <algorithm>
#include <barrier>
#include <functional>
#include <thread>

#include "tests/unit/cpu/fake_host.h"

namespace tenon::cpu::test {
namespace {

constexpr std::size_t guard = 64;
constexpr char guard_byte = 0x5b;

// n bytes at a 64-byte boundary between guards.
struct Memory {
  explicit Memory(std::uint64_t n) : bytes(n), storage(n + 3 * guard, guard_byte) {
    begin = reinterpret_cast<char*>((reinterpret_cast<std::uintptr_t>(storage.data()) + 2 * guard - 1) / guard * guard);
    std::fill(begin, begin + n, static_cast<char>(0xcd));
  }
  bool intact() const {
    return std::all_of(storage.data(), static_cast<const char*>(begin), [](char c) { return c == guard_byte; }) &&
           std::all_of(static_cast<const char*>(begin) + bytes, storage.data() + storage.size(), [](char c) { return c == guard_byte; });
  }
  std::uint64_t bytes;
  std::vector<char> storage;
  char* begin;
};

float half_to_float(std::uint16_t bits, std::int32_t dtype) {
  if (dtype == TENON_DTYPE_BFLOAT16) {
    const std::uint32_t wide = std::uint32_t{bits} << 16;
    float f;
    std::memcpy(&f, &wide, sizeof f);
    return f;
  }
  _Float16 h;
  std::memcpy(&h, &bits, sizeof h);
  return static_cast<float>(h);
}
std::uint16_t float_to_half(float f, std::int32_t dtype) {
  std::uint16_t bits;
  if (dtype == TENON_DTYPE_BFLOAT16) {
    std::uint32_t wide;
    std::memcpy(&wide, &f, sizeof wide);
    if (f != f) return 0x7fc0;
    return static_cast<std::uint16_t>((wide + 0x7fff + ((wide >> 16) & 1)) >> 16);
  }
  const auto h = static_cast<_Float16>(f);
  std::memcpy(&bits, &h, sizeof bits);
  return bits;
}
// As kernels see it: half types widened.
Tensor widened(const Tensor& t) {
  if (compute_dtype(t.dtype) == t.dtype) return t;
  std::vector<float> wide;
  for (std::uint16_t h : t.as<std::uint16_t>()) wide.push_back(half_to_float(h, t.dtype));
  return tensor<float>(t.dims, wide);
}
// [N, C, spatial...] to and from [N, C / block, spatial..., block].
std::vector<float> reblocked(const std::vector<float>& x, const std::vector<std::int64_t>& dims, std::int64_t from, std::int64_t to) {
  std::int64_t inner = 1;
  for (std::size_t i = 2; i < dims.size(); ++i) inner *= dims[i];
  const auto at = [&](std::int64_t n, std::int64_t c, std::int64_t s, std::int64_t b) {
    return b == 0 ? (n * dims[1] + c) * inner + s : ((n * (dims[1] / b) + c / b) * inner + s) * b + c % b;
  };
  std::vector<float> y(x.size());
  for (std::int64_t n = 0; n < dims[0]; ++n)
    for (std::int64_t c = 0; c < dims[1]; ++c)
      for (std::int64_t s = 0; s < inner; ++s) y[static_cast<std::size_t>(at(n, c, s, to))] = x[static_cast<std::size_t>(at(n, c, s, from))];
  return y;
}

}  // namespace

std::uint64_t bytes_of(std::int32_t dtype, std::int64_t n) {
  const auto u = static_cast<std::uint64_t>(n);
  switch (dtype) {
    case TENON_DTYPE_FLOAT: case TENON_DTYPE_INT32: case TENON_DTYPE_UINT32: return 4 * u;
    case TENON_DTYPE_INT64: case TENON_DTYPE_UINT64: case TENON_DTYPE_DOUBLE: case TENON_DTYPE_COMPLEX64: return 8 * u;
    case TENON_DTYPE_COMPLEX128: return 16 * u;
    case TENON_DTYPE_FLOAT16: case TENON_DTYPE_BFLOAT16: case TENON_DTYPE_INT16: case TENON_DTYPE_UINT16: return 2 * u;
    case TENON_DTYPE_INT4: case TENON_DTYPE_UINT4: case TENON_DTYPE_FLOAT4E2M1: return (u + 1) / 2;
    case TENON_DTYPE_INT2: case TENON_DTYPE_UINT2: return (u + 3) / 4;
    case TENON_DTYPE_STRING: return 0;
    default: return u;
  }
}

Tensor random_tensor(std::vector<std::int64_t> dims, std::uint32_t seed) {
  Tensor shape{TENON_DTYPE_FLOAT, dims, {}, {}};
  std::vector<float> data(static_cast<std::size_t>(shape.count()));
  for (float& f : data) {
    seed = seed * 1664525u + 1013904223u;
    f = static_cast<float>(seed >> 8) / static_cast<float>(1 << 23) - 1.0f;
  }
  return tensor<float>(std::move(dims), data);
}

// ---- the graph --------------------------------------------------------------------------------------------------------

struct Value {
  std::string name;
  std::int32_t dtype = 0;
  std::vector<std::int64_t> dims, actual;
  bool constant = false, input = false, known = false;
  Tensor data, wide;  // given, and as kernels see it
  std::vector<tenon_str> texts, wide_texts;
  std::vector<std::uint32_t> symbols;
  std::vector<std::int64_t> min, max, opt;
};
struct Node {
  std::string op_type, domain, name;
  std::vector<std::uint32_t> inputs, outputs;
  std::vector<Attr> attributes;
  std::vector<tenon_attr> raw;
};
struct Unit {
  std::unique_ptr<Op> op;
  std::vector<std::uint32_t> inputs, outputs, nodes;
};
struct Step {
  std::string name;
  void (*fn)(const void*, const StepContext&);
  const void* params;
  StepOptions options;
};

struct OpTest::Impl {
  std::vector<FamilyRows> families;
  std::vector<Value> values;
  std::vector<Node> nodes;
  tenon_graph view{};
  std::vector<tenon_node> raw_nodes;
  std::vector<tenon_value> raw_values;
  std::vector<std::unique_ptr<std::vector<tenon_str>>> text_lists;
  std::vector<std::unique_ptr<tenon_const_tensor>> tensors;
  bool built = false;

  std::uint32_t index(const std::string& name) {
    if (name.empty()) return TENON_NO_VALUE;
    for (std::uint32_t i = 0; i < values.size(); ++i)
      if (values[i].name == name) return i;
    values.push_back({});
    values.back().name = name;
    return static_cast<std::uint32_t>(values.size() - 1);
  }
  Value& given(const std::string& name, Tensor t) {
    Value& v = values[index(name)];
    v.dtype = t.dtype, v.dims = v.actual = t.dims;
    v.wide = widened(t);
    v.data = std::move(t);
    built = false;
    return v;
  }
  const OpRow* row(const Node& n) const {
    for (FamilyRows family : families)
      for (const OpRow& r : family())
        if (n.domain == r.domain && n.op_type == r.op_type) return &r;
    return nullptr;
  }
  static tenon_str str(const std::string& s) { return {s.data(), s.size()}; }
  static std::vector<tenon_str> strs(const std::vector<std::string>& list) {
    std::vector<tenon_str> out;
    for (const std::string& s : list) out.push_back(str(s));
    return out;
  }
  static tenon_const_tensor const_tensor(const Tensor& t, const std::vector<tenon_str>& texts) {
    if (t.dtype == TENON_DTYPE_STRING) return {sizeof(tenon_const_tensor), t.dtype, t.dims.data(), t.dims.size(), texts.data(), texts.size() * sizeof(tenon_str)};
    return {sizeof(tenon_const_tensor), t.dtype, t.dims.data(), t.dims.size(), t.bytes.data(), t.bytes.size()};
  }
  template <class T>
  void fill(tenon_attr& a, const T& v) {
    a.count = 1;
    if constexpr (std::is_same_v<T, float>) a.type = 1, a.data = &v;
    else if constexpr (std::is_same_v<T, std::int64_t>) a.type = 2, a.data = &v;
    else if constexpr (std::is_same_v<T, std::vector<float>>) a.type = 6, a.data = v.data(), a.count = v.size();
    else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) a.type = 7, a.data = v.data(), a.count = v.size();
    else if constexpr (std::is_same_v<T, Tensor>) {
      text_lists.push_back(std::make_unique<std::vector<tenon_str>>(strs(v.strings)));
      tensors.push_back(std::make_unique<tenon_const_tensor>(const_tensor(v, *text_lists.back())));
      a.type = 4, a.data = tensors.back().get();
    } else {
      const bool one = std::is_same_v<T, std::string>;
      text_lists.push_back(std::make_unique<std::vector<tenon_str>>());
      if constexpr (std::is_same_v<T, std::string>) text_lists.back()->push_back(str(v));
      else *text_lists.back() = strs(v);
      a.type = one ? 3 : 8, a.data = text_lists.back()->data(), a.count = text_lists.back()->size();
    }
  }
  void build() {
    if (built) return;
    raw_values.assign(values.size(), {});
    for (std::size_t i = 0; i < values.size(); ++i) {
      Value& v = values[i];
      v.texts = strs(v.data.strings), v.wide_texts = strs(v.wide.strings);
      v.symbols.assign(v.dims.size(), 0);
      v.min = v.max = v.opt = v.dims;
      for (std::size_t d = 0; d < v.dims.size(); ++d)
        if (v.dims[d] < 0) v.min[d] = 0, v.max[d] = INT64_MAX, v.opt[d] = v.actual[d] < 0 ? 1 : v.actual[d];
      raw_values[i] = {sizeof(tenon_value), v.dtype, TENON_KIND_TENSOR, static_cast<std::int32_t>(v.dims.size()), 0, str(v.name), v.dims.data(),
                       v.symbols.data(), v.min.data(), v.max.data(), v.opt.data(), v.constant ? i + 1 : 0};
    }
    raw_nodes.assign(nodes.size(), {});
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      Node& n = nodes[i];
      n.raw.assign(n.attributes.size(), {});
      for (std::size_t a = 0; a < n.raw.size(); ++a) {
        n.raw[a].struct_size = sizeof(tenon_attr);
        n.raw[a].name = str(n.attributes[a].name);
        std::visit([&](const auto& v) { fill(n.raw[a], v); }, n.attributes[a].value);
      }
      tenon_node& r = raw_nodes[i];
      r.struct_size = sizeof r;
      r.form = 1;
      r.domain = str(n.domain), r.op_type = str(n.op_type), r.name = str(n.name);
      r.inputs = n.inputs.data(), r.outputs = n.outputs.data();
      r.input_count = static_cast<std::uint32_t>(n.inputs.size()), r.output_count = static_cast<std::uint32_t>(n.outputs.size());
      r.attributes = {n.raw.data(), n.raw.size(), sizeof(tenon_attr), 0};
    }
    view.struct_size = sizeof view;
    view.nodes = {raw_nodes.data(), raw_nodes.size(), sizeof(tenon_node), 0};
    view.values = {raw_values.data(), raw_values.size(), sizeof(tenon_value), 0};
    built = true;
  }
  std::vector<Unit> compile(const RunOptions& options, CompileContext& context);
};

// ---- compile ------------------------------------------------------------------------------------------------------------

namespace {

class TestCompile final : public CompileContext {
 public:
  TestCompile(const std::vector<Value>& values, const Options& options) : values_(values), options_(options) {}
  const Options& options() const override { return options_; }
  tenon_const_tensor constant(const NodeView& node, std::uint32_t i) override {
    const Value& v = value(node, i);
    return as_const(v.wide, v.wide_texts);
  }
  tenon_const_tensor raw_constant(const NodeView& node, std::uint32_t i) override {
    const Value& v = value(node, i);
    return as_const(v.data, v.texts);
  }
  const void* packed(const NodeView& node, std::uint32_t i, std::string_view, std::uint64_t bytes,
                     const std::function<void(const tenon_const_tensor&, void*)>& fill) override {
    void* p = alloc(bytes);
    fill(constant(node, i), p);
    return p;
  }
  void* alloc(std::uint64_t bytes) override { return memory_.emplace_back(std::make_unique<Memory>(bytes))->begin; }

 private:
  static tenon_const_tensor as_const(const Tensor& t, const std::vector<tenon_str>& texts) {
    const bool text = t.dtype == TENON_DTYPE_STRING;
    return {sizeof(tenon_const_tensor), t.dtype, t.dims.data(), t.dims.size(), text ? static_cast<const void*>(texts.data()) : t.bytes.data(),
            text ? texts.size() * sizeof(tenon_str) : t.bytes.size()};
  }
  const Value& value(const NodeView& node, std::uint32_t i) const {
    if (!node.is_constant(i)) throw Failure{TENON_INTERNAL, "constant() of an input that is not constant"};
    return values_[node.raw().inputs[i]];
  }
  const std::vector<Value>& values_;
  Options options_;
  std::vector<std::unique_ptr<Memory>> memory_;
};

bool pristine(const Unit& u) { return u.op && u.nodes.size() == 1; }
std::size_t uses(const std::vector<Unit>& units, std::uint32_t value) {
  std::size_t n = 0;
  for (const Unit& u : units)
    if (u.op) n += static_cast<std::size_t>(std::count(u.inputs.begin(), u.inputs.end(), value));
  return n;
}

}  // namespace

std::vector<Unit> OpTest::Impl::compile(const RunOptions& options, CompileContext& context) {
  build();
  std::vector<Unit> units;
  for (std::uint32_t n = 0; n < nodes.size(); ++n) {
    const OpRow* r = row(nodes[n]);
    if (!r) throw Failure{TENON_UNIMPLEMENTED, "refused: no row for " + nodes[n].op_type};
    const NodeView node(view, n);
    if (const Support s = r->supports(node); s.reason != 0) throw Failure{TENON_UNIMPLEMENTED, "refused " + std::to_string(s.reason) + ": " + s.text};
    units.push_back({r->make(node, context), nodes[n].inputs, nodes[n].outputs, {n}});
  }
  if (!options.fuse) return units;
  const auto first_taken = [](const Unit& u) { return std::max(first_absorbed_input, static_cast<std::uint32_t>(u.inputs.size())); };
  const auto producer = [&](std::uint32_t v) -> Unit* {
    for (Unit& u : units)
      if (u.op && !u.outputs.empty() && u.outputs[0] == v) return &u;
    return nullptr;
  };
  for (Unit& u : units)
    for (std::uint32_t slot = 0; u.op && slot < u.inputs.size(); ++slot) {
      Unit* p = u.inputs[slot] == TENON_NO_VALUE ? nullptr : producer(u.inputs[slot]);
      if (!p || !pristine(*p) || uses(units, u.inputs[slot]) != 1) continue;
      if (!u.op->pull(NodeView(view, p->nodes[0]), slot, first_taken(u), context)) continue;
      u.inputs.resize(first_taken(u), TENON_NO_VALUE);
      u.inputs[slot] = p->inputs[0];
      u.inputs.insert(u.inputs.end(), p->inputs.begin() + 1, p->inputs.end());
      u.nodes.push_back(p->nodes[0]);
      p->op.reset();
    }
  for (std::size_t i = 0; i < units.size(); ++i)
    for (bool again = true; again && units[i].op;) {
      again = false;
      for (std::size_t j = i + 1; j < units.size() && !again; ++j) {
        Unit &u = units[i], &next = units[j];
        const auto at = std::find(next.inputs.begin(), next.inputs.end(), u.outputs[0]);
        if (!pristine(next) || at == next.inputs.end() || uses(units, u.outputs[0]) != 1) continue;
        const auto slot = static_cast<std::uint32_t>(at - next.inputs.begin());
        if (!u.op->absorb(NodeView(view, next.nodes[0]), slot, first_taken(u), context)) break;
        u.inputs.resize(first_taken(u), TENON_NO_VALUE);
        for (std::uint32_t k = 0; k < next.inputs.size(); ++k)
          if (k != slot) u.inputs.push_back(next.inputs[k]);
        u.outputs[0] = next.outputs[0];
        u.nodes.push_back(next.nodes[0]);
        next.op.reset();
        std::swap(units[i], units[j]);  // it stands where the last absorbed node stood
        i = j, again = true;
      }
    }
  std::erase_if(units, [](const Unit& u) { return !u.op; });
  return units;
}

// ---- run ------------------------------------------------------------------------------------------------------------------

namespace {

// The memory of a value, dense or blocked, as kernels see it.
struct Place {
  std::shared_ptr<Memory> memory;
  std::vector<std::string> strings;
  std::vector<std::int64_t> dims;
  std::int32_t block = 0;
};

class TestBuilder final : public PlanBuilder {
 public:
  TestBuilder(const Options& options, std::uint32_t workers, std::uint32_t value_count) : options_(options), workers_(workers), first_temp_(value_count) {}

  const Options& options() const override { return options_; }
  const Shape& in(std::uint32_t i) const override { return i < ins.size() ? ins[i] : omitted_; }
  const Shape& out(std::uint32_t i) const override { return i < outs.size() ? outs[i] : omitted_; }
  Ref in_ref(std::uint32_t i) const override { return i < in_refs.size() ? in_refs[i] : Ref{}; }
  Ref out_ref(std::uint32_t i) const override { return i < out_refs.size() ? out_refs[i] : Ref{}; }
  std::uint32_t out_operand(std::uint32_t i) const override { return out_ref(i).operand; }
  Ref temp(std::uint64_t bytes) override {
    temps.push_back(std::make_unique<Memory>(bytes));
    return {first_temp_ + static_cast<std::uint32_t>(temps.size() - 1), nullptr};
  }
  Ref scratch(std::uint64_t bytes) override { return temp((bytes + 63) / 64 * 64 * workers_); }
  void inplace(std::uint32_t i, std::uint32_t o) override { pairs.emplace_back(i, o); }
  void hold(std::shared_ptr<const void> object) override { held_.push_back(std::move(object)); }

  std::vector<Shape> ins, outs;
  std::vector<Ref> in_refs, out_refs;
  std::vector<std::unique_ptr<Memory>> temps;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
  std::vector<Step> steps;

 protected:
  void* store(const void* data, std::size_t bytes, std::size_t alignment) override {
    if (alignment > 64) throw Failure{TENON_INTERNAL, "a functor with an alignment over 64"};
    auto& m = params_.emplace_back(std::make_unique<Memory>(bytes));
    if (bytes) std::memcpy(m->begin, data, bytes);
    return m->begin;
  }
  void emit(const char* name, StepFn fn, const void* params, const StepOptions& options, std::span<const Ref>, std::span<const Ref>) override {
    steps.push_back({name, fn, params, options});
  }

 private:
  const Options& options_;
  std::uint32_t workers_, first_temp_;
  Shape omitted_;
  std::vector<std::unique_ptr<Memory>> params_;
  std::vector<std::shared_ptr<const void>> held_;
};

void run_step(const Step& step, const StepContext& context, std::uint32_t workers, bool threads) {
  const auto one = [&](std::uint32_t w, std::uint32_t n) {
    StepContext c = context;
    c.worker = w, c.workers = n;
    step.fn(step.params, c);
  };
  if (!step.options.spmd || step.options.allocates || workers == 1) return one(0, 1);
  if (!threads) {
    // Workers in turn never meet.
    context.run->barrier = [&] {
      context.fail(TENON_INTERNAL, "a step with a barrier inside needs RunOptions::threads");
      return TENON_STOP;
    };
    for (std::uint32_t w = 0; w < workers; ++w) one(w, workers);
    return;
  }
  std::barrier meet(workers);
  context.run->barrier = [&] { return meet.arrive_and_wait(), 0; };
  std::vector<std::thread> team;
  for (std::uint32_t w = 0; w < workers; ++w) team.emplace_back(one, w, workers);
  for (std::thread& t : team) t.join();
}

}  // namespace

OpTest::OpTest(std::vector<FamilyRows> families) : impl_(std::make_unique<Impl>()) { impl_->families = std::move(families); }
OpTest::~OpTest() = default;
void OpTest::input(const std::string& name, Tensor t) { impl_->given(name, std::move(t)).input = true; }
void OpTest::known_input(const std::string& name, Tensor t) {
  Value& v = impl_->given(name, std::move(t));
  v.input = v.known = true;
}
void OpTest::constant(const std::string& name, Tensor t) { impl_->given(name, std::move(t)).constant = true; }
void OpTest::value(const std::string& name, std::int32_t dtype, std::vector<std::int64_t> dims, std::vector<std::int64_t> actual) {
  Value& v = impl_->values[impl_->index(name)];
  v.dtype = dtype, v.actual = actual.empty() && !dims.empty() ? dims : std::move(actual), v.dims = std::move(dims);
  impl_->built = false;
}
void OpTest::symbolic(const std::string& name, std::vector<std::int64_t> dims) {
  impl_->values[impl_->index(name)].dims = std::move(dims);
  impl_->built = false;
}
void OpTest::node(const std::string& op_type, std::vector<std::string> inputs, std::vector<std::string> outputs, std::vector<Attr> attributes,
                  const std::string& domain) {
  Node n{op_type, domain, op_type + std::to_string(impl_->nodes.size()), {}, {}, std::move(attributes), {}};
  for (const std::string& s : inputs) n.inputs.push_back(impl_->index(s));
  for (const std::string& s : outputs) n.outputs.push_back(impl_->index(s));
  impl_->nodes.push_back(std::move(n));
  impl_->built = false;
}
const tenon_graph& OpTest::graph() {
  impl_->build();
  return impl_->view;
}
tenon_const_tensor OpTest::constant_bytes(std::uint64_t const_id) {
  impl_->build();
  const Value& v = impl_->values.at(const_id - 1);
  return Impl::const_tensor(v.data, v.texts);
}
std::uint32_t OpTest::index(const std::string& name) { return impl_->index(name); }
const Tensor* OpTest::input_data(std::uint32_t i) const { return impl_->values[i].input ? &impl_->values[i].data : nullptr; }
bool OpTest::known(std::uint32_t i) const { return impl_->values[i].known; }
std::vector<std::int64_t> OpTest::actual_dims(std::uint32_t i) const { return impl_->values[i].actual; }

Results OpTest::run(const RunOptions& options) {
  Results results;
  std::vector<Value>& values = impl_->values;
  Options op_options{options.plain, options.plain ? Isa::plain : options.isa, options.workers, options.precision};
  TestCompile context(values, op_options);
  tenon_task task;
  const auto failed = [&](std::int32_t code, const std::string& text) {
    results.code = code, results.error = std::to_string(code) + ": " + text;
    if (text.starts_with("refused")) results.error = text;
    return results;
  };
  std::map<std::uint32_t, Place> places;
  for (std::uint32_t v = 0; v < values.size(); ++v)
    if (values[v].input) {
      Place& p = places[v];
      p.dims = values[v].data.dims, p.strings = values[v].wide.strings;
      p.memory = std::make_shared<Memory>(values[v].wide.bytes.size());
      std::copy(values[v].wide.bytes.begin(), values[v].wide.bytes.end(), p.memory->begin);
    }
  try {
    std::vector<Unit> units = impl_->compile(options, context);
    for (std::size_t n = 0; n < units.size(); ++n) {
      Unit& unit = units[n];
      std::vector<std::int32_t> want(unit.inputs.size(), 0);
      for (std::size_t i = 0; i < unit.inputs.size(); ++i)
        if (places.count(unit.inputs[i])) want[i] = places[unit.inputs[i]].block;
      const std::int32_t made = unit.op->layout(want, options.block);
      TestBuilder builder(op_options, options.workers, static_cast<std::uint32_t>(values.size()));
      // Operands: values by their number, then temps.
      std::vector<tenon_address> addresses(values.size(), tenon_address{});
      const auto address = [](Place& p, std::int32_t dtype) {
        if (dtype == TENON_DTYPE_STRING) return tenon_address{&p.strings, 0, p.strings.size()};
        return tenon_address{p.memory->begin, 0, p.memory->bytes};
      };
      for (std::size_t i = 0; i < unit.inputs.size(); ++i) {
        builder.ins.emplace_back(), builder.in_refs.emplace_back();
        const std::uint32_t v = unit.inputs[i];
        if (v == TENON_NO_VALUE) continue;
        Value& value = values[v];
        Shape& shape = builder.ins.back();
        shape.dtype = compute_dtype(value.dtype), shape.block = want[i];
        if (value.constant) {
          const void* data = value.dtype == TENON_DTYPE_STRING ? static_cast<const void*>(value.wide_texts.data()) : value.wide.bytes.data();
          static const std::int64_t nothing = 0;
          builder.in_refs.back().constant = data ? data : &nothing;
          shape.dims = value.wide.dims, shape.known = data ? data : &nothing;
          if (want[i] != 0) throw Failure{TENON_INTERNAL, "the harness reorders no constants"};
          continue;
        }
        if (!places.count(v)) throw Failure{TENON_INTERNAL, "value \"" + value.name + "\" is read before it is made"};
        Place& p = places[v];
        shape.dims = p.dims;
        if (value.known) shape.known = p.memory->begin;
        if (p.block != want[i]) {
          Tensor t{TENON_DTYPE_FLOAT, p.dims, std::vector<char>(p.memory->begin, p.memory->begin + p.memory->bytes), {}};
          const Tensor moved = tensor<float>(p.dims, reblocked(t.as<float>(), p.dims, p.block, want[i]));
          p.memory = std::make_shared<Memory>(moved.bytes.size());
          std::copy(moved.bytes.begin(), moved.bytes.end(), p.memory->begin);
          p.block = want[i];
        }
        addresses[v] = address(p, value.dtype);
        builder.in_refs.back().operand = v;
      }
      for (std::size_t o = 0; o < unit.outputs.size(); ++o) {
        builder.outs.emplace_back(), builder.out_refs.emplace_back();
        const std::uint32_t v = unit.outputs[o];
        if (v == TENON_NO_VALUE) continue;
        Value& value = values[v];
        if (value.dtype == 0) throw Failure{TENON_INTERNAL, "value \"" + value.name + "\" has no type: declare it with value()"};
        builder.outs.back().dtype = compute_dtype(value.dtype), builder.outs.back().dims = value.actual;
        builder.outs.back().block = o == 0 ? made : 0;
        builder.out_refs.back().operand = v;
        Place& p = places[v];
        p.dims = value.actual, p.block = o == 0 ? made : 0;
        if (std::find(p.dims.begin(), p.dims.end(), -1) != p.dims.end()) continue;  // alloc_output brings memory
        const std::int64_t count = builder.outs.back().count();
        p.memory = std::make_shared<Memory>(bytes_of(compute_dtype(value.dtype), count));
        if (value.dtype == TENON_DTYPE_STRING) p.strings.assign(static_cast<std::size_t>(count), "");
        addresses[v] = address(p, value.dtype);
      }
      unit.op->plan(builder);
      for (auto& [i, o] : builder.pairs) {
        if (!options.inplace || !builder.in_ref(i).present() || builder.in_ref(i).constant || !builder.out_ref(o).present()) continue;
        const std::uint32_t from = unit.inputs[i], to = unit.outputs[o];
        if (addresses[from].bytes != addresses[to].bytes || std::count(unit.inputs.begin(), unit.inputs.end(), from) != 1) continue;
        std::copy_n(places[from].memory->begin, addresses[from].bytes, places[to].memory->begin);
        addresses[from] = addresses[to];
        break;
      }
      for (auto& m : builder.temps) addresses.push_back({m->begin, 0, m->bytes});
      task.alloc = [&](std::uint32_t operand, std::vector<std::int64_t> dims) {
        Place& p = places.at(operand);
        p.dims = std::move(dims);
        Tensor t{values[operand].dtype, p.dims, {}, {}};
        p.memory = std::make_shared<Memory>(bytes_of(compute_dtype(t.dtype), t.count()));
        if (t.dtype == TENON_DTYPE_STRING) p.strings.assign(static_cast<std::size_t>(t.count()), "");
        return address(p, t.dtype);
      };
      for (const Step& step : builder.steps) {
        results.steps.push_back(step.name);
        run_step(step, {addresses.data(), 0, options.workers, &task, &fake_host(), nullptr}, options.workers, options.threads);
        if (task.code != TENON_OK) return failed(task.code, task.text);
        for (std::size_t t = 0; t < builder.temps.size(); ++t)
          if (!builder.temps[t]->intact()) return failed(TENON_INTERNAL, "step " + step.name + " writes outside its temp " + std::to_string(t));
        for (auto& [v, p] : places)
          if (p.memory && !p.memory->intact()) return failed(TENON_INTERNAL, "step " + step.name + " writes outside \"" + values[v].name + "\"");
      }
    }
  } catch (const Failure& f) {
    return failed(f.code, f.text);
  }
  for (auto& [v, p] : places) {
    if (values[v].input) continue;
    Tensor t{compute_dtype(values[v].dtype), p.dims, {}, p.strings};
    if (p.memory) t.bytes.assign(p.memory->begin, p.memory->begin + p.memory->bytes);
    if (p.block) t = tensor<float>(p.dims, reblocked(t.as<float>(), p.dims, p.block, 0));
    if (t.dtype != values[v].dtype) {
      std::vector<std::uint16_t> narrow;
      for (float f : t.as<float>()) narrow.push_back(float_to_half(f, values[v].dtype));
      t = tensor<std::uint16_t>(p.dims, narrow, values[v].dtype);
    }
    results.values[values[v].name] = std::move(t);
  }
  return results;
}

}  // namespace tenon::cpu::test
