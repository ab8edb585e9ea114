// A host in miniature: drives a provider's table through one Relu, with every struct at the end of a page behind which there is
// nothing, so that who reads or writes beyond a struct_size crashes.
//
// Compiled against the headers of this minor and against those of the next: nothing here depends on which.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include <tenon/provider.h>

#include "tests/unit/cpu/fake_host.h"

namespace tenon::abi_test {

// Zeroed memory whose last byte is the last of its page.
class Guarded {
 public:
  explicit Guarded(std::size_t bytes) : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), bytes_(bytes) {
    pages_ = (bytes + page_ - 1) / page_ + 1;
    base_ = static_cast<char*>(mmap(nullptr, pages_ * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + (pages_ - 1) * page_, page_, PROT_NONE);
  }
  ~Guarded() { munmap(base_, pages_ * page_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  void* data() const { return base_ + (pages_ - 1) * page_ - bytes_; }

 private:
  std::size_t page_, bytes_, pages_;
  char* base_;
};

// One struct, or an array of them, with struct_size set.
template <class T>
class Boxed {
 public:
  explicit Boxed(std::size_t count = 1) : memory_(count * sizeof(T)), count_(count) {
    for (std::size_t i = 0; i < count; ++i) {
      new (&(*this)[i]) T{};
      (*this)[i].struct_size = sizeof(T);
    }
  }
  T* operator->() { return &(*this)[0]; }
  T& operator[](std::size_t i) { return static_cast<T*>(memory_.data())[i]; }
  T* get() { return &(*this)[0]; }
  tenon_span span() { return {memory_.data(), count_, sizeof(T), 0}; }

 private:
  Guarded memory_;
  std::size_t count_;
};

inline tenon_str str(const char* text) { return {text, std::strlen(text)}; }
inline std::string text(tenon_str s) { return s.data ? std::string(s.data, s.size) : std::string(); }

// The table that this host lends: the fake host's, in a box, with what it leaves out.
inline Boxed<tenon_host_api>& host_table() {
  static auto* made = [] {
    auto* out = new Boxed<tenon_host_api>;
    *out->get() = cpu::test::fake_host();
    tenon_host_api& a = *out->get();
    a.struct_size = sizeof a;
    a.abi_major = TENON_ABI_MAJOR;
    a.abi_minor = TENON_ABI_MINOR;
    a.get_extension = [](tenon_host*, tenon_str, std::uint32_t) -> const void* { return nullptr; };
    a.progress = [](tenon_task*, double) {};
    a.workspace = [](tenon_plan_sink* sink, const tenon_temp* t) { sink->temps.push_back(cpu::test::whole(*t)); };
    a.extents = [](tenon_task*, std::uint32_t) -> const std::int64_t* { return nullptr; };
    return out;
  }();
  return *made;
}

// The offer of a host; its error text is bounded like everything else.
struct Offer {
  Offer(std::uint32_t major, std::uint32_t minor_min, std::uint32_t minor_max, std::size_t error_bytes = 256) : reason(error_bytes) {
    args->abi_major = major;
    args->minor_min = minor_min;
    args->minor_max = minor_max;
    args->host_features = TENON_FEATURE_CONCURRENT_COMPILE | TENON_FEATURE_UNLOADABLE;
    args->header_hash = 42;
    args->host_version = str("a host of a test");
    args->error = static_cast<char*>(reason.data());
    args->error_capacity = error_bytes;
  }
  Boxed<tenon_query_args> args;
  Guarded reason;
};

// y = Relu(x) of float32[6], x a graph input and y its output.
struct ReluGraph {
  ReluGraph() : values(2), nodes(1) {
    for (std::uint32_t v = 0; v < 2; ++v) {
      values[v].dtype = TENON_DTYPE_FLOAT;
      values[v].rank = 1;
      values[v].flags = v == 0 ? TENON_VALUE_GRAPH_INPUT : TENON_VALUE_GRAPH_OUTPUT;
      values[v].name = str(v == 0 ? "x" : "y");
      values[v].dims = values[v].dim_min = values[v].dim_max = values[v].dim_opt = dims;
      values[v].dim_symbols = symbols;
    }
    nodes[0].form = 2;
    nodes[0].since_version = 14;
    nodes[0].op_type = str("Relu");
    nodes[0].name = str("relu");
    nodes[0].inputs = &x;
    nodes[0].outputs = &y;
    nodes[0].input_count = nodes[0].output_count = 1;
    nodes[0].attributes.stride = sizeof(tenon_attr);
    nodes[0].sources.stride = sizeof(tenon_source);
    graph->nodes = nodes.span();
    graph->values = values.span();
    graph->inputs = &x;
    graph->outputs = &y;
    graph->input_count = graph->output_count = 1;
  }
  const std::uint32_t x = 0, y = 1;
  const std::int64_t dims[1] = {6};
  const std::uint32_t symbols[1] = {0};
  Boxed<tenon_value> values;
  Boxed<tenon_node> nodes;
  Boxed<tenon_graph> graph;
};

// From create to destroy; what came of Relu({-1, 2, -3, 4, -5, 6}), or why it did not.
struct Driven {
  std::vector<float> y;
  std::string failure;
};
Driven drive(const tenon_provider_desc& desc);

}  // namespace tenon::abi_test
