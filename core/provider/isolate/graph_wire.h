// Graph views, parts and claims over a channel: the flat arrays of the ABI, one after the other.
// The graph that is read lives in the reader's arena; strings and arrays are copies. No state beyond that; one thread at a time.
#pragma once

#include <memory_resource>

#include <tenon/provider.h>

#include "core/provider/host.h"
#include "core/provider/isolate/wire.h"

namespace tenon::isolate {

void write_graph(Writer& out, const tenon_graph& graph);
void write_node(Writer& out, const tenon_node& node);
void write_part(Writer& out, const tenon_part& part);  // without its graph
// What a provider says of nodes; how many such things follow stands before them.
void write_claim(Writer& out, const tenon_claim& claim);
void write_refusal(Writer& out, std::uint32_t node, std::int32_t reason, std::string_view text);
void write_malformed(Writer& out, std::string_view text);

class GraphReader {
 public:
  explicit GraphReader(Reader& in) : in_(in) {}
  // Null where the bytes are no graph. Valid as long as this reader.
  const tenon_graph* graph();
  const tenon_node* node();
  // graph is filled in by the caller.
  const tenon_part* part();

 private:
  template <class T>
  T* make(std::uint64_t count);
  template <class T>
  const T* array(std::uint64_t* count = nullptr);
  template <class T>
  const T* shorter(std::uint32_t& count);
  tenon_str text();
  void node(tenon_node& out);
  void value(tenon_value& out);
  void attribute(tenon_attr& out);
  void tensor(tenon_const_tensor& out);
  void graph(tenon_graph& out);

  Reader& in_;
  int depth_ = 0;
  std::pmr::monotonic_buffer_resource arena_;
};

// Gives what the process said of nodes to core's sink. False where it is not that.
bool read_claims(Reader& in, tenon_query_sink& sink);

template <class T>
const T& element(const tenon_span& span, std::uint64_t i) {
  return *reinterpret_cast<const T*>(static_cast<const char*>(span.data) + i * span.stride);
}

}  // namespace tenon::isolate
