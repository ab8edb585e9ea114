// npy: numpy's .npy and .npz files to and from values. Errors throw Failure with the file and what is wrong with it.
// No state; any thread.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <tenon/tenon.hpp>

namespace tenon::cli {

// The bytes of an .npy file; `where` names it in errors.
Value parse_npy(const std::string& bytes, const std::string& where);
Value read_npy(const std::filesystem::path& path);
// The arrays of an archive, by name without ".npy".
std::vector<Feed> read_npz(const std::filesystem::path& path);
void write_npy(const std::filesystem::path& path, const Value& value);
void write_npz(const std::filesystem::path& path, std::span<const Feed> values);
// The whole of a file.
std::string read_file(const std::filesystem::path& path);

}  // namespace tenon::cli
