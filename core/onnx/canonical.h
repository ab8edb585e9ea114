// canonical: the form in which providers get an operator: the newest schema's version, with every default spelled out.
// No state; any thread.
#pragma once

#include "core/graph/graph.h"

namespace tenon {

// Sets since_version and the attributes that are absent and have a default. Operators that onnx has no schema for get
// version 1.
void fill_from_schema(Node& node);

}  // namespace tenon
