// A decoder in small: one head layer with a past that grows, a mask, positions from shape arithmetic.
#pragma once

#include "tests/support/model_text.h"

namespace tenon::test {

inline constexpr const char* small_decoder = R"(
g (float[1,2,S,4] x, float[1,2,P,4] past_k, float[1,2,Q,4] past_v, int64[1,T] mask) => (float[1,2,S,4] y, float[1,2,K,4] k, float[1,2,V,4] v)
<int64[2] one_two = {1, 2}, int64 zero = {0}, int64 one = {1}, float half = {0.5}, float small = {0.01}> {
  k = Concat<axis = 2>(past_k, x)
  xv = Mul(x, half)
  v = Concat<axis = 2>(past_v, xv)
  kt = Transpose<perm = [0, 1, 3, 2]>(k)
  s = MatMul(x, kt)
  mb = Cast<to = 1>(mask)
  m4 = Unsqueeze(mb, one_two)
  s2 = Mul(s, m4)
  total1 = Shape<start = 2, end = 3>(k)
  total = Squeeze(total1)
  r = Range(zero, total, one)
  rf = Cast<to = 1>(r)
  rs = Mul(rf, small)
  s3 = Add(s2, rs)
  p = Softmax<axis = -1>(s3)
  y = MatMul(p, v)
})";

// Feeds for `fresh` new rows behind `past` old ones.
inline std::vector<NamedDatum> decoder_feeds(std::int64_t fresh, std::int64_t past) {
  const auto floats = [](std::int64_t rows, float seed) {
    std::vector<float> all(static_cast<std::size_t>(8 * rows));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = seed * static_cast<float>(static_cast<int>(i * 37 % 29) - 14);
    return tensor<float>({1, 2, rows, 4}, all);
  };
  return {{"x", floats(fresh, 0.1f)},
          {"past_k", floats(past, 0.05f)},
          {"past_v", floats(past, 0.07f)},
          {"mask", tensor<std::int64_t>({1, past + fresh}, std::vector<std::int64_t>(static_cast<std::size_t>(past + fresh), 1))}};
}

}  // namespace tenon::test
