#include "core/base/bundle.h"

#include <bit>
#include <cstring>
#include <filesystem>

#include <nlohmann/json.hpp>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/base/bundle_header.h"
#include "core/base/sha256.h"

namespace tenon {
namespace {

using Json = nlohmann::ordered_json;
static_assert(std::endian::native == std::endian::little, "the numbers of a bundle's header are read as they stand");

constexpr std::uint64_t largest_index = std::uint64_t{16} << 20;
constexpr int index_format = 1;
constexpr int deepest = 16;  // what nests further is passed over: writing it as text again would take the stack

Json range_json(BundleRange r, const char* hash_name, const std::string& hash) { return {{"offset", r.offset}, {"bytes", r.bytes}, {hash_name, hash}}; }

// Reads an index; remembers the first thing that is wrong with it.
class Reader {
 public:
  explicit Reader(std::uint64_t end) : end_(end) {}

  Status fault;

  std::string text(const Json& in, const char* key, const std::string& where) {
    if (const auto found = in.is_object() ? in.find(key) : in.end(); in.is_object() && found != in.end() && found->is_string()) return found->get<std::string>();
    wrong(where, "a text", key);
    return "";
  }
  BundleRange range(const Json& in, const std::string& where) {
    const BundleRange r{number(in, "offset", where), number(in, "bytes", where)};
    if (!fault.ok()) return {};
    if (r.offset % bundle_page != 0 || r.offset < bundle_page || r.offset > end_ || r.bytes > end_ - r.offset) {
      fault = error(TENON_DATA_LOSS, "index {}: bytes {} to {} are no section of the file, which has {} before its index", where, r.offset, r.offset + r.bytes, end_);
      return {};
    }
    return r;
  }
  const Json& list(const Json& in, const char* key, const std::string& where) {
    static const Json none = Json::array();
    if (const auto found = in.is_object() ? in.find(key) : in.end(); in.is_object() && found != in.end() && found->is_array()) return *found;
    wrong(where, "a list", key);
    return none;
  }
  void wrong(const std::string& where, const char* expected, const char* key) {
    if (fault.ok()) fault = error(TENON_DATA_LOSS, "index {}: {} is expected under \"{}\"", where, expected, key);
  }

