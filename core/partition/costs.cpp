#include "core/partition/costs.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <unordered_map>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/base/file_cache.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/provider/host.h"

namespace tenon {
namespace {

constexpr std::uint64_t folder_limit = std::uint64_t{64} << 20;
constexpr std::string_view header = "tenon costs 2\n";
constexpr double longest = 1e15;  // ns

// What distinguishes one computation from another, as bytes.
class Signature {
 public:
  Signature(const tenon_graph& graph, bool sizes) : graph_(graph), sizes_(sizes), values_(static_cast<const tenon_value*>(graph.values.data)) {}

  void node(NodeId n) {
    const tenon_node& node = static_cast<const tenon_node*>(graph_.nodes.data)[n];
    text(node.domain), text(node.op_type), number(node.form);
    number(node.input_count);
    for (std::uint32_t i = 0; i < node.input_count; ++i) value(node.inputs[i]);
    number(node.output_count);
    for (std::uint32_t o = 0; o < node.output_count; ++o) value(node.outputs[o]);
    const auto* attributes = static_cast<const tenon_attr*>(node.attributes.data);
    for (std::uint64_t a = 0; a < node.attributes.count; ++a) attribute(attributes[a]);
  }
  CostKey key() const {
    const XXH128_hash_t h = XXH3_128bits(bytes_.data(), bytes_.size());
    return {h.high64, h.low64};
  }

 private:
  template <class T>
  void number(T x) {
    bytes_.append(reinterpret_cast<const char*>(&x), sizeof x);
  }
  void text(tenon_str s) { number(s.size), bytes_.append(s.data, s.size); }
  void value(std::uint32_t v) {
    if (v == TENON_NO_VALUE) return number(std::int32_t{-2});
    const tenon_value& value = values_[v];
    number(value.dtype), number(value.rank), number(value.const_id != 0);
    for (std::int32_t d = 0; sizes_ && d < value.rank; ++d) number(value.dim_opt[d]);
  }
  // Tensors and bodies count by their presence: what they hold seldom changes the time, and may be large.
  void attribute(const tenon_attr& a) {
    text(a.name), number(a.type), number(a.count);
    switch (a.type) {
      case 1:
      case 2:
      case 6:
      case 7: bytes_.append(static_cast<const char*>(a.data), a.count * (a.type == 1 || a.type == 6 ? 4 : 8)); break;
      case 3: case 8:
        for (std::uint64_t i = 0; i < a.count; ++i) text(static_cast<const tenon_str*>(a.data)[i]);
        break;
      default: break;
    }
  }

