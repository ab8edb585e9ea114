// Op: one operator of the OpenCL provider, from query to launch.
//
// A family file in ops/ holds, for each operator, a row: does it support this node, how to make it. make runs in compile, fusion joins
// ops, plan runs for each set of shapes and emits launches of generated kernels. An Op is owned by its program and immutable after
// compile; plan is const and may run in several threads at once.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tenon/provider.hpp>

#include "plugins/opencl/codegen/epilogue.h"
#include "plugins/opencl/codegen/expression.h"
#include "plugins/opencl/codegen/types.h"
#include "plugins/opencl/device/kernels.h"
#include "plugins/opencl/device/profile.h"
#include "plugins/opencl/host.h"
#include "plugins/opencl/tensor.h"

namespace tenon::opencl {

// Nodes are read through the sugar of plugin-api: node.input(i), node.integer("axis", 0), ...
using plugin::Node;

// ---- launches ---------------------------------------------------------------------------------------------------------

// A packed constant: a buffer on the device, shared by whoever asked for the same.
struct Weight {
  std::uint32_t constant = TENON_NO_VALUE;  // the program's
  std::uint64_t bytes = 0;
  bool present() const { return constant != TENON_NO_VALUE; }
};

// An argument. A tensor becomes two parameters of the kernel: `__global (const) char* x_base, ulong x_at`, at in bytes.
struct Arg {
  enum class Kind : std::uint8_t { read, write, weight, scalar } kind = Kind::scalar;
  Tensor tensor;
  Weight packed;
  std::array<unsigned char, 8> bytes{};
  std::uint32_t size = 0;

  static Arg in(Tensor t) { return {Kind::read, std::move(t), {}, {}, 0}; }
  static Arg out(Tensor t) { return {Kind::write, std::move(t), {}, {}, 0}; }
  static Arg weight(Weight w) { return {Kind::weight, {}, w, {}, 0}; }
  static Arg i32(std::int64_t v) { return value(static_cast<std::int32_t>(v)); }
  static Arg u64(std::uint64_t v) { return value(v); }
  static Arg i64(std::int64_t v) { return value(v); }
  static Arg f32(float v) { return value(v); }
  static Arg f64(double v) { return value(v); }

 private:
  template <class T>
  static Arg value(T v) {
    Arg a;
    a.size = sizeof v;
    std::copy_n(reinterpret_cast<const unsigned char*>(&v), sizeof v, a.bytes.begin());
    return a;
  }
};

struct Launch {
  const char* name = "";       // what it does, for profiles: "gemm", "elementwise"
  KernelText kernel;
  std::vector<Arg> args;
  std::array<std::size_t, 3> global{1, 1, 1}, local{1, 1, 1};  // items; global a multiple of local
  double flops = 0;            // for estimates
};

// How a producer's output 0 is seen by its epilogue: which axes of it make up batch, rows and cols, in order. Empty: size 1. cols must be
// contiguous in `layout`.
struct TileSpace {
  std::vector<std::int64_t> batch, rows, cols;
  Layout layout = Layout::dense;
};

struct LinkedEpilogue {
  std::shared_ptr<const Epilogue> text;
  std::vector<Arg> args;  // of text->parameters(), to be appended to the launch's
  Dims dims;              // of the output
};

// What an op emits its launches into; made by the planner for one unit and one plan.
class PlanBuilder {
 public:
  virtual ~PlanBuilder() = default;

  virtual const Profile& profile() const = 0;
  virtual std::size_t inputs() const = 0;
  virtual std::size_t outputs() const = 0;
  // As it lies in memory, any strides. Not present where omitted.
  virtual const Tensor& in(std::size_t i) const = 0;
  // Dims and dtype of an output (no buffer); not present where nobody wants it.
  virtual const Tensor& out_shape(std::size_t i) const = 0;

