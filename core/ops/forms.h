// Forms: how often an operator's structure or meaning has changed, and a node written in an older form.
//
// Form n of an operator is what it looks like from the n-th opset version of its row in plugin-api/abi.json on. Core keeps
// every node in its newest form; a provider that knows an older opset is shown the node lowered, where it can be said there.
// New element types and new values of an attribute are no new form: providers refuse those themselves. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/status.h"
#include "core/graph/graph.h"

namespace tenon {

// The opset versions at which the operator's forms begin, ascending; empty for operators that have one form.
std::span<const std::int32_t> form_versions(std::string_view domain, std::string_view op_type);
// The form, from 1, that opset `version` of the domain has.
std::int32_t form_number(std::string_view domain, std::string_view op_type, std::int32_t version);

// Whether the node's form is newer than opset max_opset of its domain.
bool newer_form(const Node& node, std::int32_t max_opset);
// The node as opset max_opset writes it, with the same outputs; its inputs are among those of the node. REQUIRES newer_form.
// Errors: UNIMPLEMENTED that says what the older form lacks.
Result<Node> lower_node(const Graph& graph, const Node& node, std::int32_t max_opset);

}  // namespace tenon
