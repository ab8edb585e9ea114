// Op: one operator of the CPU provider, from query to step.
//
// A family file in ops/ holds, for each operator, a row: does it support this node, how to make it. make runs in compile
// and packs weights; plan runs for each shape signature and emits steps: small trivially copyable functors that know
// their operands, sizes and constants. Owned by the program; immutable after compile, so plan is const and may run in
// several threads at once.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <tenon/provider.hpp>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

// Thrown inside the provider only; provider.cpp turns it into a status.
using Failure = plugin::Error;

// What the session asked for.
struct Options {
  bool plain = false;  // scalar loops only: the oracle
  Isa isa = Isa::plain;
  std::uint32_t max_workers = 1;
  Precision precision = Precision::high;
};

// The largest element type that this provider knows.
inline constexpr std::int32_t last_dtype = TENON_DTYPE_FLOAT6E3M2;

// float32 for the half types, else the type itself.
constexpr std::int32_t compute_dtype(std::int32_t dtype) {
  return dtype == TENON_DTYPE_FLOAT16 || dtype == TENON_DTYPE_BFLOAT16 ? TENON_DTYPE_FLOAT : dtype;
}

// ---- reading the graph view -------------------------------------------------------------------------------------------

class NodeView {
 public:
  NodeView(const tenon_graph& graph, std::uint32_t index);

  std::string_view domain() const { return {node_->domain.data, node_->domain.size}; }
  std::string_view op_type() const { return {node_->op_type.data, node_->op_type.size}; }
  std::string_view name() const { return {node_->name.data, node_->name.size}; }
  std::uint32_t index() const { return index_; }
  const tenon_node& raw() const { return *node_; }

  std::uint32_t input_count() const { return node_->input_count; }
  std::uint32_t output_count() const { return node_->output_count; }
  bool has_input(std::uint32_t i) const { return i < node_->input_count && node_->inputs[i] != TENON_NO_VALUE; }
  bool has_output(std::uint32_t i) const { return i < node_->output_count && node_->outputs[i] != TENON_NO_VALUE; }
  const tenon_value& input(std::uint32_t i) const;   // REQUIRES has_input(i)
  const tenon_value& output(std::uint32_t i) const;  // REQUIRES has_output(i)
  // The type that kernels see: float16 and bfloat16 values are float32 inside a program (program.h). The declared type is
  // input(i).dtype. UNDEFINED for an omitted input.
  std::int32_t dtype(std::uint32_t i) const { return has_input(i) ? compute_dtype(input(i).dtype) : TENON_DTYPE_UNDEFINED; }
  std::int32_t rank(std::uint32_t i) const { return has_input(i) ? input(i).rank : -1; }
  bool is_constant(std::uint32_t i) const { return has_input(i) && input(i).const_id != 0; }

  const tenon_attr* attribute(std::string_view name) const;  // null when absent
  std::int64_t int_or(std::string_view name, std::int64_t fallback) const;
  float float_or(std::string_view name, float fallback) const;
  std::string_view string_or(std::string_view name, std::string_view fallback) const;
  std::span<const std::int64_t> ints(std::string_view name) const;  // empty when absent
  std::span<const float> floats(std::string_view name) const;
  std::span<const tenon_str> strings(std::string_view name) const;
  const tenon_const_tensor* tensor(std::string_view name) const;    // null when absent

 private:
  const tenon_graph* graph_;
  const tenon_node* node_;
  std::uint32_t index_;
};

// ---- steps ------------------------------------------------------------------------------------------------------------

// Where a step finds the bytes of an operand: an operand number, or a pointer known since compile (a constant).
struct Ref {
  std::uint32_t operand = TENON_NO_VALUE;
  const void* constant = nullptr;

  bool present() const { return constant || operand != TENON_NO_VALUE; }
};

// What a running step sees.
struct StepContext {
  const tenon_address* addresses;
  std::uint32_t worker, workers;
  tenon_task* run;
  const tenon_host_api* host;
  tenon_host* host_context;
  const char* label = nullptr;  // what runs, for messages: node "name" (Op)
  bool* failed = nullptr;       // of this worker: set by fail, and no later step of the plan begins

  template <class T>
  T* ptr(Ref r) const {
    if (r.constant) return static_cast<T*>(const_cast<void*>(r.constant));
    const tenon_address& a = addresses[r.operand];
    return reinterpret_cast<T*>(static_cast<char*>(a.handle) + a.offset);
  }
  // This worker's share of n items, in multiples of grain (the last may be short).
  struct Slice {
    std::int64_t begin, end;
  };
  Slice slice(std::int64_t n, std::int64_t grain = 1) const {
    const std::int64_t blocks = (n + grain - 1) / grain;
    const std::int64_t b = blocks * worker / workers * grain, e = blocks * (worker + 1) / workers * grain;
    return {b < n ? b : n, e < n ? e : n};
  }
  // Reports a failure of this worker (first wins), the node in front; return from the step afterwards.
  void fail(std::int32_t code, std::string_view text) const;

