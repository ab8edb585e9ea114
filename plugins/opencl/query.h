// Query: what the provider can run, node by node, and at what cost.
// Pure; any thread.
#pragma once

#include "plugins/opencl/device/device.h"

namespace tenon::opencl {

// Claims or refuses every node of the graph that core does not evaluate itself.
void answer_query(const Device& device, const tenon_query& query, tenon_query_sink* sink);

}  // namespace tenon::opencl
