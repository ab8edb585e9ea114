#include <unordered_map>

#include "core/passes/edit.h"
#include "core/passes/list.h"

namespace tenon {
namespace {

std::size_t key(const Constant& c) {
  std::size_t h = std::hash<std::int64_t>()(c.dtype) * 31 + c.dims.size();
  for (std::int64_t d : c.dims) h = h * 1000003 + static_cast<std::size_t>(d);
  if (c.dtype == TENON_DTYPE_STRING) {
    for (std::size_t i = 0; i < c.strings.size() && i < 16; ++i) h = h * 31 + std::hash<std::string>()(c.strings[i]);
    return h;
  }
  // Small ones by what they hold; of large ones the address of the bytes decides (same_constant).
  if (c.bytes <= 8192) return h ^ std::hash<std::string_view>()({reinterpret_cast<const char*>(c.data), static_cast<std::size_t>(c.bytes)});
  return h ^ std::hash<const void*>()(c.recipe ? static_cast<const void*>(c.recipe.get()) : c.data);
}

}  // namespace

Status share_constants(PassContext& context) {
  Edit edit(context);
  std::unordered_multimap<std::size_t, ValueId> seen;
  Graph& g = context.graph;
  for (ValueId v = 0; v < g.values.size(); ++v) {
    if (!g.values[v].constant || edit.uses(v) == 0) continue;
    const Constant& c = *g.values[v].constant;
    const std::size_t k = key(c);
    bool shared = false;
    for (auto [it, end] = seen.equal_range(k); it != end && !shared; ++it)
      shared = same_constant(*g.values[it->second].constant, c) && edit.replace(v, it->second);
    if (!shared) seen.emplace(k, v);
  }
  return {};
}

}  // namespace tenon
