#include "plugins/cpu/families.h"

#include <map>
#include <utility>

namespace tenon::cpu {

const OpRow* find_row(std::string_view domain, std::string_view op_type) {
  static const auto rows = [] {
    std::map<std::pair<std::string_view, std::string_view>, const OpRow*> table;
    for (FamilyRows family : {elementwise_rows, movement_rows, gather_rows, reduce_rows, norm_rows, matmul_rows, conv_rows,
                              pool_rows, quantize_rows, recurrent_rows, byte_recurrent_rows, ml_rows, random_rows, resize_rows,
                              attention_rows, signal_rows, mixture_rows, microsoft_rows, optimizer_rows, image_rows})
      for (const OpRow& row : family()) table.emplace(std::pair<std::string_view, std::string_view>(row.domain, row.op_type), &row);
    return table;
  }();
  auto it = rows.find({domain, op_type});
  return it == rows.end() ? nullptr : it->second;
}

}  // namespace tenon::cpu