  const tenon_graph& graph_;
  bool sizes_;
  const tenon_value* values_;
  std::string bytes_;
};

Result<std::string> file_key(const SessionDevice& device, std::uint32_t workers) {
  TENON_ASSIGN(const std::string fingerprint, device.device->fingerprint());
  const Provider& provider = device.device->provider();
  return fmt::format("costs 2\n{}\n{}\n{}\n{}\n{} workers", provider.id(), provider.version(), fingerprint,
                     device.device->info().uid, workers);
}

template <class T>
bool read(std::string_view& line, T& to, int base = 10) {
  std::from_chars_result r{};
  if constexpr (std::is_floating_point_v<T>) r = std::from_chars(line.data(), line.data() + line.size(), to);
  else r = std::from_chars(line.data(), line.data() + line.size(), to, base);
  if (r.ec != std::errc()) return false;
  line.remove_prefix(static_cast<std::size_t>(r.ptr - line.data()));
  if (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  return true;
}

std::optional<CostTable> read_file(const FileCache& cache, std::string_view key) {
  const auto entry = cache.get(key, FileCache::Check::content);
  if (!entry) return std::nullopt;
  Result<CostTable> table = CostTable::parse({reinterpret_cast<const char*>(entry->bytes.data()), entry->bytes.size()});
  if (table.ok()) return *std::move(table);
  log_warn("partition", "{}: {}; it is left out", cache.folder(), table.status().text());
  return std::nullopt;
}

}  // namespace

const LearnedCost* CostTable::find(const CostKey& key) const {
  const auto it = entries_.find(key);
  return it == entries_.end() ? nullptr : &it->second;
}

void CostTable::set(const CostKey& key, LearnedCost cost) {
  if (!(cost.ns > 0) || !(cost.ns < longest)) return;
  if (const auto it = entries_.find(key); it != entries_.end()) it->second = std::move(cost);
  else if (entries_.size() < most_entries) entries_.emplace(key, std::move(cost));
}

std::string CostTable::text() const {
  std::string out(header);
  for (const auto& [key, cost] : entries_)
    out += fmt::format("{:016x} {:016x} {:.6g} {} {:016x} {:.9g} {:.6g} {}\n", key[0], key[1], cost.ns, cost.samples, cost.family, cost.bytes, cost.hint_ns,
                       cost.operators);
  return out;
}

Result<CostTable> CostTable::parse(std::string_view text) {
  const auto damaged = [](std::size_t line) {
    return error(TENON_DATA_LOSS, "a table of costs: line {} is not \"hash hash ns samples family bytes hint operators\"", line);
  };
  if (!text.starts_with(header)) return error(TENON_DATA_LOSS, "not a table of costs, or one of another version");
  text.remove_prefix(header.size());
  CostTable out;
  for (std::size_t number = 2; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    CostKey key{};
    LearnedCost cost;
    if (!read(line, key[0], 16) || !read(line, key[1], 16) || !read(line, cost.ns) || !read(line, cost.samples) ||
        !read(line, cost.family, 16) || !read(line, cost.bytes) || !read(line, cost.hint_ns) || line.empty() ||
        !(cost.bytes >= 0 && cost.bytes < 1e18 && cost.hint_ns >= 0 && cost.hint_ns < longest) ||
        !(cost.ns > 0 && cost.ns < longest) || out.entries_.size() >= most_entries)
      return damaged(number);
    cost.operators = line;
    out.entries_.insert_or_assign(key, std::move(cost));
  }
  return out;
}

Result<LearnedCosts> LearnedCosts::load(const std::string& folder, const std::vector<SessionDevice>& devices, std::uint32_t workers,
                                        std::vector<std::string>& notes) {
  LearnedCosts out(devices.size());
  std::error_code code;
  if (folder.empty() || !std::filesystem::is_directory(folder, code)) return out;
  const Result<std::shared_ptr<FileCache>> cache = FileCache::open(folder, folder_limit);
  if (!cache.ok()) {
    notes.push_back(fmt::format("/placement/costs: {}; estimates count", cache.status().text()));
    return out;
  }
  for (std::size_t d = 0; d < devices.size(); ++d) {
    TENON_ASSIGN(const std::string key, file_key(devices[d], workers));
    if (auto table = read_file(**cache, key)) out.tables_[d] = *std::move(table);
  }
  return out;
}

Status LearnedCosts::store(const std::string& folder, const std::vector<SessionDevice>& devices, std::uint32_t workers) const {
  if (folder.empty()) return error(TENON_FAILED_PRECONDITION, "/placement/costs is \"\": there is no folder to keep costs in; set it");
  TENON_ASSIGN(const auto cache, FileCache::open(folder, folder_limit));
  for (std::size_t d = 0; d < devices.size(); ++d) {
    if (tables_[d].entries().empty()) continue;
    TENON_ASSIGN(const std::string key, file_key(devices[d], workers));
    CostTable all = read_file(*cache, key).value_or(CostTable());
    for (const auto& [claim, cost] : tables_[d].entries()) all.set(claim, cost);
    const std::string text = all.text();
    cache->put(key, std::as_bytes(std::span(text)));
    const auto kept = cache->get(key, FileCache::Check::content);
    if (!kept || kept->bytes.size() != text.size())
      return error(TENON_RESOURCE_EXHAUSTED, "the costs of device \"{}\" cannot be written to \"{}\"; is the disk full?",
                   devices[d].device->info().uid, folder);
  }
  cache->trim();
  return {};
}

Result<std::uint64_t> LearnedCosts::forget(const std::string& folder, const std::vector<SessionDevice>& devices,
                                           std::uint32_t workers) {
  std::error_code code;
  std::uint64_t count = 0;
  if (folder.empty() || !std::filesystem::is_directory(folder, code)) return count;
  TENON_ASSIGN(const auto cache, FileCache::open(folder, folder_limit));
  for (const SessionDevice& device : devices) {
    TENON_ASSIGN(const std::string key, file_key(device, workers));
    if (const auto table = read_file(*cache, key)) count += table->entries().size();
    cache->remove(key);
  }
  return count;
}

void LearnedCosts::apply(std::uint32_t device, const tenon_graph& graph, std::vector<Claim>& claims) const {
  const CostTable& table = tables_[device];
  if (table.entries().empty()) return;
  std::unordered_map<std::uint64_t, std::vector<const LearnedCost*>> families;
  for (const auto& [key, cost] : table.entries()) families[cost.family].push_back(&cost);
  for (auto& [family, measured] : families)
    std::stable_sort(measured.begin(), measured.end(), [](auto* a, auto* b) { return a->bytes < b->bytes; });
  for (Claim& claim : claims) {
    double ns = 0;
    if (const LearnedCost* whole = table.find(cost_key(graph, claim.nodes))) {
      ns = whole->ns;
    } else if (claim.nodes.size() > 1) {
      for (const NodeId& n : claim.nodes) {
        const LearnedCost* one = table.find(cost_key(graph, {&n, 1}));
        ns = one && ns >= 0 ? ns + one->ns : -1;
      }
    }
    claim.from = ns > 0 ? CostFrom::measured : claim.from;
    if (ns <= 0)
      if (const auto family = families.find(cost_family(graph, claim.nodes)); family != families.end()) {
        ns = nearby_cost(family->second, claim.bytes, claim.hint_ns);
        claim.from = ns > 0 ? CostFrom::near : claim.from;
      }
    if (ns > 0) claim.cost_ns = ns;
  }
}

bool LearnedCosts::empty() const {
  return std::all_of(tables_.begin(), tables_.end(), [](const CostTable& t) { return t.entries().empty(); });
}

CostKey cost_key(const tenon_graph& graph, std::span<const NodeId> nodes) {
  Signature signature(graph, true);
  for (NodeId n : nodes) signature.node(n);
  return signature.key();
}

std::uint64_t cost_family(const tenon_graph& graph, std::span<const NodeId> nodes) {
  Signature signature(graph, false);
  for (NodeId n : nodes) signature.node(n);
  return signature.key()[0];
}

double nearby_cost(std::span<const LearnedCost* const> measured, double bytes, double hint_ns) {
  constexpr double reach = 16;
  const auto above = std::lower_bound(measured.begin(), measured.end(), bytes, [](auto* m, double b) { return m->bytes < b; });
  const LearnedCost* hi = above == measured.end() ? nullptr : *above;
  const LearnedCost* lo = above == measured.begin() ? nullptr : *std::prev(above);
  if (lo && !(lo->bytes > 0 && bytes <= reach * lo->bytes)) lo = nullptr;
  if (hi && !(bytes > 0 && hi->bytes <= reach * bytes)) hi = nullptr;
  if (!lo && !hi) return 0;
  if (!lo || !hi || hi->bytes == bytes) {
    const LearnedCost& one = hi ? *hi : *lo;
    const double hints = one.hint_ns > 0 && hint_ns > 0 ? hint_ns / one.hint_ns : 1, sizes = bytes / one.bytes;
    return one.ns * (std::abs(hints - 1) > 0.01 ? hints : sizes);
  }
  const double at = std::log(bytes / lo->bytes) / std::log(hi->bytes / lo->bytes);
  const auto between = [at](double a, double b) { return std::exp((1 - at) * std::log(a) + at * std::log(b)); };
  const bool hinted = hint_ns > 0 && lo->hint_ns > 0 && hi->hint_ns > 0 && std::abs(hi->hint_ns / lo->hint_ns - 1) > 0.01;
  return hinted ? hint_ns * between(lo->ns / lo->hint_ns, hi->ns / hi->hint_ns) : between(lo->ns, hi->ns);
}

std::string cost_operators(const tenon_graph& graph, std::span<const NodeId> nodes) {
  std::string out;
  for (NodeId n : nodes.first(std::min<std::size_t>(nodes.size(), 8)))
    out += (out.empty() ? "" : "+") + std::string(view(static_cast<const tenon_node*>(graph.nodes.data)[n].op_type));
  std::replace_if(out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) <= ' '; }, '_');
  return out.empty() ? "?" : out;
}

}  // namespace tenon
