// case_run: one case of the corpus through the public C++ API.
// Stateless; any thread.
#pragma once

#include <string>

#include <tenon/tenon.hpp>

#include "corpus.h"

namespace tenon::corpus {

// "" if the case passes, else why it does not.
std::string run_case(const Case& which, const Config& config);

}  // namespace tenon::corpus
