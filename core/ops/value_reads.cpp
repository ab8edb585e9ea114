#include "core/ops/value_reads.h"

#include <algorithm>

namespace tenon {

bool inference_reads(const Node& node, std::size_t input) {
  struct Row {
    std::string_view op;
    std::uint32_t inputs;  // bit i: input i
  };
  static constexpr Row rows[] = {
      {"Reshape", 2}, {"Expand", 2}, {"Tile", 2}, {"Slice", 0x1e}, {"Pad", 0xa}, {"Resize", 0xe}, {"ConstantOfShape", 1},
      {"Range", 7}, {"TopK", 2}, {"OneHot", 2}, {"Split", 2}, {"Squeeze", 2}, {"Unsqueeze", 2}, {"CenterCropPad", 2},
      {"AffineGrid", 2}, {"BlackmanWindow", 1}, {"HannWindow", 1}, {"HammingWindow", 1}, {"DFT", 6}, {"STFT", 0xa},
      {"MaxUnpool", 4}, {"Col2Im", 6}, {"CumSum", 2}, {"MelWeightMatrix", 0x1f},
  };
  if (node.is("GroupQueryAttention", "com.microsoft")) return input == 6;  // how many keys there are in all
  if (node.is("CropAndResize", "com.microsoft")) return input == 3;
  if (!node.domain.empty()) return false;
  if (node.op_type.starts_with("Reduce")) return input == 1;
  for (const Row& r : rows)
    if (r.op == node.op_type) return r.inputs >> input & 1;
  return false;
}

bool data_dependent(const Node& node) {
  static constexpr std::string_view ops[] = {"NonZero",     "NonMaxSuppression", "Unique",      "Compress",
                                             "StringSplit", "StringNormalizer",  "ImageDecoder"};
  static constexpr std::string_view microsoft[] = {"Tokenizer", "DynamicTimeWarping", "BifurcationDetector"};
  if (node.domain == "com.microsoft") return std::find(std::begin(microsoft), std::end(microsoft), node.op_type) != std::end(microsoft);
  if (!node.domain.empty()) return false;
  for (std::string_view op : ops)
    if (op == node.op_type) return true;
  return false;
}

}  // namespace tenon
