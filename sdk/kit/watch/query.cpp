// Query under watch: its answers as text, and the same graph in longer structs or with damage.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "sdk/kit/watch/watch.h"

namespace tenon::kit {
namespace {

// A sink of ours is the address of its recorder.
struct Recorder {
  QueryRecord record;
  std::vector<bool> answered;
  const tenon_graph* graph = nullptr;
  tenon_query_sink* sink = nullptr;
  bool private_sink = false;
};
thread_local Recorder* current = nullptr;

template <class T>
const T& at(const tenon_span& span, std::uint64_t i) {
  return *reinterpret_cast<const T*>(static_cast<const char*>(span.data) + i * span.stride);
}

// A copy of a graph view whose arrays belong to it, with `extra` bytes of what a newer host may have behind each struct.
class Copy {
 public:
  Copy(const tenon_graph& from, std::uint32_t extra) : graph(from) {
    nodes_ = stretch(from.nodes, sizeof(tenon_node), extra);
    values_ = stretch(from.values, sizeof(tenon_value), extra);
    graph.nodes = {nodes_.data(), from.nodes.count, static_cast<std::uint32_t>(sizeof(tenon_node) + extra), 0};
    graph.values = {values_.data(), from.values.count, static_cast<std::uint32_t>(sizeof(tenon_value) + extra), 0};
  }
  tenon_node& node(std::uint64_t i) { return const_cast<tenon_node&>(at<tenon_node>(graph.nodes, i)); }
  tenon_value& value(std::uint64_t i) { return const_cast<tenon_value&>(at<tenon_value>(graph.values, i)); }
  tenon_graph graph;

 private:
  static std::vector<char> stretch(const tenon_span& from, std::size_t size, std::uint32_t extra) {
    std::vector<char> out(from.count * (size + extra) + 1, static_cast<char>(0xa7));
    const std::uint32_t full = static_cast<std::uint32_t>(size + extra);
    for (std::uint64_t i = 0; i < from.count; ++i) {
      std::memcpy(out.data() + i * full, static_cast<const char*>(from.data) + i * from.stride, size);
      std::memcpy(out.data() + i * full, &full, sizeof full);
    }
    return out;
  }
  std::vector<char> nodes_, values_;
};

std::string number(double x) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", x);
  return text;
}

tenon_status* recorded(tenon_device* device, const tenon_query* query, tenon_query_sink* sink, Recorder& recorder) {
  recorder.graph = query->graph;
  recorder.sink = sink;
  recorder.record.nodes = query->graph->nodes.count;
  recorder.answered.assign(query->graph->nodes.count, false);
  Recorder* const outer = current;
  current = &recorder;
  const auto start = std::chrono::steady_clock::now();
  tenon_status* status = watch().api->query(device, query, sink);
  recorder.record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  current = outer;
  for (std::uint32_t n = 0; n < recorder.answered.size(); ++n)
    if (!recorder.answered[n] && !(at<tenon_node>(query->graph->nodes, n).flags & TENON_NODE_HOST_EVALUATED))
      recorder.record.unanswered.push_back(n);
  return status;
}

// One way in which a graph can be strange and still have the operands that ONNX asks for. Nothing of it may be claimed where
// `unknown` says so, nothing may crash.
void disturb(tenon_device* device, const tenon_query& query, const char* what, bool unknown, const std::function<void(Copy&)>& change) {
  Watch& w = watch();
  std::fprintf(stderr, "query of a graph with %s\n", what);  // the last of these is what a crash came of
  Copy copy(*query.graph, 0);
  change(copy);
  tenon_query changed = query;
  changed.graph = &copy.graph;
  Recorder recorder;
  recorder.private_sink = true;
  tenon_status* status = recorded(device, &changed, reinterpret_cast<tenon_query_sink*>(&recorder), recorder);
  ++w.disturbed;
  if (status) real_host().status_free(status);  // an error is an answer
  else if (unknown)
    for (const std::string& answer : recorder.record.answers)
      if (answer.starts_with("claim ")) w.broke(std::string("query claims a node with ") + what + ": " + answer);
}

void disturb_all(tenon_device* device, const tenon_query& query) {
  const auto each_node = [](auto fn) {
    return [fn](Copy& c) {
      for (std::uint64_t i = 0; i < c.graph.nodes.count; ++i) fn(c.node(i));
    };
  };
  const auto each_value = [](auto fn) {
    return [fn](Copy& c) {
      for (std::uint64_t i = 0; i < c.graph.values.count; ++i) fn(c.value(i));
    };
  };
  static const char nowhere[] = "kit.nowhere", no_op[] = "NoSuchOperator";
  disturb(device, query, "an unknown domain", true, each_node([](tenon_node& n) { n.domain = {nowhere, sizeof nowhere - 1}; }));
  disturb(device, query, "an unknown operator", true, each_node([](tenon_node& n) { n.op_type = {no_op, sizeof no_op - 1}; }));
  disturb(device, query, "an operator without a name", true, each_node([](tenon_node& n) { n.op_type = {nullptr, 0}; }));
  disturb(device, query, "dtype 999", true, each_value([](tenon_value& v) { v.dtype = 999; }));
  disturb(device, query, "a kind that is no tensor", false, each_value([](tenon_value& v) { v.kind = TENON_KIND_MAP; }));
  disturb(device, query, "no inferred types", false, each_value([](tenon_value& v) {
            v.dtype = 0, v.rank = -1, v.dims = v.dim_min = v.dim_max = v.dim_opt = nullptr, v.dim_symbols = nullptr;
          }));
  disturb(device, query, "unknown ranks", false, each_value([](tenon_value& v) {
            v.rank = -1, v.dims = v.dim_min = v.dim_max = v.dim_opt = nullptr, v.dim_symbols = nullptr;
          }));
  disturb(device, query, "no attributes", false, each_node([](tenon_node& n) { n.attributes.count = 0; }));
  disturb(device, query, "no nodes", false, [](Copy& c) { c.graph.nodes.count = 0; });
  disturb(device, query, "constants whose ids are unknown", false, each_value([](tenon_value& v) {
    if (v.const_id) v.const_id = ~std::uint64_t{0};
  }));
}

}  // namespace

