#include <numeric>

#include "core/ops/upgrade_forms.h"

namespace tenon {

void positions_of_classes(Upgrade& u, Node& node) {
  const Attribute* given = node.find("classes_strings");
  const auto* classes = given ? std::get_if<std::vector<std::string>>(&given->value) : nullptr;
  if (!classes) return;
  const std::vector<std::string> texts = *classes;
  std::vector<std::int64_t> positions(texts.size());
  std::iota(positions.begin(), positions.end(), 0);
  const bool from_text = u.graph.values[node.inputs[0]].type.dtype == TENON_DTYPE_STRING;
  node.erase("classes_strings");
  node.set(from_text ? "keys_strings" : "values_strings", texts);
  node.set(from_text ? "values_int64s" : "keys_int64s", positions);
}

}  // namespace tenon
