#include "plugins/cpu/ops/quantize.h"

#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {

std::span<const OpRow> quantize_rows() {
  static const std::vector<OpRow> rows = join_rows({linear_quantize_rows, integer_product_rows});
  return rows;
}

}  // namespace tenon::cpu
