// Small text helpers: units, patterns, near misses.
// No state; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenon {

// "4GiB", "512 MB", "100": bytes. nullopt for anything else or overflow.
std::optional<std::uint64_t> parse_size(std::string_view text);
// "60s", "1.5ms", "2min": a unit is required unless the number is 0.
std::optional<std::chrono::nanoseconds> parse_time(std::string_view text);
std::string size_text(std::uint64_t bytes);
std::string time_text(std::chrono::nanoseconds time);
// A-Z to a-z, in every locale.
std::string ascii_lower(std::string text);
// A real number in C's spelling, in every locale: "1.5e-3", "-inf", "nan". nullopt where anything else follows.
std::optional<double> parse_real(std::string_view text);
// * and ? in pattern.
bool glob_match(std::string_view pattern, std::string_view text);
// The candidate with the least edit distance, or "" when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);
// "${NAME}" replaced by the environment; XDG names have their defaults. Empty environment in privileged processes.
std::string expand_variables(std::string_view text);

}  // namespace tenon
