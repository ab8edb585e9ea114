// A second provider for tests: a few float32 operators, in a memory of its own that core cannot read.
//
// Handles are objects, not addresses, and the bytes are stored inverted, so a value that is read without a copy over the
// provider's routes comes out wrong. Built as "shared" (SECOND_SHARED) it is memory that the processor reads as well.
#include <cmath>
#include <cstdlib>
#include <memory>

#include <tenon/provider.hpp>

namespace {

using namespace tenon::plugin;

#ifdef SECOND_SHARED
constexpr bool shared = true;
#else
constexpr bool shared = false;
#endif
constexpr unsigned char flipped = shared ? 0 : 0xff;

struct Block {
  std::unique_ptr<unsigned char[]> bytes;  // each byte inverted, but where it is shared
};

std::optional<Refusal> float_only(const Node& node) {
  for (std::size_t i = 0; i < node.input_count(); ++i)
    if (const tenon_value* v = node.input(i); v && v->dtype != TENON_DTYPE_FLOAT)
      return Refusal{TENON_REJECT_DTYPE, "only float32, input " + std::to_string(i) + " has dtype " + std::to_string(v->dtype)};
  return std::nullopt;
}

std::optional<Refusal> same_shape(const Node& node) {
  if (auto no = float_only(node)) return no;
  const tenon_value *a = node.input(0), *b = node.input(1);
  if (!a || !b || a->rank != b->rank) return Refusal{TENON_REJECT_RANK, "both inputs must have one shape"};
  for (std::int32_t d = 0; d < a->rank; ++d)
    if (a->dims[d] != b->dims[d] || (a->dims[d] < 0 && a->dim_symbols[d] != b->dim_symbols[d]))
      return Refusal{TENON_REJECT_RANK, "both inputs must have one shape"};
  return std::nullopt;
}

// Operands live inverted: a kernel works on plain copies and stores them back.
std::vector<float> load(const Tensor& t) {
  std::vector<float> out(static_cast<std::size_t>(t.count()));
  const auto* from = static_cast<const unsigned char*>(t.data);
  auto* to = reinterpret_cast<unsigned char*>(out.data());
  for (std::size_t i = 0; i < out.size() * 4; ++i) to[i] = from[i] ^ flipped;
  return out;
}
void store(const Tensor& t, const std::vector<float>& values) {
  auto* to = static_cast<unsigned char*>(t.data);
  const auto* from = reinterpret_cast<const unsigned char*>(values.data());
  for (std::size_t i = 0; i < values.size() * 4; ++i) to[i] = from[i] ^ flipped;
}

template <class Fn>
Kernel unary(const char* op, Fn fn) {
  return {"", op, float_only, nullptr, [fn](const Call& c) {
            std::vector<float> x = load(c.inputs[0]);
            for (float& v : x) v = fn(v);
            store(c.outputs[0], x);
          }, 50};
}
template <class Fn>
Kernel binary(const char* op, Fn fn) {
  return {"", op, same_shape, nullptr, [fn](const Call& c) {
            std::vector<float> x = load(c.inputs[0]);
            const std::vector<float> y = load(c.inputs[1]);
            for (std::size_t i = 0; i < x.size(); ++i) x[i] = fn(x[i], y[i]);
            store(c.outputs[0], x);
          }, 50};
}

unsigned char* own_bytes(const tenon_address& a) {
  return (shared ? static_cast<unsigned char*>(a.handle) : static_cast<Block*>(a.handle)->bytes.get()) + a.offset;
}

Kernels& provider() {
  static Kernels* made = [] {
    auto* k = new Kernels(shared ? "shared" : "second", "1.0",
                          {unary("Relu", [](float x) { return x > 0 ? x : 0.0f; }), unary("Exp", [](float x) { return std::exp(x); }),
                           unary("Neg", [](float x) { return -x; }), binary("Mul", [](float x, float y) { return x * y; }),
                           binary("Sub", [](float x, float y) { return x - y; })});
    k->domain.kind = shared ? TENON_DOMAIN_SHARED : TENON_DOMAIN_DEVICE;
    k->domain.uid = str(shared ? "shared:memory" : "second:memory");
    if (shared) k->domain.dlpack_type = 12, k->domain.dlpack_id = 3;
    k->device.kind = TENON_DEVICE_OTHER;
    k->routes = {{sizeof(tenon_route), TENON_ROUTE_HOST, 0, 0, 0, 10, 100}, {sizeof(tenon_route), 0, TENON_ROUTE_HOST, 0, 0, 10, 100}};
    k->adopt_constant = [](std::span<char> bytes) {
      for (char& b : bytes) b = static_cast<char>(b ^ static_cast<char>(flipped));
    };
    k->resolve = [](const tenon_address& a) -> void* {  // a value without elements has no block
      return a.handle ? own_bytes(a) : nullptr;
    };
    k->api.buffer_alloc = [](tenon_device*, std::uint32_t, std::uint64_t bytes, std::uint64_t, tenon_buffer** out) -> tenon_status* {
      return guarded(provider().host_api(), provider().host(),
                     [&] { *out = reinterpret_cast<tenon_buffer*>(new Block{std::make_unique<unsigned char[]>(bytes)}); });
    };
    k->api.buffer_free = [](tenon_device*, tenon_buffer* b) { delete reinterpret_cast<Block*>(b); };
    k->api.buffer_handle = [](tenon_device*, tenon_buffer* b) -> void* {
      return shared ? static_cast<void*>(reinterpret_cast<Block*>(b)->bytes.get()) : b;
    };
    k->api.copy = [](tenon_device*, std::uint32_t route, tenon_stream*, const tenon_address* dst, const tenon_address* src,
                     std::uint64_t bytes) -> tenon_status* {
      const auto host = [](const tenon_address* a) { return static_cast<unsigned char*>(a->handle) + a->offset; };
      unsigned char* to = route == 0 ? own_bytes(*dst) : host(dst);
      const unsigned char* from = route == 0 ? host(src) : own_bytes(*src);
      for (std::uint64_t i = 0; i < bytes; ++i) to[i] = from[i] ^ flipped;
      return nullptr;
    };
    return k;
  }();
  return *made;
}

}  // namespace

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) { return provider().describe(args); }