  // Elements of a string tensor, which only the host can reach; a constant is an array of tenon_str.
  std::string_view text(Ref r, std::uint64_t i) const {
    const tenon_str s = r.constant ? static_cast<const tenon_str*>(r.constant)[i] : host->string_get(&addresses[r.operand], i);
    return {s.data, static_cast<std::size_t>(s.size)};
  }
  // One worker only. A failure has been reported when it returns false.
  bool set_text(Ref r, std::uint64_t i, std::string_view value) const;
};

// Sizes of a value in one plan.
struct Shape {
  std::int32_t dtype = TENON_DTYPE_UNDEFINED;  // as kernels see it: never a half type
  std::span<const std::int64_t> dims;  // -1: decided by data, during the run
  const void* known = nullptr;         // elements, where they are known at plan time: constant or evaluated by core
  std::int32_t block = 0;              // 0: dense row-major; else [N, C / block, spatial..., block], see Op::layout

  std::int64_t rank() const { return static_cast<std::int64_t>(dims.size()); }
  std::int64_t count() const {
    std::int64_t n = 1;
    for (std::int64_t d : dims) n *= d;
    return n;
  }
  std::int64_t operator[](std::int64_t axis) const { return dims[static_cast<std::size_t>(axis < 0 ? axis + rank() : axis)]; }
  // All but the named axes multiplied: the usual outer × axis × inner split.
  std::int64_t outer(std::int64_t axis) const {
    std::int64_t n = 1;
    for (std::int64_t i = 0; i < axis; ++i) n *= dims[static_cast<std::size_t>(i)];
    return n;
  }
  std::int64_t inner(std::int64_t axis) const {
    std::int64_t n = 1;
    for (std::int64_t i = axis + 1; i < rank(); ++i) n *= dims[static_cast<std::size_t>(i)];
    return n;
  }
};

struct StepOptions {
  bool spmd = true;            // every worker runs it on its slice; false: one worker
  double est_ns = 0;           // small steps are run by one worker
  bool allocates = false;      // calls alloc_output: one worker
};

// What an op emits its steps into; made by the program for one node (or fused group) and one plan.
class PlanBuilder {
 public:
  virtual ~PlanBuilder() = default;

  virtual const Options& options() const = 0;
  virtual const Shape& in(std::uint32_t i) const = 0;   // an omitted input has dtype UNDEFINED
  virtual const Shape& out(std::uint32_t i) const = 0;
  virtual Ref in_ref(std::uint32_t i) const = 0;        // not present where omitted
  virtual Ref out_ref(std::uint32_t i) const = 0;       // not present where nobody wants it
  // Operand number of an output for host->alloc_output (data-dependent sizes).
  virtual std::uint32_t out_operand(std::uint32_t i) const = 0;

  // A buffer that lives until the last of this op's steps; per_worker: bytes for each worker.
  virtual Ref temp(std::uint64_t bytes) = 0;
  // Scratch of this step alone, bytes for each worker; read with worker_scratch.
  virtual Ref scratch(std::uint64_t bytes_per_worker) = 0;

  // Input i may share memory with output o (equal bytes, element by element in place).
  virtual void inplace(std::uint32_t i, std::uint32_t o) = 0;

  // Emits one step. reads and writes name what it touches (temps included); an empty list means all inputs, all outputs.
  // Consecutive steps are separated by barriers. F: trivially copyable, void operator()(const StepContext&) const.
  template <class F>
  void step(const char* name, const F& f, const StepOptions& o = {}, std::span<const Ref> reads = {},
            std::span<const Ref> writes = {}) {
    static_assert(std::is_trivially_copyable_v<F>);
    void* p = store(&f, sizeof(F), alignof(F));
    emit(name, [](const void* params, const StepContext& c) { (*static_cast<const F*>(params))(c); }, p, o, reads, writes);
  }
  // Copies an array into the plan: for functors that need more than fixed sizes.
  template <class T>
  const T* keep(std::span<const T> items) {
    static_assert(std::is_trivially_copyable_v<T>);
    return static_cast<const T*>(store(items.data(), items.size_bytes(), alignof(T)));
  }
  // Keeps an object alive as long as the plan (oneDNN primitives).
  virtual void hold(std::shared_ptr<const void> object) = 0;

