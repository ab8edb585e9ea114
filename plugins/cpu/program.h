// Program: one compiled part: units in execution order, the values between them, and where constants are.
//
// Made by compile and immutable afterwards, except that the pointers of constants are looked up on first use (under a
// lock). Value numbers are the program's own: each stands for a value of the graph in one type and one layout. Any thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "plugins/cpu/families.h"
#include "plugins/cpu/host.h"
#include "plugins/cpu/tuner.h"

namespace tenon::cpu {

constexpr std::uint32_t no_value = TENON_NO_VALUE;

struct Value {
  std::uint32_t graph_value = 0;     // dims, known elements and name
  std::int32_t dtype = 0;            // half types only where the value enters or leaves the part
  std::int32_t block = 0;
  std::uint32_t operand = no_value;  // of the part: an input or an output
  std::uint32_t alias = no_value;    // the value whose memory this is
  std::uint32_t constant = no_value; // index into the program's constants
  bool is_output = false;
};

// A node, or several fused ones, or a conversion that the program put in.
struct Unit {
  std::unique_ptr<Op> op;
  std::vector<std::uint32_t> inputs, outputs;  // values; no_value where omitted
  std::vector<std::uint32_t> nodes;            // graph nodes that it computes; the first is the op's own
  bool data_dependent = false;
  bool bytes = false;                          // fuse_quantized made it: from bytes to bytes, images channels last inside
  std::string label;                           // for messages
};

// A constant that units read. Values of half types are converted once.
struct Constant {
  std::uint64_t id = 0;
  std::int32_t dtype = 0;    // declared
  std::int64_t count = 0;
  std::atomic<const void*> data{nullptr};
};

using FindRow = const OpRow* (*)(std::string_view domain, std::string_view op_type);

class Program {
 public:
  // Nodes, fused, laid out. Throws Failure and HostError. find: the rows to use.
  static std::unique_ptr<Program> compile(const Host& host, const Options& options, const tenon_part& part, tenon_task* load,
                                          FindRow find = find_row, Tuning tuning = {});
  ~Program();
  Program(const Program&) = delete;

  // Bytes of a constant as kernels see them; valid as long as the program.
  const void* constant(std::uint32_t index, tenon_task* load) const;

  Host host;
  Options options;
  Tuning tuning;
  std::uint32_t input_count = 0, output_count = 0;
  std::vector<Value> values;
  std::vector<Unit> units;
  std::vector<std::unique_ptr<Constant>> constants;

  // Memory of this program's own; throws std::bad_alloc.
  void* alloc(std::uint64_t bytes) const;

 private:
  Program() = default;
  mutable std::mutex mutex_;
  mutable std::vector<void*> memory_;
};

}  // namespace tenon::cpu
