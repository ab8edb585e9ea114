#include "tests/unit/cpu/amx_emulator.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include <immintrin.h>
#include <ucontext.h>
#include <unistd.h>

#include "plugins/cpu/amx/tiles.h"

namespace tenon::cpu::test {
namespace {

constexpr int kTiles = 8, kRows = 16, kRowBytes = 64;

// The tile registers of a thread, as LDTILECFG leaves them.
struct TileFile {
  bool configured = false;
  amx::TileConfig config;
  std::uint8_t data[kTiles][kRows][kRowBytes];
};
thread_local TileFile tiles;
std::atomic<std::int64_t> count{0};

[[noreturn]] void die(const char* what) {
  const char* parts[] = {"amx emulator: ", what, "\n"};
  for (const char* p : parts) [[maybe_unused]] const auto written = ::write(STDERR_FILENO, p, std::strlen(p));
  std::abort();
}

// ---- arithmetic ---------------------------------------------------------------------------------------------------------

// Pairs of rows of B as float32, even and odd elements apart, then row by row of A. The processor's own mode flushes denormals.
__attribute__((always_inline)) inline void product_of_pairs(int c, int a, int b) {
  const auto float_of = [](const std::uint8_t* p) {
    std::uint16_t half;
    std::memcpy(&half, p, sizeof half);
    const std::uint32_t bits = std::uint32_t{half} << 16;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
  };
  const int rows = tiles.config.rows[c], columns = tiles.config.row_bytes[c] / 4, depth = tiles.config.row_bytes[a] / 4;
  float y[2][kRows][kRows];
  for (int k = 0; k < depth; ++k)
    for (int n = 0; n < columns; ++n)
      for (int e = 0; e < 2; ++e) y[e][k][n] = float_of(tiles.data[b][k] + 4 * n + 2 * e);
  for (int m = 0; m < rows; ++m) {
    float sums[2][kRows] = {}, out[kRows] = {};
    for (int k = 0; k < depth; ++k)
      for (int e = 0; e < 2; ++e) {
        const float x = float_of(tiles.data[a][m] + 4 * k + 2 * e);
        for (int n = 0; n < kRows; ++n) sums[e][n] = __builtin_fmaf(x, n < columns ? y[e][k][n] : 0.0f, sums[e][n]);
      }
    std::memcpy(out, tiles.data[c][m], static_cast<std::size_t>(columns) * 4);
    for (int n = 0; n < columns; ++n) out[n] += sums[0][n] + sums[1][n];
    std::memcpy(tiles.data[c][m], out, static_cast<std::size_t>(columns) * 4);
  }
}
__attribute__((target("avx2,fma"))) void product_with_fma(int c, int a, int b) { product_of_pairs(c, a, b); }
void product_without_fma(int c, int a, int b) { product_of_pairs(c, a, b); }

void product_bf16(int c, int a, int b) {
  const unsigned before = _mm_getcsr();
  _mm_setcsr(0x1f80 | 0x8000 | 0x0040);  // to nearest even, no exceptions, denormals are zeros in and out
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) product_with_fma(c, a, b);
  else product_without_fma(c, a, b);
  _mm_setcsr(before);
}

void product_bytes(int c, int a, int b, bool a_signed, bool b_signed) {
  const auto value = [](std::uint8_t x, bool is_signed) { return is_signed ? std::int32_t{static_cast<std::int8_t>(x)} : std::int32_t{x}; };
  const int rows = tiles.config.rows[c], columns = tiles.config.row_bytes[c] / 4, depth = tiles.config.row_bytes[a] / 4;
  for (int m = 0; m < rows; ++m)
    for (int n = 0; n < columns; ++n) {
      std::uint32_t sum;
      std::memcpy(&sum, tiles.data[c][m] + 4 * n, sizeof sum);
      for (int k = 0; k < depth; ++k)
        for (int e = 0; e < 4; ++e)
          sum += static_cast<std::uint32_t>(value(tiles.data[a][m][4 * k + e], a_signed) * value(tiles.data[b][k][4 * n + e], b_signed));
      std::memcpy(tiles.data[c][m] + 4 * n, &sum, sizeof sum);
    }
}

// ---- decoding -----------------------------------------------------------------------------------------------------------

enum Prefix { kNone, k66, kF3, kF2 };

// VEX C4, map 0F38, W0, L0: all that AMX uses.
struct Instruction {
  int prefix, opcode, reg, rm, mod, vvvv;
  bool has_memory = false;
  std::uintptr_t base = 0;   // with displacement
  std::uint64_t index = 0;   // times scale: the stride
  int length = 0;
};

std::uint64_t general(const ucontext_t& context, int number) {
  static constexpr int kOrder[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                     REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<std::uint64_t>(context.uc_mcontext.gregs[kOrder[number]]);
}

bool decode(const ucontext_t& context, Instruction& out) {
  const auto* start = reinterpret_cast<const std::uint8_t*>(context.uc_mcontext.gregs[REG_RIP]);
  const std::uint8_t* p = start;
  if (p[0] != 0xc4 || (p[1] & 0x1f) != 2 || (p[2] & 0x84) != 0) return false;  // W and L are zero
  const int r = p[1] & 0x80 ? 0 : 8, x = p[1] & 0x40 ? 0 : 8, b = p[1] & 0x20 ? 0 : 8;
  out.vvvv = ~(p[2] >> 3) & 15;
  out.prefix = p[2] & 3;
  out.opcode = p[3];
  if (out.opcode != 0x49 && out.opcode != 0x4b && out.opcode != 0x5c && out.opcode != 0x5e) return false;
  const std::uint8_t modrm = p[4];
  p += 5;
  out.mod = modrm >> 6;
  out.reg = (modrm >> 3 & 7) | r;
  out.rm = modrm & 7;
  if (out.mod != 3) {
    out.has_memory = true;
    int displacement_bytes = out.mod == 1 ? 1 : out.mod == 2 ? 4 : 0;
    bool relative = false;
    if (out.rm == 4) {
      const std::uint8_t sib = *p++;
      const int index = (sib >> 3 & 7) | x, low_base = sib & 7;
      if (index != 4) out.index = general(context, index) << (sib >> 6);
      if (low_base == 5 && out.mod == 0) displacement_bytes = 4;
      else out.base = general(context, low_base | b);
    } else if (out.rm == 5 && out.mod == 0) {
      displacement_bytes = 4;
      relative = true;
    } else {
      out.base = general(context, out.rm | b);
    }
    if (displacement_bytes == 1) {
      out.base += static_cast<std::uintptr_t>(std::int64_t{static_cast<std::int8_t>(*p)});
    } else if (displacement_bytes == 4) {
      std::int32_t d;
      std::memcpy(&d, p, sizeof d);
      out.base += static_cast<std::uintptr_t>(std::int64_t{d});
    }
    p += displacement_bytes;
    if (relative) out.base += reinterpret_cast<std::uintptr_t>(p);
  } else {
    out.rm |= b;
  }
  out.length = static_cast<int>(p - start);
  return true;
}

// ---- execution ----------------------------------------------------------------------------------------------------------

void configure(const void* from) {
  std::memcpy(&tiles.config, from, sizeof tiles.config);
  if (tiles.config.palette > 1) die("LDTILECFG of an unknown palette");
  tiles.configured = tiles.config.palette == 1;
  for (int t = 0; t < kTiles; ++t)
    if (tiles.config.rows[t] > kRows || tiles.config.row_bytes[t] > kRowBytes || (tiles.config.rows[t] == 0) != (tiles.config.row_bytes[t] == 0))
      die("LDTILECFG of an impossible shape");
  for (std::uint8_t byte : tiles.config.reserved)
    if (byte) die("LDTILECFG with reserved bits");
  std::memset(tiles.data, 0, sizeof tiles.data);
}

void check_tile(int t) {
  if (!tiles.configured) die("a tile instruction without LDTILECFG");
  if (t >= kTiles || tiles.config.rows[t] == 0) die("a tile that is not configured");
}

// C [m, n], A [m, k], B [k, n].
void check_product(int c, int a, int b) {
  check_tile(c), check_tile(a), check_tile(b);
  const amx::TileConfig& f = tiles.config;
  if (c == a || c == b || a == b) die("a product of tiles that are not three");
  if (f.rows[c] != f.rows[a] || f.row_bytes[c] != f.row_bytes[b] || f.row_bytes[a] != f.rows[b] * 4) die("a product of tiles that do not fit");
}

void clear_beyond(int t) {
  for (int r = 0; r < kRows; ++r)
    std::memset(tiles.data[t][r] + (r < tiles.config.rows[t] ? tiles.config.row_bytes[t] : 0), 0,
                static_cast<std::size_t>(r < tiles.config.rows[t] ? kRowBytes - tiles.config.row_bytes[t] : kRowBytes));
}

bool execute(const Instruction& i) {
  if (i.opcode == 0x49) {
    if (i.has_memory && i.reg == 0 && i.prefix == kNone) {
      configure(reinterpret_cast<const void*>(i.base));
    } else if (i.has_memory && i.reg == 0 && i.prefix == k66) {
      if (tiles.configured) std::memcpy(reinterpret_cast<void*>(i.base), &tiles.config, sizeof tiles.config);
      else std::memset(reinterpret_cast<void*>(i.base), 0, sizeof tiles.config);
    } else if (!i.has_memory && i.prefix == kNone && i.reg == 0 && i.rm == 0) {
      tiles.configured = false;
    } else if (!i.has_memory && i.prefix == kF2 && i.rm == 0) {
      check_tile(i.reg);
      std::memset(tiles.data[i.reg], 0, sizeof tiles.data[i.reg]);
    } else {
      return false;
    }
    return true;
  }
  if (i.opcode == 0x4b) {
    if (!i.has_memory || i.prefix == kNone) return false;
    check_tile(i.reg);
    for (int r = 0; r < tiles.config.rows[i.reg]; ++r) {
      auto* memory = reinterpret_cast<std::uint8_t*>(i.base + static_cast<std::uintptr_t>(r) * i.index);
      if (i.prefix == kF3) std::memcpy(memory, tiles.data[i.reg][r], tiles.config.row_bytes[i.reg]);
      else std::memcpy(tiles.data[i.reg][r], memory, tiles.config.row_bytes[i.reg]);
    }
    if (i.prefix != kF3) clear_beyond(i.reg);
    return true;
  }
  if (i.has_memory || (i.opcode == 0x5c && i.prefix != kF3)) return false;
  check_product(i.reg, i.rm, i.vvvv);
  if (i.opcode == 0x5c) product_bf16(i.reg, i.rm, i.vvvv);
  else product_bytes(i.reg, i.rm, i.vvvv, i.prefix == kF2 || i.prefix == kF3, i.prefix == kF2 || i.prefix == k66);
  return true;
}

void on_illegal_instruction(int, siginfo_t*, void* p) {
  auto& context = *static_cast<ucontext_t*>(p);
  Instruction i;
  if (!decode(context, i) || !execute(i)) die("an illegal instruction that is none of AMX's");
  count.fetch_add(1, std::memory_order_relaxed);
  context.uc_mcontext.gregs[REG_RIP] += i.length;
}

}  // namespace

AmxEmulator::AmxEmulator() : active_(!amx::available()) {
  if (!active_) return;
  struct sigaction action {};
  action.sa_sigaction = on_illegal_instruction;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGILL, &action, &before_);
}

AmxEmulator::~AmxEmulator() {
  if (active_) ::sigaction(SIGILL, &before_, nullptr);
}

std::int64_t AmxEmulator::executed() { return count.load(std::memory_order_relaxed); }

}  // namespace tenon::cpu::test
