// Pieces of source text that the convolution and pool generators share.
//
// Pure functions; any thread.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

#include "plugins/opencl/codegen/epilogue.h"

namespace tenon::opencl {

inline std::string conv_piece(std::string_view s) { return std::string(s); }
inline std::string conv_piece(char c) { return std::string(1, c); }
inline std::string conv_piece(std::integral auto v) { return std::to_string(v); }

// The pieces one after another; numbers in decimal.
template <class... T>
std::string cat(const T&... pieces) {
  std::string all;
  ((all += conv_piece(pieces)), ...);
  return all;
}

// The component of a vector that holds row i: "s0" .. "sf".
inline std::string component(int i) { return std::string{'s', "0123456789abcdef"[i]}; }

// The smallest number of lanes that a vector of n (at most 16) things fits into.
inline int lanes_for(int n) { return n <= 2 ? 2 : n <= 4 ? 4 : n <= 8 ? 8 : 16; }

// A statement that hands components from, from + 1, ... below to of the vector `value` to an epilogue one by one; component e is column
// "c + e".
inline std::string store_singly(const Epilogue& epilogue, const std::string& type, int vec, const std::string& value, const std::string& from, const std::string& to,
                                const std::string& b, const std::string& r, const std::string& c) {
  return cat("{ ", type, " single[", vec, "]; vstore", vec, "(", value, ", 0, single);\n        for (int e = ", from, "; e < ", to, "; ++e) { const ", type,
             " one = single[e]; ", epilogue.statements("one", 1, b, r, cat("(", c, " + e)")), " } }");
}

}  // namespace tenon::opencl