bool record_claim(tenon_query_sink* sink, const tenon_claim& claim) {
  if (!current || current->sink != sink) {
    watch().broke("claim was called outside of the query that its sink belongs to");
    return false;
  }
  Recorder& r = *current;
  std::string text = "claim";
  for (std::uint32_t i = 0; i < claim.node_count; ++i) {
    text += " " + std::to_string(claim.nodes[i]);
    if (claim.nodes[i] < r.answered.size()) r.answered[claim.nodes[i]] = true;
    else watch().broke("query claims node " + std::to_string(claim.nodes[i]) + " of " + std::to_string(r.answered.size()));
  }
  if (claim.node_count == 0) watch().broke("query made a claim without nodes");
  for (const double estimate : {claim.est_ns, claim.est_flops, claim.est_bytes})
    if (!std::isfinite(estimate) || estimate < 0)
      watch().broke("a claim has the estimate " + number(estimate) + "; 0 and more is expected");
  if (!(claim.flags & TENON_CLAIM_DETERMINISTIC)) watch().deterministic = false;
  text += " flags " + std::to_string(claim.flags) + " ns " + number(claim.est_ns) + " flops " + number(claim.est_flops) +
          " bytes " + number(claim.est_bytes) + " weights " + std::to_string(claim.weight_bytes) + " rules " +
          std::to_string(claim.rules.count);
  r.record.answers.push_back(std::move(text));
  return r.private_sink;
}

bool record_reject(tenon_query_sink* sink, std::uint32_t node, std::int32_t reason, tenon_str text) {
  if (!current || current->sink != sink) {
    watch().broke("reject was called outside of the query that its sink belongs to");
    return false;
  }
  Recorder& r = *current;
  if (node < r.answered.size()) r.answered[node] = true;
  else watch().broke("query refuses node " + std::to_string(node) + " of " + std::to_string(r.answered.size()));
  if (reason < TENON_REJECT_OP || reason >= TENON_REJECT_NOT_ANSWERED)
    watch().broke("query gives reason " + std::to_string(reason) + ", which is none of TENON_REJECT_*");
  if (text.size == 0) watch().broke("query refuses a node without a text for people");
  if (r.record.refusal.reason == 0 && r.graph && node < r.graph->nodes.count) {
    const tenon_str op = at<tenon_node>(r.graph->nodes, node).op_type;
    r.record.refusal = {std::string(op.data, op.size), reason, std::string(text.data ? text.data : "", text.data ? text.size : 0)};
  }
  r.record.answers.push_back("reject " + std::to_string(node) + " " + std::to_string(reason) + " " +
                             std::string(text.data ? text.data : "", text.data ? text.size : 0));
  return r.private_sink;
}

tenon_status* watched_query(tenon_device* device, const tenon_query* query, tenon_query_sink* sink) {
  Watch& w = watch();
  if (w.disturb) disturb_all(device, *query);
  Recorder recorder;
  tenon_status* status;
  if (w.stretch) {
    Copy copy(*query->graph, 40);
    tenon_query stretched = *query;
    stretched.graph = &copy.graph;
    status = recorded(device, &stretched, sink, recorder);
  } else {
    status = recorded(device, query, sink, recorder);
  }
  const std::lock_guard lock(w.mutex);
  w.queries.push_back(std::move(recorder.record));
  return status;
}

}  // namespace tenon::kit
