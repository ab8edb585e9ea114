// Inputs: values for a model's inputs, from files or at random.
// One object a command.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tenon/tenon.hpp>

namespace CLI {
class App;
}

namespace tenon::cli {

struct Inputs {
  std::vector<std::string> files;  // "NAME=FILE.npy", "FILE.npz", "FILE.pb" (by its name), or a folder of input_N.pb
  std::vector<std::string> sizes;  // "batch=8": a named dimension of random inputs
  std::uint64_t seed = 0;

  void add_to(CLI::App& app);
  // A value for every input that must be fed. Errors: Failure naming the input.
  std::vector<Feed> make(const Session& session) const;
  // The sizes by name. Errors: Failure naming the one that is malformed.
  std::map<std::string, std::int64_t> named_sizes() const;

 private:
  void read_files(const Session& session, std::vector<Feed>& feeds) const;
};

// A name on the command line that the model does not have. Errors: Failure with what it "takes" or "gives" (the verb).
void check_name(const char* option, std::string_view name, std::span<const Port> ports, const char* verb);
// "float32[1,3,224,224]".
std::string shape_text(const Value& value);
std::string port_text(const Port& port);

}  // namespace tenon::cli
