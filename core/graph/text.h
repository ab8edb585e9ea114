// text: a graph as lines that a person can read, diff and type, and back.
//
//   graph main(x: float32[N,3], m: bool[]) -> (y)
//     w: float32[3] = {1, 2, 0.5}
//     y: float32[N,3] = Mul(x, w) {axis=1}  # node name
//     z: float32[N] = If(m)
//       then_branch: graph t() outer(x) -> (a)
//         ...
//
// `_` is an omitted input or output, `?` a size that is not known, `[...]` an unknown rank, `const` elements that are too
// many to show; a graph named `body` under an operator spells the operator out. Pure functions; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/graph/graph.h"

namespace tenon {

struct TextOptions {
  bool types = true;        // of the values that nodes make
  bool attributes = true;
  bool names = true;        // of nodes, as comments
  bool bodies = true;       // what outlined nodes stand for
  std::int64_t elements = 8;  // constants up to this size show their elements
};

std::string graph_text(const Graph& graph, const SymbolTable& symbols, const TextOptions& options = {});
// "float32[N,3]"; empty when nothing is known.
std::string type_text(const Type& type, const SymbolTable& symbols);

// The model that a text spells. Elements given are repeated until the constant is full; `const` is zeros. Values named by a
// body but made outside it become its outer values. Errors: INVALID_ARGUMENT with the line.
Result<std::unique_ptr<Model>> parse_graph(std::string_view text);

}  // namespace tenon