 protected:
  using StepFn = void (*)(const void* params, const StepContext& context);
  virtual void* store(const void* data, std::size_t bytes, std::size_t alignment) = 0;
  virtual void emit(const char* name, StepFn fn, const void* params, const StepOptions& options, std::span<const Ref> reads,
                    std::span<const Ref> writes) = 0;
};

// This worker's part of what PlanBuilder::scratch gave.
template <class T>
T* worker_scratch(const StepContext& c, Ref r, std::uint64_t bytes_per_worker) {
  return reinterpret_cast<T*>(c.ptr<char>(r) + ((bytes_per_worker + 63) & ~std::uint64_t(63)) * c.worker);
}

// ---- ops --------------------------------------------------------------------------------------------------------------

// What make gets: constants, packing, options.
class CompileContext {
 public:
  virtual ~CompileContext() = default;
  virtual const Options& options() const = 0;
  // Bytes of input i; REQUIRES node.is_constant(i). Valid as long as the session unless released.
  virtual tenon_const_tensor constant(const NodeView& node, std::uint32_t i) = 0;
  // (float16 and bfloat16 constants come converted to float32; `raw` gives them as declared, and no other form is made for
  // this node: its plans do not ask for in_ref(i).)
  virtual tenon_const_tensor raw_constant(const NodeView& node, std::uint32_t i) = 0;
  // A packed form of input i, shared between sessions; fill is called once, may use several threads itself.
  virtual const void* packed(const NodeView& node, std::uint32_t i, std::string_view layout_id, std::uint64_t bytes,
                             const std::function<void(const tenon_const_tensor&, void*)>& fill) = 0;
  // Private memory as long as the session, 64-byte aligned.
  virtual void* alloc(std::uint64_t bytes) = 0;
};

// Inputs taken over from other nodes never stand where an op looks for its own: no op that fuses has as many.
inline constexpr std::uint32_t first_absorbed_input = 16;

class Op {
 public:
  virtual ~Op() = default;
  // Emits the steps for one set of shapes. Throws Failure.
  virtual void plan(PlanBuilder& builder) const = 0;

  // ---- fusion: asked in compile, in topological order, pulls before absorbs; both may change this op ----
  //
  // Takes over `next`, the only reader of output 0, which it reads at its input `slot` (and nowhere else). On true this op
  // computes next's output 0 instead of its own; next's other inputs become this op's inputs first_input, first_input + 1,
  // ... in next's order (omitted ones too). first_input is at least first_absorbed_input.
  virtual bool absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) {
    (void)next, (void)slot, (void)first_input, (void)context;
    return false;
  }
  // Takes over the work of `producer` for this op's input `slot`: on true the input becomes producer's input 0, and
  // producer's other inputs are appended from first_input on. Other readers keep producer alive.
  virtual bool pull(const NodeView& producer, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) {
    (void)producer, (void)slot, (void)first_input, (void)context;
    return false;
  }

  // ---- layout: asked in compile, after fusion, in topological order ----
  //
  // inputs[i]: the block that the value has where it is made (0: dense). Set each to the block that this op wants; the
  // program puts a reorder where they differ. Returns the block of output 0; other outputs are dense unless
  // blocks_all_outputs. machine_block is 8 or 16, 0 when blocking is off. A blocked value is float32 of rank 3 to 5 whose
  // dim 1 is fixed and a multiple of the block, or bytes with one block of all channels: [N, spatial..., C].
  virtual std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) {
    (void)machine_block;
    for (std::int32_t& block : inputs) block = 0;
    return 0;
  }

  // True: layout's answer holds for every output that may be blocked, not for output 0 alone (Split).
  virtual bool blocks_all_outputs() const { return false; }

  // >= 0: output 0 has the bytes of that (dense) input under other dims, so no step is needed. plan then only serves an
  // output that must be memory of its own: it copies.
  virtual std::int32_t alias_of() const { return -1; }
};

// A refusal: reason (TENON_REJECT_*) and text; reason 0 means supported.
struct Support {
  std::int32_t reason = 0;
  std::string text;

  static Support yes() { return {}; }
  static Support no(std::int32_t reason, std::string text) { return {reason, std::move(text)}; }
};

struct OpRow {
  const char* domain;
  const char* op_type;
  Support (*supports)(const NodeView& node);
  std::unique_ptr<Op> (*make)(const NodeView& node, CompileContext& context);
  bool data_dependent = false;  // output sizes come from alloc_output
  double (*flops)(const NodeView& node) = nullptr;  // at dim_opt; null: memory traffic decides
};

// Each family file defines one function that returns its rows; families.cpp lists them.
using FamilyRows = std::span<const OpRow> (*)();

}  // namespace tenon::cpu
