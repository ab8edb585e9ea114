// Damaged models: cut anywhere, bits flipped anywhere, random bytes. Loading and running them fails or not, but never ends
// the process; the sanitizer builds watch for more.
#include <random>

#include <gtest/gtest.h>

#include "tests/support/model_text.h"
#include "tests/support/run_whatever.h"

namespace tenon {
namespace {

using namespace test;

std::vector<std::string> models() {
  return {
      graph_bytes("g (float[N,4] x) => (float[N,4] y) { s = Constant<value = int64[2] {-1, 2}>() a = Reshape(x, s) b = Softmax(a) t = Shape(x) y = Reshape(b, t) }"),
      graph_bytes("g (float[2,3,8,8] x) => (y) { w = Constant<value = float[4,3,1,1] {1,2,3,4,5,6,7,8,9,10,11,12}>() a = Conv(x, w) b = Relu(a) c = MaxPool<kernel_shape = [2,2]>(b) y = GlobalAveragePool(c) }"),
      graph_bytes(R"(g (int64 n, float[2] x) => (float[2] y, float[T,2] z) {
        t = Constant<value = bool {1}>()
        y, z = Loop(n, t, x) <body = b (int64 i, bool c, float[2] a) => (bool d, float[2] e, float[2] f) { d = Identity(c) e = Add(a, a) f = Neg(a) }>
      })"),
      graph_bytes("g (float[3] x) => (float[3] y, float[3] z) { y = Max(x) z = Sum(x) }"),
      graph_bytes("g (float[N] x, int64[K] i) => (float[K] y, int64[1,M] z) { y = Gather(x, i) z = NonZero(x) }"),
  };
}

void load_and_run(const std::string& bytes) {
  const Status status = run_whatever(bytes);
  EXPECT_TRUE(status.ok() || !status.text().empty());
}

TEST(Mutation, TruncatedModels) {
  for (const std::string& m : models())
    for (std::size_t n = 1; n < m.size(); n += 3) load_and_run(m.substr(0, n));
}

TEST(Mutation, FlippedBits) {
  std::mt19937 random(11);
  for (const std::string& m : models())
    for (int i = 0; i < 100; ++i) {
      std::string bytes = m;
      for (int k = 0; k <= i % 3; ++k) bytes[random() % bytes.size()] ^= static_cast<char>(1u << random() % 8);
      load_and_run(bytes);
    }
}

TEST(Mutation, RandomBytes) {
  std::mt19937 random(12);
  for (int i = 0; i < 200; ++i) {
    std::string bytes(random() % 300 + 1, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    load_and_run(bytes);
  }
}

}  // namespace
}  // namespace tenon
