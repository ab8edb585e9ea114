// Pieces of attention kernels that both skeletons share.
// Pure functions.
#pragma once

#include <string>
#include <vector>

#include "plugins/opencl/codegen/attention.h"
#include "plugins/opencl/codegen/types.h"

namespace tenon::opencl::attention_text {

std::string number(std::int64_t n);
Compute compute(const AttentionForm& form);
std::string type(const AttentionForm& form, int width);
// exp and tanh of the compute type.
std::string exp_of(const AttentionForm& form, int width, const std::string& x);
std::string tanh_of(const AttentionForm& form, int width, const std::string& x);
std::vector<std::string> helpers(const AttentionForm& form);
std::string parameters(const AttentionForm& form);
// Declares b and kv, and pointers y, q, k, v, mask, lengths, firsts, sinks of the batch (and key head, for k and v).
std::string pointers(const AttentionForm& form);
// Declares, for row number `r` (an expression), h (the head), i (the query), and lo, hi: the keys it sees. suffix ends the names.
std::string row(const AttentionForm& form, const std::string& r, const std::string& suffix);

std::string cpu_body(const AttentionForm& form);
std::string local_body(const AttentionForm& form);

}  // namespace tenon::opencl::attention_text
