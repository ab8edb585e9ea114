#include "core/onnx/slim.h"

#include <cstring>
#include <random>

namespace tenon {
namespace {

constexpr std::uint64_t lift_from = 1024;  // bytes

// The messages on the way to raw_data, and which of their fields lead on.
enum class Kind { model, graph, node, attribute, tensor, function, sparse, other };

Kind child(Kind kind, std::uint32_t field) {
  switch (kind) {
    case Kind::model: return field == 7 ? Kind::graph : field == 25 ? Kind::function : Kind::other;
    case Kind::graph: return field == 1 ? Kind::node : field == 5 ? Kind::tensor : field == 15 ? Kind::sparse : Kind::other;
    case Kind::function: return field == 7 ? Kind::node : field == 11 ? Kind::attribute : Kind::other;
    case Kind::node: return field == 5 ? Kind::attribute : Kind::other;
    case Kind::attribute:
      return field == 5 || field == 10 ? Kind::tensor : field == 6 || field == 11 ? Kind::graph : field == 22 || field == 23 ? Kind::sparse : Kind::other;
    case Kind::sparse: return field == 1 || field == 2 ? Kind::tensor : Kind::other;
    default: return Kind::other;
  }
}

void put_varint(std::string& out, std::uint64_t v) {
  for (; v >= 0x80; v >>= 7) out.push_back(static_cast<char>(v | 0x80));
  out.push_back(static_cast<char>(v));
}

}  // namespace

struct Slimmer {
  SlimModel& slim;
  const std::byte* base;
  int max_nesting;

  Status walk(std::span<const std::byte> in, Kind kind, int depth, std::string& out) {
    if (depth > max_nesting)
      return error(TENON_RESOURCE_EXHAUSTED, "the model nests {} messages deep, which is too deep for limits.nesting = {}", max_nesting, max_nesting / 4);
    std::size_t at = 0, copied = 0;  // fields that stay as they are, are copied together
    const auto copy_to = [&](std::size_t end) { out.append(reinterpret_cast<const char*>(in.data() + copied), end - copied); };
    auto bad = [&](const char* what) {
      return error(TENON_DATA_LOSS, "not a complete ONNX model: {} at byte {}; the file is truncated or of another format", what,
                   static_cast<std::uint64_t>(in.data() - base) + at);
    };
    auto varint = [&](std::uint64_t& v) {
      v = 0;
      for (int shift = 0; shift < 64 && at < in.size(); shift += 7) {
        const auto b = static_cast<std::uint64_t>(in[at++]);
        v |= (b & 0x7f) << shift;
        if (!(b & 0x80)) return true;
      }
      return false;
    };
    while (at < in.size()) {
      const std::size_t start = at;
      std::uint64_t tag = 0, size = 0;
      if (!varint(tag) || tag >> 3 == 0) return bad("a bad field tag");
      const auto field = static_cast<std::uint32_t>(tag >> 3);
      switch (tag & 7) {
        case 0:
          if (!varint(size)) return bad("a cut number");
          break;
        case 1: size = 8; [[fallthrough]];
        case 5:
          if ((tag & 7) == 5) size = 4;
          if (in.size() - at < size) return bad("a cut number");
          at += size;
          break;
        case 2: {
          if (!varint(size) || in.size() - at < size) return bad("a field that is longer than its message");
          const std::span<const std::byte> body = in.subspan(at, size);
          at += size;
          if (kind == Kind::tensor && field == 9 && size >= lift_from) {
            std::uint64_t marker[4] = {slim.nonce_[0], slim.nonce_[1], static_cast<std::uint64_t>(body.data() - base), size};
            copy_to(start);
            copied = at;
            put_varint(out, tag);
            put_varint(out, sizeof(marker));
            out.append(reinterpret_cast<const char*>(marker), sizeof(marker));
          } else if (const Kind next = child(kind, field); next != Kind::other) {
            std::string inner;
            TENON_TRY(walk(body, next, depth + 1, inner));
            copy_to(start);
            copied = at;
            put_varint(out, tag);
            put_varint(out, inner.size());
            out += inner;
          }
          break;
        }
        default: return bad("an unknown wire type");
      }
    }
    copy_to(in.size());
    return {};
  }
};

Result<SlimModel> SlimModel::make(std::span<const std::byte> model, int max_nesting) {
  SlimModel slim;
  std::random_device entropy;  // a model cannot guess the marker
  for (std::uint64_t& n : slim.nonce_) n = (std::uint64_t{entropy()} << 32) | entropy();
  Slimmer slimmer{slim, model.data(), max_nesting};
  TENON_TRY(slimmer.walk(model, Kind::model, 0, slim.message_));
  return slim;
}

std::optional<Lifted> SlimModel::lifted(const std::string& raw_data) const {
  std::uint64_t marker[4];
  if (raw_data.size() != sizeof(marker)) return std::nullopt;
  std::memcpy(marker, raw_data.data(), sizeof(marker));
  if (marker[0] != nonce_[0] || marker[1] != nonce_[1]) return std::nullopt;
  return Lifted{marker[2], marker[3]};
}

}  // namespace tenon