  // t itself where it has that layout, else a copy that has.
  virtual Tensor laid_out(const Tensor& t, Layout layout) = 0;
  Tensor dense(const Tensor& t) { return laid_out(t, Layout::dense); }
  // Memory for output i in that layout. What leaves the part in another one is copied afterwards.
  virtual Tensor make_out(std::size_t i, Layout layout = Layout::dense) = 0;
  // Output i is this view of an input (or of a temp): nothing is moved, unless it leaves the part.
  virtual void alias_out(std::size_t i, const Tensor& view) = 0;
  // Memory until the unit's last launch.
  virtual Tensor temp(std::int32_t dtype, const Dims& dims, Layout layout = Layout::dense) = 0;

  // Which of `count` ways to do the work that key names (what, types, sizes): the one measured to be the fastest on this device, else seed.
  // Asked before the launches that it decides.
  virtual int choice(const std::string& key, int count, int seed) = 0;

  // The epilogue of output 0: what fusion has put behind this op, or a plain store. accumulator: the type of acc (its compute type).
  virtual LinkedEpilogue link(const TileSpace& space, std::int32_t accumulator) = 0;
  virtual void launch(Launch launch) = 0;
  // Emits a copy of one tensor into another of equal dims, any strides.
  virtual void copy(const Tensor& from, const Tensor& to) = 0;
};

// ---- ops --------------------------------------------------------------------------------------------------------------

// What make gets: constants, packing, the device.
class CompileContext {
 public:
  virtual ~CompileContext() = default;
  virtual const Profile& profile() const = 0;
  // Elements of input i in host memory; REQUIRES is_constant. Valid until compile returns.
  virtual tenon_const_tensor constant(const Node& node, std::size_t i) = 0;
  // A form of constant inputs of a node that kernels want, made once and shared between sessions. layout_id names the form and
  // everything that changes its bytes. fill writes host memory.
  virtual Weight packed(const Node& node, std::span<const std::size_t> inputs, std::string_view layout_id, std::uint64_t bytes,
                        const std::function<void(std::span<const tenon_const_tensor>, void*)>& fill) = 0;
};

class Op {
 public:
  virtual ~Op() = default;
  // Emits launches. Throws Failure; UNSUPPORTED_SHAPE: not on this device with these sizes.
  virtual void plan(PlanBuilder& builder) const = 0;
  // Not null: the op is this expression of its inputs, elementwise with broadcasting (slot i: input i), and may be fused.
  virtual const Expression* expression() const { return nullptr; }
  // True: plan calls link for output 0, so that elementwise ops may follow inside its kernel.
  virtual bool links_epilogue() const { return false; }
  // True: the elementwise work that makes this input may become text of the op's own kernel. The input has the dims of output 0.
  virtual bool takes_prologue(std::size_t) const { return false; }
  // It does: input is omitted from now on, e computes it from the op's inputs (slot i: input i, broadcast to those dims).
  virtual void take_prologue(std::size_t, Expression) {}
};

struct Support {
  std::int32_t reason = 0;  // 0: yes, else TENON_REJECT_*
  std::string text;

  static Support yes() { return {}; }
  static Support no(std::int32_t reason, std::string text) { return {reason, std::move(text)}; }
};

struct OpRow {
  const char* domain;
  const char* op_type;
  Support (*supports)(const Node& node, const Profile& profile);
  std::unique_ptr<Op> (*make)(const Node& node, CompileContext& context);
  // Floating-point operations at the sizes of estimates; null: as many as output elements.
  double (*flops)(const Node& node) = nullptr;
};

// False where another node of the graph computes the input during the run: its elements will not be known while planning.
bool known_before_run(const Node& node, std::size_t i);
inline bool is_constant(const tenon_value* v) { return v && v->const_id != 0; }
// Fixed at load, or -1.
inline std::int64_t fixed_dim(const tenon_value& v, std::int64_t axis) { return v.dims[axis < 0 ? axis + v.rank : axis]; }
// The size that estimates are made for.
inline double opt_dim(const tenon_value& v, std::int64_t axis) {
  const std::int64_t a = axis < 0 ? axis + v.rank : axis;
  return static_cast<double>(v.dim_opt ? v.dim_opt[a] : v.dims[a]);
}
double opt_count(const tenon_value& v);

// Every present input and output is a tensor of a type that kernels know (doubles only with fp64), with a known rank.
Support plain_types(const Node& node, const Profile& profile);

}  // namespace tenon::opencl
