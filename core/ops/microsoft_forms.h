// Operators of com.microsoft that are others put together: spelled out while the model is imported.
//
// What optimisers and quantisers save as one node has kernels as soon as its parts have. Operators that are worth kernels of
// their own are not here; see microsoft.cpp. Pure rewrites of a graph under construction; any thread.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ops/upgrade.h"

namespace tenon {

// Builds the nodes that one node becomes.
class Spelling {
 public:
  Spelling(Upgrade& upgrade, const Node& node) : u(upgrade), node(node) {}

  Upgrade& u;
  const Node& node;

  bool has(std::size_t i) const { return i < node.inputs.size() && node.inputs[i] != none; }
  ValueId in(std::size_t i) const { return has(i) ? node.inputs[i] : none; }
  bool wants(std::size_t o) const { return o < node.outputs.size() && node.outputs[o] != none; }
  // Undefined for an omitted input.
  const Type& type(ValueId v) const;
  // Rank where it is declared, else the fallback.
  std::int64_t rank(ValueId v, std::int64_t fallback = -1) const;

  using Attributes = std::vector<Attribute>;
  // A node of ai.onnx (unless domain says otherwise) and its output.
  ValueId add(const char* op, std::vector<ValueId> inputs, Attributes attributes = {}, const char* domain = "");
  // The same, for several outputs.
  std::vector<ValueId> add_many(const char* op, std::vector<ValueId> inputs, std::size_t outputs, Attributes attributes = {},
                                const char* domain = "");
  // The node that makes output o of the whole.
  void end(const char* op, std::vector<ValueId> inputs, Attributes attributes = {}, const char* domain = "", std::size_t o = 0);
  void end_as(ValueId v, std::size_t o = 0) { end("Identity", {v}, {}, "", o); }

  ValueId ints(std::vector<std::int64_t> values, bool scalar = false);
  // A float32 scalar; a list of them.
  ValueId real(float value);
  ValueId reals(std::span<const float> values);
  ValueId cast(ValueId v, DType to) { return add("Cast", {v}, {{"to", static_cast<std::int64_t>(to)}}); }
  // Values of another type become those of `like`'s.
  ValueId cast_like(ValueId v, ValueId like) { return add("CastLike", {v, like}); }
  // To exactly these dims: 0 is 0, and there is no -1.
  ValueId reshape(ValueId v, ValueId dims) { return add("Reshape", {v, dims}, {{"allowzero", std::int64_t{1}}}); }
  ValueId transpose(ValueId v, std::vector<std::int64_t> perm) { return add("Transpose", {v}, {{"perm", std::move(perm)}}); }
  // The elementwise function that a fused node ends with; name "" is none. Errors: UNIMPLEMENTED for an unknown one.
  Status activate(ValueId& v, const std::string& name, float alpha, float beta);
  // The node's attributes but for some.
  Attributes attributes_but(std::initializer_list<std::string_view> dropped) const;

 private:
  ValueId fresh(const char* op);
  Node make(const char* op, std::vector<ValueId> inputs, std::vector<ValueId> outputs, Attributes attributes, const char* domain);

  int count_ = 0;
};

struct SpelledOp {
  std::string_view op_type;
  std::size_t min_inputs;
  Status (*spell)(Spelling& s);
};

// Tables of the operators that are spelled out, one a file.
std::span<const SpelledOp> spelled_float_ops();      // microsoft_float.cpp
std::span<const SpelledOp> spelled_quantized_ops();  // microsoft_quantized.cpp
std::span<const SpelledOp> spelled_weight_ops();     // microsoft_weights.cpp
std::span<const SpelledOp> spelled_llm_ops();        // microsoft_llm.cpp
std::span<const SpelledOp> spelled_small_ops();      // microsoft_small.cpp

// The two halves of each byte side by side along the last axis, in the given order.
ValueId nibbles(Spelling& s, ValueId bytes, bool low_first);  // microsoft_weights.cpp

// True: the node has been appended to u.out as others. Errors: INVALID_ARGUMENT where inputs are missing, UNIMPLEMENTED for
// forms that cannot be expressed and for the operators of com.microsoft.nchwc.
Result<bool> spell_microsoft_op(Upgrade& u, const Node& node);

}  // namespace tenon
