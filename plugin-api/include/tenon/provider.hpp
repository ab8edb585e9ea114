// tenon provider ABI, C++20 sugar: header-only, no part of the ABI; everything here ends in the C tables of provider.h.
//
// What: views over spans and graphs, an exception barrier for every entry, and Kernels: a provider made of a table
// {operator, supports, run}, with query, compile, plan and execute written for it. A provider that fuses or owns streams
// fills the C table itself and still uses the views.
// Owns: views borrow from the call that handed them in. Threads: run may be called by several threads at once.
#pragma once

#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "provider.h"

namespace tenon::plugin {

inline tenon_str str(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view view(tenon_str s) { return s.data ? std::string_view(s.data, s.size) : std::string_view(); }

// Throw it from any function below; it becomes a status with this code (TENON_*) and text.
struct Error {
  std::int32_t code = TENON_UNKNOWN;
  std::string text;
};
[[noreturn]] inline void raise(std::int32_t code, std::string text) { throw Error{code, std::move(text)}; }
// A status that the host made: thrown by Host::check, handed back as it is.
struct HostError {
  tenon_status* status;
};

// Elements of a tenon_span, walked by its stride: newer hosts may use longer structs.
template <class T>
class Span {
 public:
  Span(const tenon_span& s) : data_(static_cast<const char*>(s.data)), count_(s.count), stride_(s.stride) {}
  std::size_t size() const { return count_; }
  const T& operator[](std::size_t i) const { return *reinterpret_cast<const T*>(data_ + i * stride_); }

 private:
  const char* data_;
  std::size_t count_, stride_;
};
template <class T>
const T& element(const tenon_span& span, std::uint64_t i) {
  return Span<T>(span)[i];
}

// Runs fn and turns what it throws into a status of the host. Every entry of a C++ provider goes through it.
template <class Fn>
tenon_status* guarded(const tenon_host_api* api, tenon_host* host, Fn&& fn) noexcept {
  try {
    fn();
    return nullptr;
  } catch (const HostError& e) {
    return e.status;
  } catch (const Error& e) {
    return api->status_new(host, e.code, 0, str(e.text));
  } catch (const std::bad_alloc&) {
    return api->status_new(host, TENON_RESOURCE_EXHAUSTED, 0, str("no memory"));
  } catch (const std::exception& e) {
    return api->status_new(host, TENON_INTERNAL, 0, str(e.what()));
  } catch (...) {
    return api->status_new(host, TENON_UNKNOWN, 0, str("an exception of an unknown type"));
  }
}

// The host's table as C++: what create got, copied by value; the table outlives the provider. Any thread.
struct Host {
  const tenon_host_api* api = nullptr;
  tenon_host* context = nullptr;

  tenon_status* status(std::int32_t code, std::string_view text) const { return api->status_new(context, code, 0, str(text)); }
  // Throws HostError unless status is null.
  void check(tenon_status* status) const {
    if (status) throw HostError{status};
  }
  void log(std::int32_t level, std::string_view text) const {
    if (api->log_enabled(context, level)) api->log(context, level, str(text));
  }
  // Options by JSON pointer; fallback where the configuration (may be null) does not say.
  bool bool_or(const tenon_config* config, std::string_view pointer, bool fallback) const {
    std::int32_t value = 0;
    return read(config, pointer, TENON_CONFIG_BOOL, &value) ? value != 0 : fallback;
  }
  std::int64_t int_or(const tenon_config* config, std::string_view pointer, std::int64_t fallback) const {
    std::int64_t value = 0;
    return read(config, pointer, TENON_CONFIG_INT, &value) ? value : fallback;
  }
  std::string text_or(const tenon_config* config, std::string_view pointer, std::string_view fallback) const {
    tenon_str value{};
    return std::string(read(config, pointer, TENON_CONFIG_STRING, &value) ? view(value) : fallback);
  }

 private:
  bool read(const tenon_config* config, std::string_view pointer, std::int32_t type, void* value) const {
    return config && api->config_get(config, str(pointer), type, value) == 1;
  }
};

template <class Fn>
tenon_status* guarded(const Host& host, Fn&& fn) noexcept {
  return guarded(host.api, host.context, std::forward<Fn>(fn));
}

// A node of a graph view with checked access.
class Node {
 public:
  Node(const tenon_graph& graph, std::uint32_t index) : graph_(&graph), index_(index) {}

  std::uint32_t index() const { return index_; }
  const tenon_graph& graph() const { return *graph_; }
  const tenon_node& raw() const { return Span<tenon_node>(graph_->nodes)[index_]; }
  std::string_view op_type() const { return view(raw().op_type); }
  std::string_view domain() const { return view(raw().domain); }
  std::string_view name() const { return view(raw().name); }
  std::size_t input_count() const { return raw().input_count; }
  std::size_t output_count() const { return raw().output_count; }
  // null where the operand is omitted.
  const tenon_value* input(std::size_t i) const { return value(i < input_count() ? raw().inputs[i] : TENON_NO_VALUE); }
  const tenon_value* output(std::size_t i) const { return value(i < output_count() ? raw().outputs[i] : TENON_NO_VALUE); }
  const tenon_attr* attribute(std::string_view name) const {
    const Span<tenon_attr> all(raw().attributes);
    for (std::size_t i = 0; i < all.size(); ++i)
      if (view(all[i].name) == name) return &all[i];
    return nullptr;
  }
  // The attribute, or the fallback when it is absent or of another type.
  std::int64_t integer(std::string_view name, std::int64_t fallback) const {
    const tenon_attr* a = attribute(name);
    return a && a->type == 2 ? *static_cast<const std::int64_t*>(a->data) : fallback;
  }
  float number(std::string_view name, float fallback) const {
    const tenon_attr* a = attribute(name);
    return a && a->type == 1 ? *static_cast<const float*>(a->data) : fallback;
  }
  std::string text(std::string_view name, std::string_view fallback) const {
    const tenon_attr* a = attribute(name);
    return std::string(a && a->type == 3 ? view(*static_cast<const tenon_str*>(a->data)) : fallback);
  }
  std::vector<std::int64_t> integers(std::string_view name) const {
    const tenon_attr* a = attribute(name);
    if (!a || a->type != 7) return {};
    return {static_cast<const std::int64_t*>(a->data), static_cast<const std::int64_t*>(a->data) + a->count};
  }
  std::vector<float> numbers(std::string_view name) const {
    const tenon_attr* a = attribute(name);
    if (!a || a->type != 6) return {};
    return {static_cast<const float*>(a->data), static_cast<const float*>(a->data) + a->count};
  }

 private:
  const tenon_value* value(std::uint32_t v) const { return v == TENON_NO_VALUE ? nullptr : &Span<tenon_value>(graph_->values)[v]; }
  const tenon_graph* graph_;
  std::uint32_t index_;
};

// An operand of a running kernel: dense, row-major. dtype 0: omitted.
struct Tensor {
  std::int32_t dtype = TENON_DTYPE_UNDEFINED;
  std::span<const std::int64_t> dims;
  void* data = nullptr;

  std::int64_t count() const {
    std::int64_t n = 1;
    for (std::int64_t d : dims) n *= d;
    return n;
  }
  template <class T>
  T* as() const { return static_cast<T*>(data); }
};

// What run gets. prepared is what the kernel's prepare made of the node.
struct Call {
  std::span<const Tensor> inputs;
  std::span<const Tensor> outputs;
  const void* prepared = nullptr;
  const tenon_host_api* host = nullptr;
  tenon_task* task = nullptr;
};

struct Refusal {
  std::int32_t reason;  // TENON_REJECT_*
  std::string text;
};

// One operator. supports: nothing means yes. prepare (optional) reads attributes once, in compile. run throws Error.
struct Kernel {
  std::string domain, op_type;
  std::function<std::optional<Refusal>(const Node&)> supports;
  std::function<std::shared_ptr<const void>(const Node&)> prepare;
  std::function<void(const Call&)> run;
  double est_ns = 0;  // 0: unknown
};

// A provider of plain kernels. Fill it once (static), give its description to tenon_provider_query:
//
//   TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
//     static tenon::plugin::Kernels provider("acme", "1.0", {relu_kernel});
//     return provider.describe(args);
//   }
//
// Devices with memory of their own set `domain`, the routes and the four memory functions before the first describe.
class Kernels {
 public:
  Kernels(std::string id, std::string version, std::vector<Kernel> kernels)
      : id_(std::move(id)), version_(std::move(version)), kernels_(std::move(kernels)) {
    domain.struct_size = sizeof domain;
    domain.uid = str("host");
    domain.base_align = domain.view_align = 64;
    device.struct_size = sizeof device;
    device.uid = str(id_);
    device.name = str(id_);
    self() = this;
  }

  tenon_domain domain{};
  std::vector<tenon_route> routes;
  tenon_device_info device{};
  tenon_provider_api api{};  // functions set here replace those below
  // Brings a constant's bytes into the form in which kernels read operands; nothing: as they are.
  std::function<void(std::span<char>)> adopt_constant;
  std::function<void*(const tenon_address&)> resolve = [](const tenon_address& a) -> void* { return static_cast<char*>(a.handle) + a.offset; };

  const tenon_provider_desc* describe(const tenon_query_args* args) {
    const std::int32_t minor = tenon_negotiate(args);
    if (minor < 0) return nullptr;
    fill(minor);
    desc_.struct_size = sizeof desc_;
    desc_.abi_major = TENON_ABI_MAJOR;
    desc_.abi_minor = static_cast<std::uint32_t>(minor);
    desc_.sanitizer = TENON_SANITIZER;
    desc_.header_hash = TENON_ABI_HEADER_HASH;
    desc_.id = str(id_);
    desc_.version = str(version_);
    desc_.api = &api;
    return &desc_;
  }
  const tenon_host_api* host_api() const { return host_api_; }
  tenon_host* host() const { return host_; }

 private:
  struct Step {
    const Kernel* kernel;
    std::shared_ptr<const void> prepared;
    std::vector<std::uint32_t> inputs, outputs;  // value indices, TENON_NO_VALUE
    std::uint32_t node;
    std::string name;
  };
  struct ConstantOperand {
    Tensor tensor;
    std::vector<std::int64_t> dims;
    std::vector<char> bytes;
  };
  struct Program {
    std::vector<Step> steps;
    std::vector<std::uint32_t> inputs, outputs;
    std::unordered_map<std::uint32_t, ConstantOperand> constants;
    std::unordered_map<std::uint32_t, std::int32_t> dtypes;
  };
  struct Operand {
    std::int32_t number = -1;  // -1: constant or omitted
    Tensor tensor;             // data set for constants
  };
  struct Plan {
    std::deque<std::vector<std::int64_t>> dims;
    std::vector<std::vector<Operand>> inputs, outputs;  // by step
  };

  static Kernels*& self() {
    static Kernels* instance = nullptr;
    return instance;
  }
  template <class Fn>
  static tenon_status* entry(Fn&& fn) {
    return guarded(self()->host_api_, self()->host_, std::forward<Fn>(fn));
  }

  void fill(std::int32_t minor) {
    api.struct_size = sizeof api;
    api.abi_major = TENON_ABI_MAJOR;
    api.abi_minor = static_cast<std::uint32_t>(minor);
    const auto set = [](auto& slot, auto fn) {
      if (!slot) slot = fn;
    };
    set(api.create, +[](const tenon_host_api* host, tenon_host* handle, const tenon_config*, tenon_provider** out) -> tenon_status* {
      self()->host_api_ = host;
      self()->host_ = handle;
      *out = reinterpret_cast<tenon_provider*>(self());
      return nullptr;
    });
    set(api.destroy, +[](tenon_provider*) {});
    set(api.enumerate, +[](tenon_provider*, tenon_span* out) -> tenon_status* {
      Kernels& k = *self();
      k.device.domains = {&k.domain, 1, sizeof(tenon_domain), 0};
      k.device.routes = {k.routes.data(), k.routes.size(), sizeof(tenon_route), 0};
      *out = {&k.device, 1, sizeof(tenon_device_info), 0};
      return nullptr;
    });
    set(api.device_open, +[](tenon_provider*, std::uint64_t, tenon_device** out) -> tenon_status* {
      *out = reinterpret_cast<tenon_device*>(self());
      return nullptr;
    });
    set(api.device_close, +[](tenon_device*) {});
    set(api.query, +[](tenon_device*, const tenon_query* q, tenon_query_sink* sink) { return entry([&] { self()->query(*q, sink); }); });
    set(api.compile, +[](tenon_device*, const tenon_part* part, const tenon_compile_options* options, tenon_program** out) {
      return entry([&] { *out = reinterpret_cast<tenon_program*>(self()->compile(*part, *options)); });
    });
    set(api.program_destroy, +[](tenon_program* p) { delete reinterpret_cast<Program*>(p); });
    set(api.program_plan, +[](tenon_program* p, const tenon_plan_args* args, tenon_plan_sink* sink, tenon_plan** out) {
      return entry([&] { *out = reinterpret_cast<tenon_plan*>(self()->plan(*reinterpret_cast<Program*>(p), *args, sink)); });
    });
    set(api.plan_destroy, +[](tenon_plan* p) { delete reinterpret_cast<Plan*>(p); });
    set(api.execute, +[](tenon_program* p, const tenon_execute_args* args) {
      return entry([&] { self()->execute(*reinterpret_cast<Program*>(p), *args); });
    });
  }

  const Kernel* find(const Node& node) const {
    for (const Kernel& k : kernels_)
      if (k.op_type == node.op_type() && k.domain == node.domain()) return &k;
    return nullptr;
  }

  void query(const tenon_query& q, tenon_query_sink* sink) {
    const std::size_t count = Span<tenon_node>(q.graph->nodes).size();
    for (std::uint32_t n = 0; n < count; ++n) {
      const Node node(*q.graph, n);
      if (node.raw().flags & TENON_NODE_HOST_EVALUATED) continue;
      const Kernel* kernel = find(node);
      std::optional<Refusal> no;
      if (!kernel) no = Refusal{TENON_REJECT_OP, "no kernel for this operator"};
      else if (kernel->supports) no = kernel->supports(node);
      if (no) {
        host_api_->reject(sink, n, no->reason, str(no->text));
        continue;
      }
      tenon_claim claim{};
      claim.struct_size = sizeof claim;
      claim.node_count = 1;
      claim.nodes = &n;
      claim.est_ns = kernel->est_ns;
      host_api_->claim(sink, &claim);
    }
  }

  Program* compile(const tenon_part& part, const tenon_compile_options& options) {
    auto program = std::make_unique<Program>();
    program->inputs.assign(part.inputs, part.inputs + part.input_count);
    program->outputs.assign(part.outputs, part.outputs + part.output_count);
    const Span<tenon_value> values(part.graph->values);
    const Span<tenon_chosen> claims(part.claims);
    for (std::size_t c = 0; c < claims.size(); ++c)
      for (std::uint32_t i = 0; i < claims[c].node_count; ++i) {
        const Node node(*part.graph, claims[c].nodes[i]);
        Step step{find(node), nullptr, {}, {}, node.index(), std::string(node.op_type())};
        if (!step.kernel) raise(TENON_INTERNAL, "compile got a node that was never claimed");
        if (step.kernel->prepare) step.prepared = step.kernel->prepare(node);
        step.inputs.assign(node.raw().inputs, node.raw().inputs + node.input_count());
        step.outputs.assign(node.raw().outputs, node.raw().outputs + node.output_count());
        for (std::uint32_t v : step.inputs) {
          if (v == TENON_NO_VALUE) continue;
          program->dtypes[v] = values[v].dtype;
          if (values[v].const_id && !program->constants.count(v)) fetch(*program, v, values[v].const_id, options.load);
        }
        for (std::uint32_t v : step.outputs)
          if (v != TENON_NO_VALUE) program->dtypes[v] = values[v].dtype;
        program->steps.push_back(std::move(step));
      }
    return program.release();
  }

  void fetch(Program& program, std::uint32_t value, std::uint64_t id, tenon_task* load) {
    tenon_const_tensor t{};
    t.struct_size = sizeof t;
    if (tenon_status* s = host_api_->const_data(load, id, &t)) {
      host_api_->status_free(s);
      raise(TENON_INTERNAL, "a constant could not be read");
    }
    ConstantOperand& c = program.constants[value];
    c.dims.assign(t.dims, t.dims + t.rank);
    c.bytes.assign(static_cast<const char*>(t.data), static_cast<const char*>(t.data) + t.bytes);
    if (adopt_constant) adopt_constant(c.bytes);
    c.tensor = {t.dtype, c.dims, c.bytes.data()};
  }

  Plan* plan(Program& program, const tenon_plan_args& args, tenon_plan_sink* sink) {
    auto plan = std::make_unique<Plan>();
    const Span<tenon_plan_value> values(args.values);
    std::unordered_map<std::uint32_t, std::uint32_t> number;
    for (std::uint32_t v : program.inputs) number.emplace(v, static_cast<std::uint32_t>(number.size()));
    for (std::uint32_t v : program.outputs) number.emplace(v, static_cast<std::uint32_t>(number.size()));
    const auto operand = [&](std::uint32_t v) -> Operand {
      if (v == TENON_NO_VALUE) return {};
      if (auto c = program.constants.find(v); c != program.constants.end()) return {-1, c->second.tensor};
      const tenon_plan_value& value = values[v];
      plan->dims.emplace_back(value.dims, value.dims + value.rank);
      Tensor tensor{program.dtypes[v], plan->dims.back(), nullptr};
      if (!number.count(v)) {
        tenon_temp temp{};
        temp.struct_size = sizeof temp;
        temp.bytes = static_cast<std::uint64_t>(tensor.count()) * element_bytes(tensor.dtype);
        host_api_->temp(sink, &temp);
        number.emplace(v, static_cast<std::uint32_t>(number.size()));
      }
      return {static_cast<std::int32_t>(number[v]), tensor};
    };
    for (std::uint32_t s = 0; s < program.steps.size(); ++s) {
      const Step& step = program.steps[s];
      std::vector<Operand>&in = plan->inputs.emplace_back(), &out = plan->outputs.emplace_back();
      std::vector<std::uint32_t> reads, writes;
      for (std::uint32_t v : step.inputs) in.push_back(operand(v));
      for (std::uint32_t v : step.outputs) out.push_back(operand(v));
      for (const Operand& o : in)
        if (o.number >= 0) reads.push_back(static_cast<std::uint32_t>(o.number));
      for (const Operand& o : out)
        if (o.number >= 0) writes.push_back(static_cast<std::uint32_t>(o.number));
      tenon_step raw{};
      raw.struct_size = sizeof raw;
      raw.stage = s;
      raw.name = str(step.name);
      raw.reads = reads.data(), raw.read_count = static_cast<std::uint32_t>(reads.size());
      raw.writes = writes.data(), raw.write_count = static_cast<std::uint32_t>(writes.size());
      raw.nodes = &step.node, raw.node_count = 1;
      host_api_->step(sink, &raw);
    }
    return plan.release();
  }

  void execute(Program& program, const tenon_execute_args& args) {
    const Plan& plan = *reinterpret_cast<const Plan*>(args.plan);
    std::vector<Tensor> in, out;
    for (std::uint64_t s = args.first_step; s < args.first_step + args.step_count; ++s) {
      if (host_api_->cancelled(args.run)) return;
      const auto bind = [&](const std::vector<Operand>& operands, std::vector<Tensor>& to) {
        to.clear();
        for (const Operand& o : operands) {
          to.push_back(o.tensor);
          if (o.number >= 0) to.back().data = resolve(args.addresses[o.number]);
        }
      };
      bind(plan.inputs[s], in);
      bind(plan.outputs[s], out);
      program.steps[s].kernel->run({in, out, program.steps[s].prepared.get(), host_api_, args.run});
    }
  }

 public:
  // Bytes of one element; throws for strings and packed types.
  static std::uint64_t element_bytes(std::int32_t dtype) {
    switch (dtype) {
      case TENON_DTYPE_UINT8: case TENON_DTYPE_INT8: case TENON_DTYPE_BOOL: return 1;
      case TENON_DTYPE_FLOAT16: case TENON_DTYPE_BFLOAT16: case TENON_DTYPE_INT16: case TENON_DTYPE_UINT16: return 2;
      case TENON_DTYPE_FLOAT: case TENON_DTYPE_INT32: case TENON_DTYPE_UINT32: return 4;
      case TENON_DTYPE_DOUBLE: case TENON_DTYPE_INT64: case TENON_DTYPE_UINT64: return 8;
      default: raise(TENON_UNIMPLEMENTED, "element type " + std::to_string(dtype) + " has no whole number of bytes here");
    }
  }

 private:
  std::string id_, version_;
  std::vector<Kernel> kernels_;
  tenon_provider_desc desc_{};
  const tenon_host_api* host_api_ = nullptr;
  tenon_host* host_ = nullptr;
};

}  // namespace tenon::plugin
