// The rows of ai.onnx.ml. Operators on maps (ZipMap, CastMap, DictVectorizer) are core's.
#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/ml_common.h"

namespace tenon::cpu {

std::span<const OpRow> ml_rows() {
  static const std::vector<OpRow> rows = [] {
    std::vector<OpRow> all;
    for (FamilyRows part : {ml_tree_rows, ml_linear_rows, ml_svm_rows, ml_feature_rows, ml_label_rows}) {
      for (const OpRow& row : part()) all.push_back(row);
    }
    return all;
  }();
  return rows;
}

}  // namespace tenon::cpu
