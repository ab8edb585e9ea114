// Query: what the provider can run, node by node.
// Pure; any thread.
#pragma once

#include "plugins/cpu/host.h"

namespace tenon::cpu {

// Claims or refuses every node of the graph that core does not evaluate itself.
void answer_query(const Host& host, const tenon_query& query, tenon_query_sink* sink);

}  // namespace tenon::cpu
