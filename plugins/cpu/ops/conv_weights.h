// Weights of a convolution brought into the order that its kernels read: once in compile, or in a step where they are not constant.
//
// A form says from where to where; it is immutable and shared by the op and its plans. Any thread.
#pragma once

#include <memory>

#include "plugins/cpu/op.h"
#include "plugins/cpu/ops/conv_pack.h"

namespace tenon::cpu {

// What packs one layout: `pack` fills items [begin, end) of count from the weights as the model has them.
class ConvWeightsForm {
 public:
  virtual ~ConvWeightsForm() = default;
  virtual std::int64_t floats() const = 0;
  virtual std::int64_t items() const = 0;
  virtual void pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const = 0;
  virtual std::string layout_id() const = 0;
};

// ConvPacking's layout from weights with these strides.
class DirectForm final : public ConvWeightsForm {
 public:
  // taps: offset of each, in the order of the packing.
  DirectForm(const char* what, ConvPacking packing, std::int64_t group, std::int64_t oc, std::int64_t ic, std::vector<std::int64_t> taps)
      : packing_(std::move(packing)), what_(what), group_(group), oc_(oc), ic_(ic), taps_(std::move(taps)) {}
  // [groups * oc, ic, taps], as Conv has them.
  static std::shared_ptr<const DirectForm> conv(const ConvTiles& tiles, std::int64_t groups, std::int64_t ic, std::int64_t oc,
                                                std::int64_t taps);

  const ConvPacking& packing() const { return packing_; }
  std::int64_t floats() const override { return packing_.floats(); }
  std::int64_t items() const override { return packing_.groups * static_cast<std::int64_t>(packing_.channels.size()); }
  void pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const override {
    packing_.pack({weights, group_, oc_, ic_, taps_.data()}, dst, begin, end);
  }
  std::string layout_id() const override;

 private:
  ConvPacking packing_;
  const char* what_;
  std::int64_t group_, oc_, ic_;
  std::vector<std::int64_t> taps_;
};

// Packs the constant that is input i of node.
const float* pack_constant(const ConvWeightsForm& form, const NodeView& node, std::uint32_t i, CompileContext& context);
// Emits the step that packs input i in every run, into a temp.
Ref pack_in_plan(std::shared_ptr<const ConvWeightsForm> form, std::uint32_t i, PlanBuilder& builder);

}  // namespace tenon::cpu
