#include "plugins/cpu/ops/conv_weights.h"

namespace tenon::cpu {
namespace {

struct PackStep {
  const ConvWeightsForm* form;
  Ref from, to;

  void operator()(const StepContext& context) const {
    const auto slice = context.slice(form->items());
    form->pack(context.ptr<const float>(from), context.ptr<float>(to), slice.begin, slice.end);
  }
};

}  // namespace

std::shared_ptr<const DirectForm> DirectForm::conv(const ConvTiles& tiles, std::int64_t groups, std::int64_t ic, std::int64_t oc,
                                                   std::int64_t taps) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(taps));
  for (std::int64_t t = 0; t < taps; ++t) offsets[static_cast<std::size_t>(t)] = t;
  return std::make_shared<DirectForm>("conv", ConvPacking(tiles, groups, ic, oc, taps), oc * ic * taps, ic * taps, taps,
                                      std::move(offsets));
}

std::string DirectForm::layout_id() const {
  std::string id = packing_.layout_id(what_);
  id += "/" + std::to_string(group_) + "," + std::to_string(oc_) + "," + std::to_string(ic_);
  for (std::size_t t = 0; t < taps_.size(); ++t)
    if (taps_[t] != static_cast<std::int64_t>(t)) id += "+" + std::to_string(t) + ":" + std::to_string(taps_[t]);
  return id;
}

const float* pack_constant(const ConvWeightsForm& form, const NodeView& node, std::uint32_t i, CompileContext& context) {
  const auto bytes = static_cast<std::uint64_t>(form.floats()) * sizeof(float);
  return static_cast<const float*>(context.packed(node, i, form.layout_id(), bytes, [&](const tenon_const_tensor& weights, void* dst) {
    form.pack(static_cast<const float*>(weights.data), static_cast<float*>(dst), 0, form.items());
  }));
}

Ref pack_in_plan(std::shared_ptr<const ConvWeightsForm> form, std::uint32_t i, PlanBuilder& builder) {
  const Ref to = builder.temp(static_cast<std::uint64_t>(form->floats()) * sizeof(float));
  const Ref from = builder.in_ref(i);
  builder.step("conv.pack", PackStep{form.get(), from, to}, {.est_ns = static_cast<double>(form->floats()) + 100}, {{from}}, {{to}});
  builder.hold(std::move(form));
  return to;
}

}  // namespace tenon::cpu
