// bundle_trust: whether what a bundle stores for providers may reach them.
//
// An artifact may be machine code for a device, so a bundle is more than data. Its model and weights are used always; what is stored
// only where this user has compiled the bundle or allowed it, or where the configuration (/session/bundle) says so, and never from a
// file that others could change. Any thread, any number of processes.
#pragma once

#include <string>

#include "core/base/bundle.h"
#include "core/base/config.h"

namespace tenon {

// OK, or PERMISSION_DENIED with the reason and what to do.
Status may_use_stored(const Bundle& bundle, BundleUse policy);
// From now on this user's processes may, for a bundle with this very index. Errors: those of writing that down.
Status allow_stored(const Bundle& bundle);

}  // namespace tenon
