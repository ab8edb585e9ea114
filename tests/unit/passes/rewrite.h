// rewrite: a text graph through one pass and back to text, for the tests of passes.
#pragma once

#include <string>

#include "core/graph/text.h"
#include "core/onnx/infer.h"
#include "core/passes/pass.h"

namespace tenon {

// The graph after infer_types and the named pass (all of a level when `pass` is empty), without types and node names; or
// the text of the error. Indentation of the first line is taken off every line.
inline std::string rewrite(const std::string& pass, std::string text, TextOptions options = {.types = false, .names = false}) {
  auto model = parse_graph(text);
  if (!model.ok()) return std::string(model.status().text());
  Graph& graph = (*model)->graph;
  if (Status s = infer_types(**model, graph, nullptr); !s.ok()) return std::string(s.text());
  Status status;
  if (pass.empty()) {
    status = run_passes(**model, graph, Optimize::all);
  } else {
    for (const Pass& p : passes())
      if (p.name == pass) {
        status = run_pass(p, **model, graph);
        break;
      }
  }
  if (!status.ok()) return std::string(status.text());
  // What is left must still be typed and sorted.
  if (Status s = infer_types(**model, graph, nullptr); !s.ok()) return std::string(s.text());
  return graph_text(graph, (*model)->symbols, options);
}

}  // namespace tenon