 private:
  std::uint64_t number(const Json& in, const char* key, const std::string& where) {
    if (const auto found = in.is_object() ? in.find(key) : in.end(); in.is_object() && found != in.end() && found->is_number_unsigned()) return found->get<std::uint64_t>();
    wrong(where, "a whole number", key);
    return 0;
  }
  std::uint64_t end_;
};

}  // namespace

std::string xxh128_hex(std::span<const std::byte> bytes) {
  const XXH128_hash_t h = XXH3_128bits(bytes.data(), bytes.size());
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

std::string bundle_key(std::string_view text) { return xxh128_hex({reinterpret_cast<const std::byte*>(text.data()), text.size()}); }

std::string BundleIndex::text() const {
  Json all = Json::array();
  for (const BundleTarget& t : targets) {
    Json made = Json::array(), stored = Json::array();
    for (const std::string& m : t.made) made.push_back(Json::parse(m, nullptr, false));
    for (const BundleStored& s : t.stored) {
      const bool artifact = s.kind == BundleStored::Kind::artifact;
      Json one = {{"kind", artifact ? "artifact" : "packed"}, {"key", s.key}, {"what", s.what}};
      one.update(range_json(s.range, artifact ? "sha256" : "xxh128", s.hash));
      stored.push_back(std::move(one));
    }
    all.push_back({{"provider", t.provider}, {"version", t.version}, {"library", t.library}, {"fingerprint", t.fingerprint},
                   {"made", std::move(made)}, {"stored", std::move(stored)}});
  }
  const Json root = {{"format", index_format}, {"tenon", tenon}, {"model", range_json(model, "xxh128", model_hash)},
                     {"weights", range_json(weights, "xxh128", weights_hash)}, {"targets", std::move(all)}};
  return root.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<BundleIndex> BundleIndex::parse(std::string_view text, std::uint64_t end) {
  const Json root = Json::parse(text, [](int depth, Json::parse_event_t, Json&) { return depth <= deepest; }, false);
  if (!root.is_object()) return error(TENON_DATA_LOSS, "its index is no JSON object");
  BundleIndex out;
  Reader read(end);
  const auto section = [&](const char* name, BundleRange& range, std::string& hash) {
    const std::string where = std::string("/") + name;
    const auto found = root.find(name);
    if (found == root.end()) return read.wrong("/", "a section", name);
    range = read.range(*found, where);
    hash = read.text(*found, "xxh128", where);
  };
  section("model", out.model, out.model_hash);
  section("weights", out.weights, out.weights_hash);
  out.tenon = read.text(root, "tenon", "/");
  const Json& targets = read.list(root, "targets", "/");
  for (std::size_t i = 0; i < targets.size() && read.fault.ok(); ++i) {
    const Json& from = targets[i];
    const std::string where = fmt::format("/targets/{}", i);
    BundleTarget t{read.text(from, "provider", where), read.text(from, "version", where), read.text(from, "library", where),
                   read.text(from, "fingerprint", where), {}, {}};
    for (const Json& m : read.list(from, "made", where)) t.made.push_back(m.dump(-1, ' ', false, Json::error_handler_t::replace));
    const Json& stored = read.list(from, "stored", where);
    for (std::size_t k = 0; k < stored.size() && read.fault.ok(); ++k) {
      const std::string here = fmt::format("{}/stored/{}", where, k);
      BundleStored s;
      const std::string kind = read.text(stored[k], "kind", here);
      if (kind != "artifact" && kind != "packed") read.wrong(here, "\"artifact\" or \"packed\"", "kind");
      s.kind = kind == "packed" ? BundleStored::Kind::packed : BundleStored::Kind::artifact;
      s.key = read.text(stored[k], "key", here);
      s.what = read.text(stored[k], "what", here);
      s.range = read.range(stored[k], here);
      s.hash = read.text(stored[k], s.kind == BundleStored::Kind::artifact ? "sha256" : "xxh128", here);
      t.stored.push_back(std::move(s));
    }
    out.targets.push_back(std::move(t));
  }
  if (!read.fault.ok()) return std::move(read.fault);
  return out;
}

bool Bundle::is_one(std::span<const std::byte> bytes) {
  return bytes.size() >= sizeof BundleHeader::begins && std::memcmp(bytes.data(), BundleHeader::begins, sizeof BundleHeader::begins) == 0;
}

Result<std::shared_ptr<const Bundle>> Bundle::find(const std::string& path) {
  std::error_code code;
  const std::filesystem::path canonical = std::filesystem::canonical(path, code);
  Result<std::shared_ptr<const FileMap>> file = code ? error(TENON_NOT_FOUND, "{}", code.message()) : FileMap::open(canonical.string());
  if (!file.ok() || !is_one((*file)->bytes())) return std::shared_ptr<const Bundle>();
  return open(*std::move(file));
}

Result<std::shared_ptr<const Bundle>> Bundle::open(std::shared_ptr<const FileMap> file) {
  const std::string path = file->path();
  Result<std::shared_ptr<const Bundle>> made = of_bytes(file->bytes(), file);
  if (!made.ok()) return std::move(made.status()).at("bundle \"" + path + "\"");
  std::const_pointer_cast<Bundle>(*made)->file_ = std::move(file);
  return made;
}

Result<std::shared_ptr<const Bundle>> Bundle::of_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> keep) {
  constexpr const char* remedy = "copy it again, or make it anew with `tenon compile`";
  if (!is_one(bytes)) return error(TENON_DATA_LOSS, "not a bundle: it does not begin as one; `tenon compile` makes them");
  if (bytes.size() < bundle_page) return error(TENON_DATA_LOSS, "cut short: {} bytes are less than its header; {}", bytes.size(), remedy);
  BundleHeader h;
  std::memcpy(&h, bytes.data(), sizeof h);
  if (h.format != BundleHeader::newest)
    return error(TENON_UNIMPLEMENTED, "format {} is expected, found {}: another version of tenon wrote it; compile the model again with this one",
                 std::uint32_t{BundleHeader::newest}, h.format);
  if (h.file_bytes != bytes.size()) return error(TENON_DATA_LOSS, "{} bytes are expected, the file has {}; {}", h.file_bytes, bytes.size(), remedy);
  if (h.index_offset < bundle_page || h.index_offset > bytes.size() || h.index_bytes != bytes.size() - h.index_offset || h.index_bytes > largest_index)
    return error(TENON_DATA_LOSS, "its header says that the index has {} bytes from {} on, of a file of {}; {}", h.index_bytes, h.index_offset, bytes.size(), remedy);
  const auto index = bytes.subspan(h.index_offset, h.index_bytes);
  std::shared_ptr<Bundle> made(new Bundle);
  made->digest_ = sha256(index);
  if (made->digest_ != h.digest_text()) return error(TENON_DATA_LOSS, "its index is damaged: SHA-256 {} is expected, found {}; {}", h.digest_text(), made->digest_, remedy);
  TENON_SET(made->index_, BundleIndex::parse({reinterpret_cast<const char*>(index.data()), index.size()}, h.index_offset));
  made->bytes_ = bytes;
  made->keep_ = std::move(keep);
  if (const std::string found = xxh128_hex(made->at(made->index_.model)); found != made->index_.model_hash)
    return error(TENON_DATA_LOSS, "its model is damaged: hash {} is expected, found {}; {}", made->index_.model_hash, found, remedy);
  return std::shared_ptr<const Bundle>(std::move(made));
}

Status Bundle::check_content() const {
  const auto check = [&](BundleRange range, const std::string& hash, std::string_view what) -> Status {
    if (const std::string found = xxh128_hex(at(range)); found != hash)
      return error(TENON_DATA_LOSS, "bundle: {} at bytes {} to {} are damaged: hash {} is expected, found {}; copy it again, or make it anew with `tenon compile`",
                   what, range.offset, range.offset + range.bytes, hash, found);
    return {};
  };
  TENON_TRY(check(index_.weights, index_.weights_hash, "the weights"));
  for (const BundleTarget& t : index_.targets)
    for (const BundleStored& s : t.stored)
      if (s.kind == BundleStored::Kind::packed) TENON_TRY(check(s.range, s.hash, "packed weights"));
  return {};
}

}  // namespace tenon
