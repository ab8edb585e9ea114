#include "plugins/opencl/codegen/conv_weights.h"

#include <cstring>

#include "plugins/opencl/codegen/conv_text.h"

namespace tenon::opencl {
namespace {

// Input channels that one work item of the packing kernel moves: their rows of a panel stay in a cache while columns are filled.
constexpr int kPackChannels = 16;

// make(channel, at) gives the packed number of an output channel from the element at which its weight stands.
template <class T, class Make>
void fill(const ConvPacking& p, T* out, Make make) {
  const std::int64_t panels = (p.oc + p.width - 1) / p.width;
  for (std::int64_t g = 0; g < p.groups; ++g)
    for (std::int64_t panel = 0; panel < panels; ++panel)
      for (std::int64_t t = 0; t < p.taps; ++t)
        for (std::int64_t i = 0; i < p.ic; ++i)
          for (std::int64_t c = 0; c < p.width; ++c) {
            const std::int64_t channel = panel * p.width + c;
            const std::int64_t at = p.transposed ? (g * p.ic + i) * p.oc + channel : (g * p.oc + channel) * p.ic + i;
            *out++ = channel < p.oc ? make(g * p.oc + channel, at * p.taps + t) : T{};
          }
}

template <class T>
void fill_bias(const ConvPacking& p, const T* bias, T* out) {
  const std::int64_t panels = (p.oc + p.width - 1) / p.width;
  for (std::int64_t g = 0; g < p.groups; ++g)
    for (std::int64_t c = 0; c < panels * p.width; ++c) *out++ = bias && c < p.oc ? bias[g * p.oc + c] : T{};
}

}  // namespace

std::string ConvPacking::key() const {
  return cat("conv:", groups, ":", ic, ":", oc, ":", taps, ":", width, ":", weight_bytes, ":", compute_bytes, ":", input_bytes, integer ? ":integer" : "", transposed ? ":transposed" : "");
}

void pack_conv_weights(const ConvPacking& p, const void* weights, const void* bias, void* out) {
  char* to = static_cast<char*>(out);
  const auto copy = [&]<class T>(T) {
    const T* w = static_cast<const T*>(weights);
    fill(p, reinterpret_cast<T*>(to + p.weights_at()), [&](std::int64_t, std::int64_t at) { return w[at]; });
  };
  if (p.weight_bytes == 8) copy(std::uint64_t{});
  else if (p.weight_bytes == 2) copy(std::uint16_t{});
  else copy(std::uint32_t{});
  if (p.compute_bytes == 8) fill_bias(p, static_cast<const std::uint64_t*>(bias), reinterpret_cast<std::uint64_t*>(to + p.bias_at()));
  else fill_bias(p, static_cast<const std::uint32_t*>(bias), reinterpret_cast<std::uint32_t*>(to + p.bias_at()));
  std::memset(to + p.zeros_at(), 0, p.bytes() - p.zeros_at());
}

void pack_conv_bytes(const ConvPacking& p, const ByteWeights& from, const std::int32_t* bias, void* out) {
  char* to = static_cast<char*>(out);
  const auto number = [&](const void* list, std::int64_t i) -> std::int32_t {
    return from.is_signed ? static_cast<const std::int8_t*>(list)[i] : static_cast<const std::uint8_t*>(list)[i];
  };
  fill(p, reinterpret_cast<std::int16_t*>(to + p.weights_at()), [&](std::int64_t channel, std::int64_t at) {
    const std::int32_t zero = from.zero_point_count == 0 ? 0 : number(from.zero_points, from.zero_point_count == 1 ? 0 : channel);
    return static_cast<std::int16_t>(number(from.weights, at) - zero);
  });
  fill_bias(p, bias, reinterpret_cast<std::int32_t*>(to + p.bias_at()));
  std::memset(to, 0, kConvPackedHeader);
  std::memcpy(to, &from.input_zero_point, sizeof(std::int32_t));
  std::memset(to + p.zeros_at(), 0, p.bytes() - p.zeros_at());
}

KernelText conv_pack_kernel(const ConvPackKernel& k) {
  const bool integer = k.compute == Compute::i32;
  const std::int32_t type = integer ? TENON_DTYPE_INT16 : k.weight;
  const std::string weight = storage_name(k.weight), packed = storage_name(type), bias = storage_name(k.bias), compute = compute_name(k.compute);
  std::string s = cat("__attribute__((reqd_work_group_size(1, 1, 1)))\n__kernel void KERNEL_NAME(__global char* restrict out_base, ulong out_at, "
                      "__global const char* w_base, ulong w_at, __global const char* bias_base, ulong bias_at, int has_bias, int groups, int ic, int oc, int taps",
                      integer ? ", __global const char* zero_base, ulong zero_at, int zero_count, __global const char* input_zero_base, ulong input_zero_at, "
                                "int has_input_zero"
                              : "",
                      ") {\n");
  s += cat("  const int panels = (oc + ", k.width - 1, ") / ", k.width, ", rows = ic * taps, first = get_group_id(0) * ", kPackChannels, ", panel = get_group_id(1), group = panel / panels;\n",
           "  const int channels = min(", kPackChannels, ", ic - first);\n",
           "  const size_t columns = (size_t)panels * groups * ", k.width, ";\n  __global char* out = out_base + out_at;\n");
  if (integer) {
    const std::string input = storage_name(k.input);
    s += cat("  if (first == 0 && panel == 0) *(__global int*)out = has_input_zero ? (int)((__global const ", input, "*)(input_zero_base + input_zero_at))[0] : 0;\n",
             "  out += ", kConvPackedHeader, ";\n  __global const ", weight, "* zero = (__global const ", weight, "*)(zero_base + zero_at);\n");
  }
  s += cat("  __global const ", weight, "* w = (__global const ", weight, "*)(w_base + w_at);\n",
           "  __global const ", bias, "* bias = (__global const ", bias, "*)(bias_base + bias_at);\n",
           "  __global ", compute, "* biases = (__global ", compute, "*)out + (size_t)panel * ", k.width, ";\n",
           "  __global ", packed, "* weights = (__global ", packed, "*)(out + columns * sizeof(", compute, "));\n",
           "  __global ", packed, "* to = weights + (size_t)panel * rows * ", k.width, ";\n  for (int c = 0; c < ", k.width, "; ++c) {\n",
           "    const int within = (panel - group * panels) * ", k.width, " + c, o = group * oc + within, real = within < oc;\n");
  if (integer) s += "    const int away = zero_count == 0 || !real ? 0 : (int)zero[zero_count == 1 ? 0 : o];\n";
  // A column's weights of these channels stand together, unless the convolution is transposed.
  s += cat("    for (int i = 0; i < channels; ++i) {\n      const int channel = first + i;\n      __global const ", weight, "* from = w + (real ? ",
           k.transposed ? "((size_t)(group * ic + channel) * oc + within)" : "((size_t)o * ic + channel)", " * taps : 0);\n",
           "      for (int tap = 0; tap < taps; ++tap) to[(size_t)(tap * ic + channel) * ", k.width, " + c] = real ? (", packed, ")(from[tap]", integer ? " - away" : "", ") : (", packed,
           ")0;\n    }\n    if (first == 0) biases[c] = real && has_bias ? ", load_text(k.bias, 1, "bias", "o"), " : 0;\n  }\n",
           "  if (first == 0 && panel == 0) {\n    __global uchar* zeros = (__global uchar*)(weights + columns * rows);\n",
           "    for (int i = 0; i < max(ic, ", kConvZeros, ") * ", storage_bytes(k.input), "; ++i) zeros[i] = 0;\n  }\n}\n");
  return {{}, s};
}

ConvRange conv_pack_range(const ConvPacking& p) {
  ConvRange range;
  range.global[0] = static_cast<std::uint64_t>((p.ic + kPackChannels - 1) / kPackChannels);
  range.global[1] = static_cast<std::uint64_t>(p.panels());
  return range;
}

}  // namespace tenon::opencl
