// Tile instructions as the kernels spell them, on the processor or on the emulator.
#include "plugins/cpu/amx/tiles.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "plugins/cpu/isa.h"
#include "tests/unit/cpu/amx_emulator.h"

namespace tenon::cpu::test {
namespace {

using namespace amx;

struct Random {
  std::uint32_t state = 7;
  std::uint32_t next() { return state = state * 1664525u + 1013904223u, state >> 8; }
};

std::uint16_t bf16(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<std::uint16_t>(bits >> 16);
}
float float_of(std::uint16_t half) {
  const std::uint32_t bits = std::uint32_t{half} << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

struct Bytes {
  std::uint8_t a[16][64], b[16][64];
  std::int32_t c[16][16];
};

template <bool kASigned, bool kBSigned>
void product(Bytes& t) {
  TileScope scope;
  tile_load<0>(t.c, 64);
  tile_load<3>(t.a, 64);
  tile_load<7>(t.b, 64);
  if constexpr (kASigned && kBSigned) dot_s8s8<0, 3, 7>();
  else if constexpr (kASigned) dot_s8u8<0, 3, 7>();
  else if constexpr (kBSigned) dot_u8s8<0, 3, 7>();
  else dot_u8u8<0, 3, 7>();
  tile_store<0>(t.c, 64);
}

template <bool kASigned, bool kBSigned>
void check_bytes() {
  Bytes t;
  Random random;
  for (auto& row : t.a)
    for (auto& x : row) x = static_cast<std::uint8_t>(random.next());
  for (auto& row : t.b)
    for (auto& x : row) x = static_cast<std::uint8_t>(random.next());
  std::memset(t.a[0], 0xff, 64);
  for (auto& row : t.c)
    for (auto& x : row) x = static_cast<std::int32_t>(random.next());
  std::int64_t want[16][16];
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) {
      want[i][j] = t.c[i][j];
      for (int k = 0; k < 16; ++k)
        for (int e = 0; e < 4; ++e) {
          const std::uint8_t x = t.a[i][4 * k + e], y = t.b[k][4 * j + e];
          want[i][j] += (kASigned ? static_cast<std::int8_t>(x) : int{x}) * (kBSigned ? static_cast<std::int8_t>(y) : int{y});
        }
    }
  product<kASigned, kBSigned>(t);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) ASSERT_EQ(t.c[i][j], want[i][j]) << i << ", " << j;
}

TEST(Amx, ProductsOfBytes) {
  const AmxEmulator emulator;
  check_bytes<false, false>();
  check_bytes<false, true>();
  check_bytes<true, false>();
  check_bytes<true, true>();
}

TEST(Amx, ProductsOfPairs) {
  const AmxEmulator emulator;
  std::uint16_t a[16][32], b[16][32];
  float c[16][16], want[16][16];
  Random random;
  const auto number = [&] { return bf16(std::ldexp(static_cast<float>(random.next() & 0xff) - 128.0f, static_cast<int>(random.next() % 8) - 8)); };
  for (auto& row : a)
    for (auto& x : row) x = number();
  for (auto& row : b)
    for (auto& x : row) x = number();
  a[1][0] = bf16(std::numeric_limits<float>::infinity());
  a[2][3] = bf16(std::numeric_limits<float>::quiet_NaN());
  for (auto& x : a[3]) x = 1;  // the smallest denormal, as large numbers would show
  for (auto& row : c)
    for (auto& x : row) x = 0.5f;
  b[0][0] = b[0][2] = bf16(1e38f);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) {
      float even = 0, odd = 0;
      for (int k = 0; k < 16; ++k) {
        even = std::fma(i == 3 ? 0 : float_of(a[i][2 * k]), float_of(b[k][2 * j]), even);
        odd = std::fma(i == 3 ? 0 : float_of(a[i][2 * k + 1]), float_of(b[k][2 * j + 1]), odd);
      }
      want[i][j] = c[i][j] + (even + odd);
    }
  {
    const TileScope scope;
    tile_load<2>(c, 64);
    tile_stream<4>(a, 64);
    tile_load<5>(b, 64);
    dot_bf16<2, 4, 5>();
    tile_store<2>(c, 64);
  }
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j)
      EXPECT_TRUE(std::isnan(want[i][j]) ? std::isnan(c[i][j]) : c[i][j] == want[i][j]) << i << ", " << j << ": " << c[i][j] << " not " << want[i][j];
  EXPECT_EQ(c[3][0], 0.5f);
}

// Every register has a home in the kernels: operands anywhere, odd strides, displacements, tiles that are not full.
TEST(Amx, ShapesAndAddresses) {
  const AmxEmulator emulator;
  TileConfig config = TileConfig::full();
  config.rows[6] = 5, config.row_bytes[6] = 12;  // A: 5 rows of 3 quads
  config.rows[1] = 3, config.row_bytes[1] = 28;  // B: 3 rows of 7 columns
  config.rows[0] = 5, config.row_bytes[0] = 28;
  std::vector<std::uint8_t> a(5 * 100 + 64), b(3 * 77 + 64);
  std::vector<std::int32_t> c(5 * 9, -1), twice(5 * 9, -1);
  Random random;
  for (auto& x : a) x = static_cast<std::uint8_t>(random.next());
  for (auto& x : b) x = static_cast<std::uint8_t>(random.next());
  {
    const TileScope scope(config);
    tile_load<6>(a.data() + 3, 100);
    tile_load<1>(b.data() + 5, 77);
    tile_zero<0>();
    dot_u8u8<0, 6, 1>();
    tile_store<0>(c.data(), 36);
    dot_u8u8<0, 6, 1>();
    tile_store<0>(twice.data(), 36);
  }
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 9; ++j) {
      std::int32_t want = 0;
      for (int k = 0; k < 3; ++k)
        for (int e = 0; e < 4; ++e) want += a[static_cast<std::size_t>(3 + i * 100 + 4 * k + e)] * b[static_cast<std::size_t>(5 + k * 77 + 4 * j + e)];
      EXPECT_EQ(c[static_cast<std::size_t>(i * 9 + j)], j < 7 ? want : -1);
      EXPECT_EQ(twice[static_cast<std::size_t>(i * 9 + j)], j < 7 ? 2 * want : -1);
    }
}

TEST(Amx, RegistersBelongToTheThread) {
  const AmxEmulator emulator;
  std::vector<std::int32_t> wrong(4);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t, &wrong] {
      std::int32_t in[16][16], out[16][16];
      for (auto& row : in)
        for (auto& x : row) x = t;
      const TileScope scope;
      for (int round = 0; round < 50; ++round) {
        tile_load<5>(in, 64);
        tile_store<5>(out, 64);
        wrong[static_cast<std::size_t>(t)] += std::memcmp(in, out, sizeof in) != 0;
      }
    });
  for (auto& thread : threads) thread.join();
  for (std::int32_t w : wrong) EXPECT_EQ(w, 0);
  EXPECT_GE(AmxEmulator::executed(), available() ? 0 : 4 * 101);
}

TEST(Amx, DetectedOnlyWithTheSystemsLeave) {
  EXPECT_LE(detect_isa() == Isa::amx, available());
}

}  // namespace
}  // namespace tenon::cpu::test
