// Runs a model on zeros: run <model.onnx>. Prints every output's name, type and first element.
#include <cstdio>
#include <cstring>

#include <tenon/tenon.hpp>

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: run <model.onnx>\n"), 2;
  try {
    const tenon::Session session(argv[1]);

    std::vector<tenon::Feed> feeds;
    for (const tenon::Port& input : session.inputs()) {
      if (input.optional) continue;
      tenon::Dims dims = input.dims.value_or(tenon::Dims{});
      for (auto& dim : dims) dim = dim < 0 ? 1 : dim;
      tenon::Value zeros = tenon::Value::tensor(input.dtype, dims);
      if (zeros.size_bytes()) std::memset(const_cast<void*>(zeros.bytes()), 0, zeros.size_bytes());
      feeds.push_back({std::string(input.name), zeros});
    }

    for (const auto& [name, value] : session.run(feeds)) {
      std::printf("%s: %s", name.c_str(), tenon_dtype_name(value.dtype()));
      for (const auto dim : value.dims()) std::printf(" %lld", static_cast<long long>(dim));
      if (value.dtype() == TENON_DTYPE_FLOAT && value.count()) std::printf(", first %g", value.data<float>()[0]);
      std::printf("\n");
    }
  } catch (const tenon::Error& e) {
    return std::fprintf(stderr, "%s: %s\n", e.code_name(), e.what()), 1;
  }
}
