// FamilyCheck: runs one node on every path and compares with the plain one.
//
// Plain code with one worker is the oracle; then the vector code for each instruction set up to the machine's, with 1, 2
// and 3 workers, whose results must be the same bits. Single test thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "plugins/cpu/isa.h"
#include "tests/unit/cpu/op_harness.h"

namespace tenon::cpu::test {

// Limits the vector code to an instruction set while it lives.
class IsaScope {
 public:
  explicit IsaScope(Isa isa) { cap_simd_form(isa); }
  ~IsaScope() { cap_simd_form(Isa::avx512_vnni); }
};

inline void expect_near(const Tensor& expected, const Tensor& found, double tolerance, const std::string& where) {
  ASSERT_EQ(expected.dtype, found.dtype) << where;
  if (expected.dtype == TENON_DTYPE_STRING) {
    EXPECT_EQ(expected.strings, found.strings) << where;
    return;
  }
  if (expected.dtype != TENON_DTYPE_FLOAT) {
    EXPECT_EQ(expected.bytes, found.bytes) << where;
    return;
  }
  const std::vector<float> a = expected.as<float>(), b = found.as<float>();
  ASSERT_EQ(a.size(), b.size()) << where;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) || std::isinf(a[i])) {
      ASSERT_EQ(std::isnan(a[i]), std::isnan(b[i])) << where << " at " << i;
      if (!std::isnan(a[i])) {
        ASSERT_EQ(a[i], b[i]) << where << " at " << i;
      }
      continue;
    }
    ASSERT_LE(std::abs(a[i] - b[i]), tolerance * std::max(1.0, std::abs(static_cast<double>(a[i]))))
        << where << " at " << i << ": " << a[i] << " and " << b[i];
  }
}

// Checks the outputs named; options: fuse, block, inplace are taken over.
inline void check_paths(OpTest& test, const std::vector<std::string>& outputs, double tolerance = 1e-5, RunOptions options = {}) {
  RunOptions plain = options;
  plain.plain = true, plain.workers = 1, plain.block = 0, plain.inplace = false;
  const Results oracle = test.run(plain);
  ASSERT_EQ(oracle.error, "");
  for (Isa isa : {Isa::plain, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    const IsaScope scope(isa);
    Results first;
    for (std::uint32_t workers : {1u, 2u, 3u}) {
      options.isa = isa, options.workers = workers, options.threads = workers > 1;
      const Results r = test.run(options);
      const std::string where = "isa " + std::to_string(static_cast<int>(isa)) + ", " + std::to_string(workers) + " workers";
      ASSERT_EQ(r.error, "") << where;
      for (const std::string& name : outputs) {
        expect_near(oracle[name], r[name], tolerance, name + ", " + where);
        if (workers > 1) {
          EXPECT_EQ(first[name].bytes, r[name].bytes) << name << ", " << where;
        }
      }
      if (workers == 1) first = r;
    }
  }
}

}  // namespace tenon::cpu::test
