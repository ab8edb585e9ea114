#include "plugins/cpu/ops/movement.h"

#include "plugins/cpu/families.h"

namespace tenon::cpu {

std::vector<OpRow> join_rows(std::initializer_list<FamilyRows> files) {
  std::vector<OpRow> all;
  for (FamilyRows file : files)
    for (const OpRow& row : file()) all.push_back(row);
  return all;
}

std::span<const OpRow> movement_rows() {
  static const std::vector<OpRow> rows = join_rows({reshape_rows, transpose_rows, slice_rows, concat_split_rows, expand_tile_rows, pad_rows,
                                                    depth_space_rows, sequence_tensor_rows, fill_rows, string_rows, tfidf_rows});
  return rows;
}

}  // namespace tenon::cpu
