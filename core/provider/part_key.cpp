#include "core/provider/part_key.h"

#include <unordered_map>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/provider/host.h"
#include "core/provider/options_impl.h"

namespace tenon {
namespace {

// A running digest of numbers, texts and graphs.
class Digest {
 public:
  explicit Digest(LoadTask& load) : load_(load) { XXH3_128bits_reset(&state_); }

  void bytes(const void* data, std::uint64_t size) { XXH3_128bits_update(&state_, data, size); }
  void number(std::uint64_t n) { bytes(&n, sizeof n); }
  void text(std::string_view s) { number(s.size()), bytes(s.data(), s.size()); }
  std::string hex() const {
    const XXH128_hash_t h = XXH3_128bits_digest(&state_);
    return fmt::format("{:016x}{:016x}", h.high64, h.low64);
  }

  // Nodes of one graph, in the order given; values are numbered as they are met.
  Status nodes(const tenon_graph& graph, const std::uint32_t* list, std::uint64_t count, std::unordered_map<std::uint32_t, std::uint64_t>& met) {
    const auto* all = static_cast<const tenon_node*>(graph.nodes.data);
    number(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      const tenon_node& n = all[list ? list[i] : i];
      text(view(n.domain)), text(view(n.op_type));
      number(static_cast<std::uint64_t>(n.form));
      TENON_TRY(values(graph, n.inputs, n.input_count, met));
      TENON_TRY(values(graph, n.outputs, n.output_count, met));
      const auto* attributes = static_cast<const tenon_attr*>(n.attributes.data);
      number(n.attributes.count);
      for (std::uint64_t a = 0; a < n.attributes.count; ++a) TENON_TRY(attribute(attributes[a]));
    }
    return {};
  }
  Status values(const tenon_graph& graph, const std::uint32_t* list, std::uint64_t count, std::unordered_map<std::uint32_t, std::uint64_t>& met) {
    number(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      if (list[i] == TENON_NO_VALUE) {
        number(TENON_NO_VALUE);
        continue;
      }
      const auto [at, fresh] = met.emplace(list[i], met.size());
      number(at->second);
      if (fresh) TENON_TRY(value(static_cast<const tenon_value*>(graph.values.data)[list[i]]));
    }
    return {};
  }

 private:
  Status value(const tenon_value& v) {
    number(static_cast<std::uint64_t>(v.dtype)), number(static_cast<std::uint64_t>(v.kind)), number(static_cast<std::uint64_t>(v.rank));
    for (std::int32_t d = 0; d < v.rank; ++d) {
      number(static_cast<std::uint64_t>(v.dims[d]));
      number(v.dim_symbols[d] ? symbols_.emplace(v.dim_symbols[d], symbols_.size() + 1).first->second : 0);
      number(static_cast<std::uint64_t>(v.dim_min[d])), number(static_cast<std::uint64_t>(v.dim_max[d]));
    }
    if (!v.const_id) return {};
    TENON_ASSIGN(const std::string identity, load_.constant_identity(v.const_id));
    text(identity);
    return {};
  }
  void tensor(const tenon_const_tensor& t) {
    number(static_cast<std::uint64_t>(t.dtype)), number(t.rank);
    bytes(t.dims, t.rank * sizeof(std::int64_t));
    if (t.dtype != TENON_DTYPE_STRING) return text({static_cast<const char*>(t.data), t.bytes});
    const auto* strings = static_cast<const tenon_str*>(t.data);
    number(t.bytes / sizeof(tenon_str));
    for (std::uint64_t i = 0; i < t.bytes / sizeof(tenon_str); ++i) text(view(strings[i]));
  }
  Status attribute(const tenon_attr& a) {
    text(view(a.name));
    number(static_cast<std::uint64_t>(a.type)), number(a.count);
    // Lists of numbers at once: a forest has thousands of them.
    if (a.type == 1 || a.type == 6) return bytes(a.data, a.count * sizeof(float)), Status();
    if (a.type == 2 || a.type == 7) return bytes(a.data, a.count * sizeof(std::int64_t)), Status();
    for (std::uint64_t i = 0; i < a.count; ++i) {
      switch (a.type) {
        case 3: case 8: text(view(static_cast<const tenon_str*>(a.data)[i])); break;
        case 4: case 9: tensor(static_cast<const tenon_const_tensor*>(a.data)[i]); break;
        default: {
          const tenon_graph& body = static_cast<const tenon_graph*>(a.data)[i];
          std::unordered_map<std::uint32_t, std::uint64_t> met;
          TENON_TRY(values(body, body.inputs, body.input_count, met));
          TENON_TRY(values(body, body.outer_values, body.outer_count, met));
          TENON_TRY(nodes(body, nullptr, body.nodes.count, met));
          TENON_TRY(values(body, body.outputs, body.output_count, met));
        }
      }
    }
    return {};
  }

  LoadTask& load_;
  XXH3_state_t state_{};
  std::unordered_map<std::uint32_t, std::uint64_t> symbols_;  // ids in the order in which they are met
};

}  // namespace

Result<std::string> part_key(const tenon_part& part, const tenon_config* options, std::uint32_t max_workers, LoadTask& load) {
  Digest digest(load);
  digest.text(options ? options_text(*options) : std::string());
  digest.number(max_workers);
  std::unordered_map<std::uint32_t, std::uint64_t> met;
  TENON_TRY(digest.values(*part.graph, part.inputs, part.input_count, met));
  const auto* claims = static_cast<const tenon_chosen*>(part.claims.data);
  for (std::uint64_t c = 0; c < part.claims.count; ++c) TENON_TRY(digest.nodes(*part.graph, claims[c].nodes, claims[c].node_count, met));
  TENON_TRY(digest.values(*part.graph, part.outputs, part.output_count, met));
  return digest.hex();
}

}  // namespace tenon
