// Host: the table of functions that core lends to providers, and the objects behind its opaque types.
//
// One table per process, one tenon_host per provider. A sink is called on the thread that called query or program_plan
// only. See plugin-api's host.h for the rest.
#pragma once

#include <string>
#include <vector>

#include <tenon/host.h>

#include "core/base/status.h"
#include "core/provider/task.h"

// The host as one provider sees it.
struct tenon_host {
  std::string provider;  // id: topic of its messages
};

// Receives a query's answers. What comes in has been checked for struct sizes and unknown required flags only; node and
// value indices are the receiver's to check.
struct tenon_query_sink {
  virtual ~tenon_query_sink() = default;
  virtual void claim(const tenon_claim& claim) = 0;  // nodes and rules are borrowed; rules have the full stride of ours
  virtual void reject(std::uint32_t node, std::int32_t reason, std::string_view text) = 0;
  virtual void malformed(std::string /*text*/) {}    // an object that had to be dropped, and why
};

// Receives a plan's temps and steps; arrays are borrowed.
struct tenon_plan_sink {
  virtual ~tenon_plan_sink() = default;
  virtual void temp(const tenon_temp& temp) = 0;
  virtual void step(const tenon_step& step) = 0;
  virtual void workspace(const tenon_temp& workspace) = 0;
  virtual void malformed(std::string /*text*/) {}
};

namespace tenon {

const tenon_host_api& host_api();

// A status that came back from a provider.
Status take_status(tenon_status* status);

// Copies a struct that may be shorter or longer than ours into a zero-filled one of our size. T begins with struct_size.
template <class T>
T full_copy(const T& from) {
  T to{};
  const std::size_t n = from.struct_size < sizeof(T) ? from.struct_size : sizeof(T);
  __builtin_memcpy(static_cast<void*>(&to), static_cast<const void*>(&from), n);
  to.struct_size = sizeof(T);
  return to;
}
// Elements of a span of sized structs, each completed to our size.
template <class T>
std::vector<T> full_copies(const tenon_span& span) {
  std::vector<T> out;
  if (!span.data || span.stride < sizeof(std::uint32_t)) return out;
  out.reserve(span.count);
  for (std::uint64_t i = 0; i < span.count; ++i) {
    T to{};
    const char* from = static_cast<const char*>(span.data) + i * span.stride;
    std::uint32_t size = 0;
    __builtin_memcpy(&size, from, sizeof size);
    if (size > span.stride) size = span.stride;
    __builtin_memcpy(static_cast<void*>(&to), from, size < sizeof(T) ? size : sizeof(T));
    to.struct_size = sizeof(T);
    out.push_back(to);
  }
  return out;
}
inline std::string_view view(tenon_str s) { return s.data ? std::string_view(s.data, s.size) : std::string_view(); }
inline tenon_str str(std::string_view s) { return {s.data(), s.size()}; }

// The address of a string tensor: its handle is a std::vector<std::string>*.
inline tenon_address string_address(std::vector<std::string>& strings) { return {&strings, 0, strings.size()}; }

}  // namespace tenon
