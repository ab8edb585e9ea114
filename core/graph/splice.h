// splice: puts a body in the place of the node that it spells out.
// A pure rewrite of a graph under construction.
#pragma once

#include "core/graph/graph.h"

namespace tenon {

// Replaces the node by the nodes of `body`, whose inputs and outputs stand in the node's order (omitted inputs left out).
// The node is marked dead and the new ones are appended: call sort and compact afterwards, once for many. Names of inner
// values get the node's name in front.
void splice_body(Graph& graph, NodeId node, const Graph& body);
// The same for a branch of an If node: it has no inputs and reads the values around it.
void splice_branch(Graph& graph, NodeId node, const Graph& branch);

}  // namespace tenon
