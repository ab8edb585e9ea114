// Rows of the data movement family, one function per file in ops/; movement.cpp joins them.
// Read-only tables; any thread.
#pragma once

#include "plugins/cpu/op.h"

namespace tenon::cpu {

std::span<const OpRow> reshape_rows();
std::span<const OpRow> transpose_rows();
std::span<const OpRow> slice_rows();
std::span<const OpRow> concat_split_rows();
std::span<const OpRow> expand_tile_rows();
std::span<const OpRow> pad_rows();
std::span<const OpRow> depth_space_rows();
std::span<const OpRow> sequence_tensor_rows();
std::span<const OpRow> fill_rows();
std::span<const OpRow> string_rows();
std::span<const OpRow> tfidf_rows();

std::span<const OpRow> scatter_rows();
std::span<const OpRow> select_rows();
std::span<const OpRow> unique_rows();
std::span<const OpRow> nms_rows();

std::span<const OpRow> grid_sample_rows();

// Rows of several files as one table.
std::vector<OpRow> join_rows(std::initializer_list<FamilyRows> files);

}  // namespace tenon::cpu
