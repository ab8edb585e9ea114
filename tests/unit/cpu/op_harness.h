// OpTest: builds a few nodes by hand and runs them through the operator families, without core.
//
// Nodes run in the order in which they were added, each on memory of its exact size between guard bytes. One object is
// one test case; run may be called several times. Single thread unless RunOptions::threads.
//
//   OpTest t({elementwise_rows, conv_rows});          // the families whose rows are needed
//   t.input("x", tensor<float>({1, 4}, {1, 2, 3, 4}));
//   t.constant("w", tensor<float>({4}, {1, 1, 1, 1}));
//   t.value("y", TENON_DTYPE_FLOAT, {1, 4});          // -1 where the data decides; inner values too
//   t.node("Add", {"x", "w"}, {"y"}, {{"axis", 1}});  // "" is an omitted input or output
//   Results r = t.run({.isa = Isa::avx2, .workers = 3});
//   ASSERT_EQ(r.error, "");
//   EXPECT_EQ(r["y"].as<float>(), ...);
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "plugins/cpu/families.h"

namespace tenon::cpu::test {

template <class T>
constexpr std::int32_t dtype_of() {
  if constexpr (std::is_same_v<T, float>) return TENON_DTYPE_FLOAT;
  else if constexpr (std::is_same_v<T, double>) return TENON_DTYPE_DOUBLE;
  else if constexpr (std::is_same_v<T, bool>) return TENON_DTYPE_BOOL;
  else if constexpr (std::is_same_v<T, std::uint8_t>) return TENON_DTYPE_UINT8;
  else if constexpr (std::is_same_v<T, std::int8_t>) return TENON_DTYPE_INT8;
  else if constexpr (std::is_same_v<T, std::uint16_t>) return TENON_DTYPE_UINT16;
  else if constexpr (std::is_same_v<T, std::int16_t>) return TENON_DTYPE_INT16;
  else if constexpr (std::is_same_v<T, std::uint32_t>) return TENON_DTYPE_UINT32;
  else if constexpr (std::is_same_v<T, std::int32_t>) return TENON_DTYPE_INT32;
  else if constexpr (std::is_same_v<T, std::uint64_t>) return TENON_DTYPE_UINT64;
  else if constexpr (std::is_same_v<T, std::int64_t>) return TENON_DTYPE_INT64;
  else return TENON_DTYPE_STRING;
}

// Bytes of n elements; sub-byte types are packed.
std::uint64_t bytes_of(std::int32_t dtype, std::int64_t n);

struct Tensor {
  std::int32_t dtype = 0;
  std::vector<std::int64_t> dims;
  std::vector<char> bytes;
  std::vector<std::string> strings;

  std::int64_t count() const {
    std::int64_t n = 1;
    for (std::int64_t d : dims) n *= d;
    return n;
  }
  // Elements; for std::string use `strings`, for half and packed types the raw numbers (as<std::uint16_t>, as<std::uint8_t>).
  template <class T>
  std::vector<T> as() const {
    std::vector<T> out;
    for (std::size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
      T v;
      std::memcpy(&v, bytes.data() + i, sizeof v);
      out.push_back(v);
    }
    return out;
  }
};

// T decides the dtype unless one is given (float16 from std::uint16_t, int4 from packed std::uint8_t, ...).
template <class T>
Tensor tensor(std::vector<std::int64_t> dims, const std::vector<T>& data, std::int32_t dtype = dtype_of<T>()) {
  Tensor t{dtype, std::move(dims), {}, {}};
  if constexpr (std::is_same_v<T, std::string>) {
    t.strings = data;
  } else {
    for (T v : data) t.bytes.insert(t.bytes.end(), reinterpret_cast<const char*>(&v), reinterpret_cast<const char*>(&v) + sizeof v);
  }
  return t;
}
// float32 numbers from -1 to 1 that depend on the seed only.
Tensor random_tensor(std::vector<std::int64_t> dims, std::uint32_t seed = 1);

struct Attr {
  std::string name;
  std::variant<float, std::int64_t, std::string, Tensor, std::vector<float>, std::vector<std::int64_t>, std::vector<std::string>> value;

  Attr(std::string n, int v) : name(std::move(n)), value(std::int64_t{v}) {}
  Attr(std::string n, std::int64_t v) : name(std::move(n)), value(v) {}
  Attr(std::string n, double v) : name(std::move(n)), value(static_cast<float>(v)) {}
  Attr(std::string n, float v) : name(std::move(n)), value(v) {}
  Attr(std::string n, const char* v) : name(std::move(n)), value(std::string(v)) {}
  Attr(std::string n, Tensor v) : name(std::move(n)), value(std::move(v)) {}
  Attr(std::string n, std::vector<float> v) : name(std::move(n)), value(std::move(v)) {}
  Attr(std::string n, std::vector<std::int64_t> v) : name(std::move(n)), value(std::move(v)) {}
  Attr(std::string n, std::vector<std::string> v) : name(std::move(n)), value(std::move(v)) {}
};

struct RunOptions {
  Isa isa = Isa::plain;         // detect_isa() for the machine's best
  bool plain = false;           // the oracle
  std::uint32_t workers = 1;    // each step runs for workers 0 .. workers - 1, in turn
  bool threads = false;         // ... or at the same time
  bool fuse = false;            // chains of nodes: pull, then absorb
  std::int32_t block = 0;       // machine block for Op::layout: 0, 8 or 16
  bool inplace = false;         // share memory where the op says it may
  Precision precision = Precision::high;
};

struct Results {
  std::string error;            // "" or "<code>: <text>"; a refusal starts with "refused"
  std::int32_t code = TENON_OK;
  std::map<std::string, Tensor> values;  // every value that a node made and that is in memory
  std::vector<std::string> steps;        // names, in order

  const Tensor& operator[](const std::string& name) const { return values.at(name); }
};

class OpTest {
 public:
  explicit OpTest(std::vector<FamilyRows> families);
  ~OpTest();
  OpTest(const OpTest&) = delete;

  void input(const std::string& name, Tensor t);
  void known_input(const std::string& name, Tensor t);  // core evaluated it: Shape::known is set
  void constant(const std::string& name, Tensor t);
  // Declares what a node makes. Dims as in the graph; actual: where they differ in the plan (symbolic -1 in the graph).
  void value(const std::string& name, std::int32_t dtype, std::vector<std::int64_t> dims, std::vector<std::int64_t> actual = {});
  // Type of an input that the graph view shows, where some dims are not fixed.
  void symbolic(const std::string& name, std::vector<std::int64_t> dims);
  void node(const std::string& op_type, std::vector<std::string> inputs, std::vector<std::string> outputs, std::vector<Attr> attributes = {},
            const std::string& domain = "");

  const tenon_graph& graph();  // as a provider sees it
  tenon_const_tensor constant_bytes(std::uint64_t const_id);
  std::uint32_t index(const std::string& name);
  const Tensor* input_data(std::uint32_t index) const;  // null: not an input
  bool known(std::uint32_t index) const;
  std::vector<std::int64_t> actual_dims(std::uint32_t index) const;
  Results run(const RunOptions& options = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tenon::cpu::test
