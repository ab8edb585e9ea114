// host_memory: aligned, writable to its last byte, null instead of an exception.
#include "core/base/host_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>

namespace tenon {
namespace {

TEST(HostMemory, OfEverySizeIsWritable) {
  constexpr std::uint64_t page = std::uint64_t{2} << 20;
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{1}, page - 1, page, page + 1, page + page / 4, page + page / 4 + 1, 3 * page}) {
    const std::shared_ptr<void> memory = host_memory(bytes);
    ASSERT_NE(memory, nullptr) << bytes;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.get()) % 64, 0u) << bytes;
    std::memset(memory.get(), 1, bytes);
  }
}

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
TEST(HostMemory, ALargeBlockIsUsedAgain) {
  constexpr std::uint64_t bytes = std::uint64_t{9} << 20;
  const void* first = host_memory(bytes).get();
  EXPECT_EQ(host_memory(bytes - 4096).get(), first);
  const std::shared_ptr<void> held = host_memory(bytes), other = host_memory(bytes);
  EXPECT_NE(held.get(), other.get());
  std::memset(other.get(), 1, bytes);
  EXPECT_NE(host_memory(std::uint64_t{3} << 20).get(), first);
}
#endif

TEST(HostMemory, WithoutMemoryIsNull) {
  EXPECT_EQ(host_memory(std::numeric_limits<std::uint64_t>::max()), nullptr);
  EXPECT_EQ(host_memory(std::uint64_t{1} << 62), nullptr);
}

}  // namespace
}  // namespace tenon
