#include "core/base/file_cache.h"

#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "core/base/pages.h"

namespace tenon {
namespace {

namespace fs = std::filesystem;

struct FileCacheTest : testing::Test {
  fs::path folder = fs::temp_directory_path() / ("tenon-cache-test-" + std::to_string(::getpid()));
  ~FileCacheTest() override { fs::remove_all(folder); }

  std::shared_ptr<FileCache> open(std::uint64_t limit = 1 << 30) {
    auto cache = FileCache::open(folder.string(), limit);
    EXPECT_TRUE(cache.ok()) << cache.status().text();
    return cache.ok() ? *cache : nullptr;
  }
  static std::vector<std::byte> bytes(std::size_t n, int seed) {
    std::vector<std::byte> out(n);
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(i * 7 + static_cast<std::size_t>(seed));
    return out;
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path());
    return out;
  }
  static bool equal(const FileCache::Entry& entry, const std::vector<std::byte>& expected) {
    return entry.bytes.size() == expected.size() && std::memcmp(entry.bytes.data(), expected.data(), expected.size()) == 0;
  }
};

TEST_F(FileCacheTest, WhatWasPutIsFoundAgainByAnotherInstance) {
  const auto a = bytes(100'000, 1), b = bytes(1, 2);
  open()->put("a", a);
  open()->put(std::string(10'000, 'k'), b);
  const auto cache = open();
  for (const auto check : {FileCache::Check::header, FileCache::Check::content}) {
    const auto found = cache->get("a", check);
    ASSERT_TRUE(found);
    EXPECT_TRUE(equal(*found, a));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(found->bytes.data()) % 4096, 0u);
    const auto long_key = cache->get(std::string(10'000, 'k'), check);
    ASSERT_TRUE(long_key);
    EXPECT_TRUE(equal(*long_key, b));
  }
  EXPECT_FALSE(cache->get("c", FileCache::Check::header));
}

TEST_F(FileCacheTest, ABytesLifeIsThatOfItsHolder) {
  const auto a = bytes(50'000, 3);
  std::optional<FileCache::Entry> entry;
  {
    const auto cache = open();
    cache->put("a", a);
    entry = cache->get("a", FileCache::Check::header);
  }
  fs::remove_all(folder);
  ASSERT_TRUE(entry);
  EXPECT_TRUE(equal(*entry, a));
}

TEST_F(FileCacheTest, DamagedFilesAreNoHits) {
  const auto a = bytes(20'000, 4);
  const auto cache = open();
  const auto damage = [&](auto&& change) {
    cache->put("a", a);
    change(files().at(0));
    return cache->get("a", FileCache::Check::header);
  };
  const auto poke = [](const fs::path& file, std::streamoff at) {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(at);
    f.put('\x5a');
  };
  EXPECT_TRUE(damage([](const fs::path&) {}));
  EXPECT_FALSE(damage([](const fs::path& f) { fs::resize_file(f, 10'000); }));
  EXPECT_FALSE(damage([](const fs::path& f) { fs::resize_file(f, 0); }));
  EXPECT_FALSE(damage([](const fs::path& f) { fs::resize_file(f, 100'000); }));
  for (std::streamoff at : {0, 8, 16, 24, 32, 40, 48, 57, 4000}) EXPECT_FALSE(damage([&](const fs::path& f) { poke(f, at); })) << at;
  // The bytes themselves are looked at on request only.
  EXPECT_TRUE(damage([&](const fs::path& f) { poke(f, 4096 + 5000); }));
  EXPECT_FALSE(cache->get("a", FileCache::Check::content));
}

TEST_F(FileCacheTest, AFileOfAnotherKeyIsNoHit) {
  const auto cache = open();
  cache->put("a", bytes(5000, 5));
  const fs::path a = files().at(0);
  cache->put("b", bytes(5000, 6));
  for (const fs::path& f : files())
    if (f != a) fs::copy_file(a, f, fs::copy_options::overwrite_existing);
  EXPECT_TRUE(cache->get("a", FileCache::Check::header));
  EXPECT_FALSE(cache->get("b", FileCache::Check::header));
}

TEST_F(FileCacheTest, FoldersAndFilesThatOthersMayWriteAreNotTrusted) {
  open()->put("a", bytes(5000, 7));
  ::chmod(folder.c_str(), 0777);
  const auto refused = FileCache::open(folder.string(), 1 << 20);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), TENON_PERMISSION_DENIED);
  ::chmod(folder.c_str(), 0700);
  const auto cache = open();
  EXPECT_TRUE(cache->get("a", FileCache::Check::header));
  ::chmod(files().at(0).c_str(), 0666);
  EXPECT_FALSE(cache->get("a", FileCache::Check::header));
  ::chmod(files().at(0).c_str(), 0600);
  // A link is not followed.
  const fs::path real = files().at(0), moved = real.string() + ".moved";
  fs::rename(real, moved);
  fs::create_symlink(moved, real);
  EXPECT_FALSE(cache->get("a", FileCache::Check::header));
}

TEST_F(FileCacheTest, TrimRemovesWhatWasUsedLongestAgo) {
  const auto cache = open(100'000);
  for (int i = 0; i < 5; ++i) {
    cache->put("k" + std::to_string(i), bytes(30'000, i));
    for (const fs::path& f : files()) {
      struct stat info {};
      ASSERT_EQ(::stat(f.c_str(), &info), 0);
      const timespec older[2] = {{info.st_mtim.tv_sec - 1000, 0}, {info.st_mtim.tv_sec - 1000, 0}};
      ::utimensat(AT_FDCWD, f.c_str(), older, 0);
    }
  }
  EXPECT_TRUE(cache->get("k0", FileCache::Check::header));  // its time of use is now
  std::ofstream(folder / "notes.txt") << "not ours";
  const fs::path half = folder / "x.tnc.1.0.new";
  std::ofstream(half) << "half";
  const timespec old[2] = {{1, 0}, {1, 0}};
  ::utimensat(AT_FDCWD, half.c_str(), old, 0);
  cache->trim();
  EXPECT_TRUE(cache->get("k0", FileCache::Check::header));
  EXPECT_TRUE(cache->get("k4", FileCache::Check::header));
  EXPECT_FALSE(cache->get("k1", FileCache::Check::header));
  EXPECT_FALSE(cache->get("k2", FileCache::Check::header));
  EXPECT_TRUE(fs::exists(folder / "notes.txt"));
  EXPECT_FALSE(fs::exists(half));
  cache->put("big", bytes(200'000, 9));  // more than the folder may hold
  EXPECT_FALSE(cache->get("big", FileCache::Check::header));
}

TEST_F(FileCacheTest, ManyWritersOfOneKeyLeaveOneWholeFile) {
  const auto a = bytes(200'000, 8);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      const auto cache = open();
      for (int i = 0; i < 10; ++i) {
        cache->put("a", a);
        const auto found = cache->get("a", FileCache::Check::content);
        EXPECT_TRUE(found && equal(*found, a));
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(files().size(), 1u);
}

TEST(LargeMemory, IsAlignedWholeAndWritable) {
  for (const std::uint64_t n : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4096}, std::uint64_t{2} << 20, (std::uint64_t{5} << 20) + 123}) {
    const auto memory = large_memory(n, 256);
    ASSERT_TRUE(memory) << n;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.get()) % 256, 0u);
    std::memset(memory.get(), 7, n);
  }
  EXPECT_FALSE(large_memory(~std::uint64_t{0}));
}

}  // namespace
}  // namespace tenon
