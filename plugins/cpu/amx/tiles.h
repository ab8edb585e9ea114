// Tiles: the matrix unit of recent x86 processors (AMX): eight registers of 16 rows × 64 bytes, and products between them.
//
// Whoever uses tiles holds a TileScope on its thread; the registers are lost when it ends. A product adds to tile C, for rows
// of A and columns of B, sums over quads of bytes or pairs of bfloat16: C[i, j] += sum over r, e of A[i][r][e] * B[r][j][e],
// where row r of B holds quads or pairs r of 16 columns. C is int32 or float32 [16][16]. Numbers of tiles are template
// arguments because they are part of the instruction. Inline assembly, so that no compiler flag is needed and the code runs
// only where available() said so. No state but the thread's registers.
#pragma once

#include <cstdint>

namespace tenon::cpu::amx {

inline constexpr int tile_rows = 16;
inline constexpr std::int64_t tile_row_bytes = 64, tile_bytes = tile_rows * tile_row_bytes;

// Whether processor and system have tiles, their products of bytes and of bfloat16, and AVX512_BF16 beside them. Asks the
// system for the right to use them the first time.
bool available();

#if defined(__x86_64__)

template <int T>
inline void tile_zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(T));
}
// 16 rows of 64 bytes, stride_bytes apart.
template <int T>
inline void tile_load(const void* p, std::int64_t stride_bytes) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride_bytes), "i"(T) : "memory");
}
// The same for what is read once: it need not stay in the nearest cache.
template <int T>
inline void tile_stream(const void* p, std::int64_t stride_bytes) {
  asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride_bytes), "i"(T) : "memory");
}
template <int T>
inline void tile_store(void* p, std::int64_t stride_bytes) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride_bytes), "i"(T) : "memory");
}

// Float32 sums of pairs of bfloat16: denormals are zeros, sums round to the nearest even number.
template <int C, int A, int B>
inline void dot_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}
// Int32 sums of quads of bytes: u8 or s8 in A, then in B. They wrap around.
template <int C, int A, int B>
inline void dot_u8s8() {
  asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}
template <int C, int A, int B>
inline void dot_s8s8() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}
template <int C, int A, int B>
inline void dot_s8u8() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}
template <int C, int A, int B>
inline void dot_u8u8() {
  asm volatile("tdpbuud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}

// What LDTILECFG reads: palette 1, with the height and width of each tile.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  static constexpr TileConfig full() {
    TileConfig c;
    for (int t = 0; t < 8; ++t) c.row_bytes[t] = tile_row_bytes, c.rows[t] = tile_rows;
    return c;
  }
};
static_assert(sizeof(TileConfig) == 64);

// Eight full tiles for this thread, all zero, until the end of the scope. Costs some tens of nanoseconds, so one for a step.
// Scopes do not nest.
class TileScope {
 public:
  explicit TileScope(const TileConfig& config = kFull) { asm volatile("ldtilecfg %0" ::"m"(config)); }
  ~TileScope() { asm volatile("tilerelease" ::: "memory"); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;

 private:
  static constexpr TileConfig kFull = TileConfig::full();
};

#endif

}  // namespace tenon::cpu::amx
