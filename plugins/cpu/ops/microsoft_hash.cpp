// com.microsoft MurmurHash3: the 32-bit hash (x86 form) of each element's bytes.
#include <bit>
#include <cstring>

#include "plugins/cpu/ops/microsoft.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

std::uint32_t scrambled(std::uint32_t k) { return std::rotl(k * 0xcc9e2d51u, 15) * 0x1b873593u; }

std::uint32_t murmur(const void* data, std::size_t size, std::uint32_t seed) {
  const auto* bytes = static_cast<const std::uint8_t*>(data);
  std::uint32_t hash = seed;
  std::size_t at = 0;
  for (; at + 4 <= size; at += 4) {
    std::uint32_t word;
    std::memcpy(&word, bytes + at, 4);
    hash = std::rotl(hash ^ scrambled(word), 13) * 5 + 0xe6546b64u;
  }
  std::uint32_t tail = 0;
  for (std::size_t i = size; i-- > at;) tail = tail << 8 | bytes[i];
  hash ^= scrambled(tail);
  hash ^= static_cast<std::uint32_t>(size);
  hash = (hash ^ hash >> 16) * 0x85ebca6bu;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
  return hash ^ hash >> 16;
}

struct HashStep {
  Ref x, y;
  std::int64_t count, bytes;  // bytes of an element; 0: strings
  std::uint32_t seed;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(count, 16);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      auto* to = c.ptr<std::uint32_t>(y) + i;
      if (bytes > 0) {
        *to = murmur(c.ptr<const char>(x) + i * bytes, static_cast<std::size_t>(bytes), seed);
      } else {
        const std::string_view text = c.text(x, static_cast<std::uint64_t>(i));
        *to = murmur(text.data(), text.size(), seed);
      }
    }
  }
};

std::int64_t element_bytes(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_INT32: case TENON_DTYPE_UINT32: case TENON_DTYPE_FLOAT: return 4;
    case TENON_DTYPE_INT64: case TENON_DTYPE_UINT64: case TENON_DTYPE_DOUBLE: return 8;
    default: return dtype == TENON_DTYPE_STRING ? 0 : -1;
  }
}

class HashOp final : public Op {
 public:
  explicit HashOp(const NodeView& node) : seed_(static_cast<std::uint32_t>(node.int_or("seed", 0))) {}

  void plan(PlanBuilder& b) const override {
    const HashStep s{b.in_ref(0), b.out_ref(0), b.in(0).count(), element_bytes(b.in(0).dtype), seed_};
    if (s.count > 0) b.step("murmur hash", s, {.est_ns = static_cast<double>(s.count) * 10});
  }

 private:
  std::uint32_t seed_;
};

Support supports(const NodeView& node) {
  return node.has_input(0) && element_bytes(node.input(0).dtype) >= 0 ? Support::yes() : refuse_dtype(node.dtype(0));
}

constexpr OpRow table[] = {
    {"com.microsoft", "MurmurHash3", supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<HashOp>(node); }},
};

}  // namespace

std::span<const OpRow> hash_rows() { return table; }

}  // namespace tenon::cpu
