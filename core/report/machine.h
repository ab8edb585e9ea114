// machine: facts about this library and where it runs, for tenon doctor and reports of faults, as JSON.
// No state; any thread.
#pragma once

#include <string>

namespace tenon {

// {version, library, abi, compiler, sanitizer, privileged, cpu: {model, features, online, affinity, cgroup, usable},
//  memory: {total_bytes, available_bytes, cgroup_bytes}, kernel}. cgroup members are null without a limit.
std::string machine_json();

}  // namespace tenon
