// What the files of the provider "hostile" share: which way it does wrong, and the table of functions that is to be spoiled.
#pragma once

#include <string_view>

#include <tenon/provider.hpp>

namespace hostile {

using namespace tenon::plugin;

// The folder of the library: one build serves all ways.
bool is(std::string_view way);
Kernels& provider();

inline tenon_status* failure(std::int32_t code, std::string_view text) {
  return provider().host_api()->status_new(provider().host(), code, 7, str(text));
}
// A claim of one node each, as a well-behaved provider would make it.
inline tenon_claim claim_of(const std::uint32_t* nodes, std::uint32_t count) {
  tenon_claim claim{};
  claim.struct_size = sizeof claim;
  claim.nodes = nodes, claim.node_count = count;
  claim.est_ns = 10;
  return claim;
}

void spoil_devices(tenon_provider_api& api);  // create, enumerate, open, close
void spoil_query(tenon_provider_api& api);
void spoil_program(tenon_provider_api& api);  // compile, plan, execute, and what ends them
void add_bindings(tenon_provider_api& api);   // well-behaved ones: for what happens around them
void misbehave_when_loaded();                 // in a constructor of the library
void misbehave_in_kernel();

}  // namespace hostile
