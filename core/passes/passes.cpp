#include "core/base/log.h"
#include "core/graph/text.h"
#include "core/passes/list.h"

namespace tenon {
namespace {

constexpr Pass ordered[] = {
    {"dead_code", Optimize::basic, dead_code},
    {"canonical_names", Optimize::basic, canonical_names},
    {"constant_folding", Optimize::basic, constant_folding},
    {"constant_branches", Optimize::basic, constant_branches},
    {"constant_folding", Optimize::basic, constant_folding},
    {"identities", Optimize::basic, identities},
    {"simplify_shapes", Optimize::basic, simplify_shapes},
    {"share_constants", Optimize::basic, share_constants},
    {"common_subexpressions", Optimize::basic, common_subexpressions},
    {"quantize_pairs", Optimize::extended, quantize_pairs},
    {"conv_norm", Optimize::extended, conv_norm},
    {"outline_norm", Optimize::extended, outline_norm},
    {"outline_gelu", Optimize::extended, outline_gelu},
    {"outline_activation", Optimize::extended, outline_activation},
    {"dead_code", Optimize::basic, dead_code},
};

class Runner {
 public:
  Runner(Model& model, Optimize level, const PassOptions& options, std::vector<PassReport>& reports)
      : model_(model), level_(level), options_(options), reports_(reports),
        dumps_(options.dump || log_enabled("passes", TENON_LOG_TRACE)) {}

  Status run(Graph& graph, bool is_body, int depth) {
    if (depth > 64) return {};  // import bounds nesting; what lies deeper runs as it is
    dump("import", graph);
    for (std::size_t p = 0; p < std::size(ordered); ++p) {
      const Pass& pass = ordered[p];
      if (pass.level > level_) continue;
      const auto start = std::chrono::steady_clock::now();
      PassContext context{model_, graph, options_.custom, is_body};
      if (Status s = pass.run(context); !s.ok()) return std::move(s).at(std::string("pass ") + pass.name);
      if (context.unsorted) TENON_TRY(graph.sort());
      reports_[p].rewrites += context.rewrites;
      reports_[p].time += std::chrono::steady_clock::now() - start;
      if (context.rewrites) dump(pass.name, graph);
    }
    bool nested = false;
    for (Node& node : graph.nodes)
      for (const GraphPtr& body : node.subgraphs()) {
        inherit(*body, graph);
        TENON_TRY(run(*body, true, depth + 1));
        nested = true;
      }
    if (nested) {  // bodies may read less than before
      PassContext context{model_, graph, options_.custom, is_body};
      TENON_TRY(dead_code(context));
    }
    graph.compact();
    return {};
  }

 private:
  // What the passes learned of the graph around reaches the body.
  static void inherit(Graph& body, const Graph& around) {
    std::erase_if(body.outer, [&](const OuterValue& o) {
      const Value& parent = around.values[o.parent];
      Value& inner = body.values[o.inner];
      inner.type = parent.type;
      inner.constant = parent.constant;
      return inner.constant != nullptr;
    });
  }

  void dump(const char* pass, const Graph& graph) {
    if (!dumps_) return;
    if (options_.dump) options_.dump(pass, graph);
    else log_write("passes", TENON_LOG_TRACE, std::string("after ") + pass + ":\n" + graph_text(graph, model_.symbols));
  }

  Model& model_;
  Optimize level_;
  const PassOptions& options_;
  std::vector<PassReport>& reports_;
  bool dumps_;
};

}  // namespace

std::span<const Pass> passes() { return ordered; }

Status run_passes(Model& model, Graph& graph, Optimize level, const PassOptions& options, std::vector<PassReport>* out_report) {
  std::vector<PassReport> reports;
  for (const Pass& p : ordered) reports.push_back({p.name, 0, {}});
  if (level != Optimize::none) TENON_TRY(Runner(model, level, options, reports).run(graph, false, 0));
  for (const PassReport& r : reports)
    if (r.rewrites || r.time.count())
      log_debug("passes", "{}: {} rewrites, {:.3f} ms", r.name, r.rewrites, static_cast<double>(r.time.count()) * 1e-6);
  if (out_report) *out_report = std::move(reports);
  return {};
}

Status run_pass(const Pass& pass, Model& model, Graph& graph, const CustomOps* custom) {
  PassContext context{model, graph, custom};
  if (Status s = pass.run(context); !s.ok()) return std::move(s).at(std::string("pass ") + pass.name);
  if (context.unsorted) TENON_TRY(graph.sort());
  graph.compact();
  return {};
}

}  // namespace tenon
