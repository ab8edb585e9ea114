// cpu_count: what bounds the number of CPUs that the process may use; ThreadPool::usable_cpus is the result.
// No state; any thread.
#pragma once

namespace tenon {

// CPUs in the affinity mask, at least 1.
unsigned affinity_cpus();
// CPUs of the cgroup's quota and its parents', the least; 0: none.
double cgroup_cpus();

}  // namespace tenon
