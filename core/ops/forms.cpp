#include "core/ops/forms.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

namespace tenon {
namespace {

using Versions = std::vector<std::int32_t>;

std::string key(std::string_view domain, std::string_view op_type) { return std::string(domain) + "::" + std::string(op_type); }

const std::unordered_map<std::string, Versions>& table() {
  static const auto* made = [] {
    struct Row {
      const char *domain, *op_type;
      Versions versions;
    };
    auto* out = new std::unordered_map<std::string, Versions>;
    for (const Row& row : std::initializer_list<Row>{
#include "core/ops/form_list.inc"
         })
      out->emplace(key(row.domain, row.op_type), row.versions);
    return out;
  }();
  return *made;
}

}  // namespace

std::span<const std::int32_t> form_versions(std::string_view domain, std::string_view op_type) {
  const auto found = table().find(key(domain, op_type));
  return found == table().end() ? std::span<const std::int32_t>() : std::span<const std::int32_t>(found->second);
}

std::int32_t form_number(std::string_view domain, std::string_view op_type, std::int32_t version) {
  const auto versions = form_versions(domain, op_type);
  const auto behind = std::upper_bound(versions.begin(), versions.end(), version);
  return std::max<std::int32_t>(1, static_cast<std::int32_t>(behind - versions.begin()));
}

bool newer_form(const Node& node, std::int32_t max_opset) {
  const auto versions = form_versions(node.domain, node.op_type);
  if (versions.empty() || node.form < 1) return false;
  const auto form = std::min<std::size_t>(static_cast<std::size_t>(node.form), versions.size());
  return versions[form - 1] > max_opset;
}

}  // namespace tenon
