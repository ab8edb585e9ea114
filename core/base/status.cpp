#include "core/base/status.h"

namespace tenon {

Status Status::clone() const {
  return data_ ? Status(new tenon_status(*data_)) : Status();
}

const char* code_name(std::int32_t code) {
  switch (code) {
    case TENON_OK: return "OK";
    case TENON_CANCELLED: return "CANCELLED";
    case TENON_INVALID_ARGUMENT: return "INVALID_ARGUMENT";
    case TENON_DEADLINE_EXCEEDED: return "DEADLINE_EXCEEDED";
    case TENON_NOT_FOUND: return "NOT_FOUND";
    case TENON_ALREADY_EXISTS: return "ALREADY_EXISTS";
    case TENON_PERMISSION_DENIED: return "PERMISSION_DENIED";
    case TENON_RESOURCE_EXHAUSTED: return "RESOURCE_EXHAUSTED";
    case TENON_FAILED_PRECONDITION: return "FAILED_PRECONDITION";
    case TENON_ABORTED: return "ABORTED";
    case TENON_OUT_OF_RANGE: return "OUT_OF_RANGE";
    case TENON_UNIMPLEMENTED: return "UNIMPLEMENTED";
    case TENON_INTERNAL: return "INTERNAL";
    case TENON_UNAVAILABLE: return "UNAVAILABLE";
    case TENON_DATA_LOSS: return "DATA_LOSS";
    case TENON_UNAUTHENTICATED: return "UNAUTHENTICATED";
    case TENON_UNSUPPORTED_SUBGRAPH: return "UNSUPPORTED_SUBGRAPH";
    case TENON_UNSUPPORTED_SHAPE: return "UNSUPPORTED_SHAPE";
    case TENON_ARTIFACT_MISMATCH: return "ARTIFACT_MISMATCH";
    case TENON_DEVICE_LOST: return "DEVICE_LOST";
    case TENON_MISSING_DEPENDENCY: return "MISSING_DEPENDENCY";
    case TENON_ABI_MISMATCH: return "ABI_MISMATCH";
    default: return "UNKNOWN";
  }
}

}  // namespace tenon
