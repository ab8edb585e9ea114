// Kernels of bytes by themselves: every width, what is next to it, every form of the vector code.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "plugins/cpu/ops/byte_finish.h"
#include "tests/unit/cpu/family_check.h"

namespace tenon::cpu::test {
namespace {

// Whole vectors, short ones, one that begins inside the one before, single bytes; the bytes behind stay.
TEST(ByteFinish, TheGreatestOfRows) {
  constexpr std::size_t behind = 7, most = 9;
  for (Isa isa : {Isa::plain, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    const IsaScope scope(isa);
    for (const std::uint8_t flip : {std::uint8_t{0}, std::uint8_t{0x80}})
      for (std::size_t count : {std::size_t{1}, std::size_t{2}, most})
        for (std::size_t n = 0; n <= 150; ++n) {
          std::vector<std::vector<std::uint8_t>> rows(count, std::vector<std::uint8_t>(n));
          std::vector<const std::uint8_t*> taps;
          std::uint32_t seed = static_cast<std::uint32_t>(n);
          for (auto& row : rows) {
            for (std::uint8_t& byte : row) seed = seed * 1664525u + 1013904223u, byte = static_cast<std::uint8_t>(seed >> 24);
            taps.push_back(row.data());
          }
          std::vector<std::uint8_t> found(n + behind, 0xa5), expected = found;
          for (std::size_t i = 0; i < n; ++i) {
            const auto less = [&](const auto& a, const auto& b) {
              return flip ? static_cast<std::int8_t>(a[i]) < static_cast<std::int8_t>(b[i]) : a[i] < b[i];
            };
            expected[i] = (*std::max_element(rows.begin(), rows.end(), less))[i];
          }
          byte_finish(isa).greatest(taps.data(), static_cast<std::int64_t>(count), flip, static_cast<std::int64_t>(n), found.data());
          ASSERT_EQ(expected, found) << "isa " << static_cast<int>(isa) << ", flip " << int{flip} << ", " << count << " rows of " << n;
        }
  }
}

}  // namespace
}  // namespace tenon::cpu::test
