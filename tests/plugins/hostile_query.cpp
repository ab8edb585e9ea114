// How the hostile provider goes wrong when it is asked what it can run.
#include <limits>
#include <stdexcept>

#include "hostile.h"

namespace hostile {
namespace {

using Query = tenon_status* (*)(tenon_device*, const tenon_query*, tenon_query_sink*);

const tenon_host_api& host() { return *provider().host_api(); }
std::uint32_t count_of(const tenon_query* q) { return static_cast<std::uint32_t>(q->graph->nodes.count); }

// One claim for node 0, changed.
template <class Fn>
tenon_status* claim_first(tenon_query_sink* sink, Fn change) {
  static const std::uint32_t first = 0;
  tenon_claim claim = claim_of(&first, 1);
  change(claim);
  host().claim(sink, &claim);
  return nullptr;
}

}  // namespace

void spoil_query(tenon_provider_api& api) {
  if (is("throw_in_query")) api.query = [](tenon_device*, const tenon_query*, tenon_query_sink*) -> tenon_status* { throw std::runtime_error("boom in query"); };
  if (is("throw_an_int")) api.query = [](tenon_device*, const tenon_query*, tenon_query_sink*) -> tenon_status* { throw 42; };
  if (is("fail_in_query"))
    api.query = [](tenon_device*, const tenon_query*, tenon_query_sink*) -> tenon_status* { return failure(TENON_UNAVAILABLE, "the device is asleep"); };
  if (is("silent_query")) api.query = [](tenon_device*, const tenon_query*, tenon_query_sink*) -> tenon_status* { return nullptr; };
  if (is("claims_none"))
    api.query = [](tenon_device*, const tenon_query* q, tenon_query_sink* sink) -> tenon_status* {
      for (std::uint32_t n = 0; n < count_of(q); ++n) host().reject(sink, n, TENON_REJECT_OTHER, str("not in the mood"));
      return nullptr;
    };
  if (is("claim_outside"))
    api.query = [](tenon_device*, const tenon_query*, tenon_query_sink* sink) -> tenon_status* {
      const std::uint32_t nodes[] = {0, 123456};
      const tenon_claim claim = claim_of(nodes, 2);
      host().claim(sink, &claim);
      host().reject(sink, 99999, TENON_REJECT_OP, str("nowhere"));
      return nullptr;
    };
  if (is("claim_twice_the_same"))
    api.query = [](tenon_device*, const tenon_query*, tenon_query_sink* sink) -> tenon_status* {
      const std::uint32_t nodes[] = {0, 0};
      const tenon_claim claim = claim_of(nodes, 2);
      host().claim(sink, &claim);
      return nullptr;
    };
  if (is("claim_without_nodes"))
    api.query = [](tenon_device*, const tenon_query*, tenon_query_sink* sink) { return claim_first(sink, [](tenon_claim& c) { c.nodes = nullptr; }); };
  if (is("claim_of_nothing"))
    api.query = [](tenon_device*, const tenon_query*, tenon_query_sink* sink) { return claim_first(sink, [](tenon_claim& c) { c.node_count = 0; }); };
  if (is("claim_too_short"))
    api.query = [](tenon_device*, const tenon_query*, tenon_query_sink* sink) { return claim_first(sink, [](tenon_claim& c) { c.struct_size = 6; }); };
  if (is("claim_unknown_flag"))
    api.query = [](tenon_device*, const tenon_query*, tenon_query_sink* sink) { return claim_first(sink, [](tenon_claim& c) { c.flags = std::uint64_t{1} << 31; }); };
  if (is("rule_outside"))
    api.query = [](tenon_device*, const tenon_query*, tenon_query_sink* sink) {
      return claim_first(sink, [](tenon_claim& c) {
        static const tenon_operand_rule rule{sizeof(tenon_operand_rule), 4711, TENON_PLACE_HOST, TENON_ALIAS_NONE, TENON_NO_VALUE, -1};
        c.rules = {&rule, 1, sizeof rule, 0};
      });
    };
  // Costs that are no numbers, sizes beyond all memory: the claim is good all the same.
  if (is("mad_costs"))
    api.query = [](tenon_device*, const tenon_query*, tenon_query_sink* sink) {
      return claim_first(sink, [](tenon_claim& c) {
        c.est_ns = std::numeric_limits<double>::quiet_NaN();
        c.est_flops = -std::numeric_limits<double>::infinity();
        c.est_bytes = std::numeric_limits<double>::infinity();
        c.weight_bytes = c.workspace_bytes = ~std::uint64_t{0};
      });
    };
  // Nodes 0 and 2 together, around node 1: neither it nor they could go first.
  if (is("claim_around_another"))
    api.query = [](tenon_device*, const tenon_query*, tenon_query_sink* sink) -> tenon_status* {
      const std::uint32_t around[] = {0, 2}, middle[] = {1};
      const tenon_claim first = claim_of(around, 2), second = claim_of(middle, 1);
      host().claim(sink, &first);
      host().claim(sink, &second);
      return nullptr;
    };
  if (is("claim_and_reject"))
    api.query = [](tenon_device*, const tenon_query*, tenon_query_sink* sink) -> tenon_status* {
      claim_first(sink, [](tenon_claim&) {});
      host().reject(sink, 0, 9999, {nullptr, 50});
      return nullptr;
    };
  // As if it had kernels for all there is.
  if (is("claims_everything"))
    api.query = [](tenon_device*, const tenon_query* q, tenon_query_sink* sink) -> tenon_status* {
      for (std::uint32_t n = 0; n < count_of(q); ++n) {
        const tenon_claim claim = claim_of(&n, 1);
        host().claim(sink, &claim);
      }
      return nullptr;
    };
}

}  // namespace hostile
