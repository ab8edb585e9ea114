#include "sdk/kit/subject.h"

#include <algorithm>
#include <cstring>
#include <dlfcn.h>

#include <fmt/format.h>

#include "core/report/format.h"

namespace tenon::kit {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// Small networks in float32, from what hardware takes first to what anything takes.
std::vector<Subject::Work> candidates(std::int64_t rows, bool dynamic) {
  Random random(5);
  const std::int64_t n = dynamic ? -1 : rows;
  std::vector<Subject::Work> out;
  const std::int32_t f = TENON_DTYPE_FLOAT;
  const auto x = [&](Dims dims) { return Feed{"x", random_tensor(random, f, dims, -2, 2)}; };
  const Value weights = random_tensor(random, f, {8, 8}, -1, 1), bias = random_tensor(random, f, {8}, -1, 1);
  {
    Model m;
    m.input("x", f, {n, 8}).constant("w", weights).constant("b", bias);
    m.node("MatMul", {"x", "w"}, {"p"})
        .node("Add", {"p", "b"}, {"q"})
        .node("Relu", {"q"}, {"r"})
        .node("MatMul", {"r", "w"}, {"s"})
        .node("Softmax", {"s"}, {"y"});
    out.push_back({m.output("y"), {x({rows, 8})}, "MatMul, Add, Relu, MatMul, Softmax"});
  }
  {
    Model m;
    m.input("x", f, {n, 8}).constant("w", weights).constant("b", bias);
    m.node("Gemm", {"x", "w", "b"}, {"p"}).node("Relu", {"p"}, {"q"}).node("Gemm", {"q", "w", "b"}, {"y"});
    out.push_back({m.output("y"), {x({rows, 8})}, "Gemm, Relu, Gemm"});
  }
  {
    Model m;
    m.input("x", f, {n, 8}).constant("w", weights);
    m.node("MatMul", {"x", "w"}, {"p"}).node("MatMul", {"p", "w"}, {"y"});
    out.push_back({m.output("y"), {x({rows, 8})}, "MatMul, MatMul"});
  }
  {
    Model m;
    m.input("x", f, {n, 3, 8, 8}).constant("w", random_tensor(random, f, {4, 3, 3, 3}, -1, 1));
    m.node("Conv", {"x", "w"}, {"y"});
    out.push_back({m.output("y"), {x({rows, 3, 8, 8})}, "Conv"});
  }
  for (const auto& [first, second] : {std::pair{"Add", "Relu"}, {"Mul", "Neg"}, {"Mul", "Sigmoid"}, {"Sub", "Exp"}}) {
    Model m;
    m.input("x", f, {n, 8}).node(second, {"x"}, {"p"}).node(first, {"p", "x"}, {"q"}).node(second, {"q"}, {"y"});
    out.push_back({m.output("y"), {x({rows, 8})}, fmt::format("{1}, {0}, {1}", first, second)});
  }
  for (const char* op : {"Relu", "Neg", "Abs", "Exp", "Tanh", "Sigmoid", "Sqrt", "Floor"}) {
    Model m;
    m.input("x", f, {n, 8}).node(op, {"x"}, {"y"});
    out.push_back({m.output("y"), {Feed{"x", random_tensor(random, f, {rows, 8}, 0, 4)}}, op});
  }
  return out;
}

}  // namespace

Outputs run(const Session& session, std::span<const Feed> feeds) { return session.run(feeds); }

Watch& Subject::watch() {
  if (!watch_) {
    void* library = dlopen(target_.watch_library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) throw Broken(fmt::format("the kit's own library cannot be loaded: {}", dlerror()));
    const auto get = reinterpret_cast<void* (*)()>(dlsym(library, "tenon_kit_watch_1"));
    if (!get) throw Broken(fmt::format("\"{}\" is not the kit's own library", target_.watch_library));
    watch_ = static_cast<Watch*>(get());
    watch_->target = target_.library;
    watch_->id = target_.watch_id;
  }
  return *watch_;
}

Config Subject::configuration(const Settings& settings) {
  watch();
  Config config;
  config.add_provider(target_.watch_manifest, target_.options, target_.device);
  for (const auto& [pointer, value] : target_.settings) config.set(pointer, value);
  for (const auto& [pointer, value] : settings) config.set(pointer, value);
  return config;
}

Session Subject::tested_bytes(const std::string& model, const Settings& settings) {
  SessionOptions options;
  options.configuration = configuration(settings);
  {
    const std::lock_guard lock(watch().mutex);
    asked_ = watch().queries.size();
  }
  return Session(bytes_of(model), options);
}

Session Subject::oracle_bytes(const std::string& model) {
  SessionOptions options;
  options.configuration = Config();
  options.configuration->add_provider("cpu", R"({"plain": true})");
  return Session(bytes_of(model), options);
}

// Of a node that went elsewhere.
std::string Subject::first_refusal(std::span<const PlacedNode> nodes) const {
  for (std::size_t i = asked_; i < watch_->queries.size(); ++i)
    if (const QueryRecord::Refusal& r = watch_->queries[i].refusal; r.reason) return fmt::format("{}: {}: {}", r.op, reject_name(r.reason), r.text);
  for (const PlacedNode& node : nodes)
    if (node.provider != target_.watch_id && node.provider != "core") return fmt::format("{} went to {}", node.op, node.provider);
  return "nothing was left of the model for a provider";
}

bool Subject::claims(const Session& session, std::string* why) const {
  bool any = false, all = true;
  const std::vector<PlacedNode> nodes = session.placement();
  for (const PlacedNode& node : nodes) {
    any |= node.provider == target_.watch_id;
    all &= node.provider == target_.watch_id || node.provider == "core";
  }
  if (any && all) return true;
  if (why) *why = first_refusal(nodes);
  return false;
}

bool Subject::takes_part(const Session& session, std::string* why) const {
  const std::vector<PlacedNode> nodes = session.placement();
  if (std::ranges::any_of(nodes, [&](const PlacedNode& n) { return n.provider == target_.watch_id; })) return true;
  if (why) *why = first_refusal(nodes);
  return false;
}

void Subject::require_claimed(const Session& session) const {
  if (std::string why; !claims(session, &why)) throw NotClaimed(why);
}

Subject::Work Subject::work(std::int64_t rows, bool dynamic) {
  for (Work& candidate : candidates(rows, dynamic))
    if (claims(tested(candidate.model))) {
      const std::lock_guard lock(watch().mutex);
      watch().queries.clear();
      return std::move(candidate);
    }
  throw NotClaimed("the provider takes none of the kit's small float32 networks whole");
}

std::vector<Subject::Work> Subject::works(std::int64_t rows, std::size_t most) {
  std::vector<Work> taken;
  for (Work& candidate : candidates(rows, false))
    if (taken.size() < most && claims(tested(candidate.model))) taken.push_back(std::move(candidate));
  return taken;
}

void Subject::check(const Session& session, const Work& work, const char* when) {
  const Outputs got = run(session, work.feeds), expected = run(oracle(work.model), work.feeds);
  if (const std::string text = difference(got[0], expected[0]); !text.empty())
    throw Broken(fmt::format("{}: {}: {}", when, work.what, text));
}

std::vector<Feed> Subject::feeds_of(const Work& work, std::int64_t rows, Random& random) {
  Dims dims(work.feeds[0].value.dims().begin(), work.feeds[0].value.dims().end());
  dims[0] = rows;
  return {{work.feeds[0].name, random_tensor(random, TENON_DTYPE_FLOAT, dims, 0, 2)}};
}

void Subject::begin() {
  alive_before_ = watch().alive.total();
  watch().queries.clear();
}

void Subject::end() {
  const std::vector<std::string> broken = watch().broken();
  if (!broken.empty()) throw Broken(fmt::format("{}", fmt::join(broken, "\n")));
  if (watch().alive.total() != alive_before_)
    throw Broken(fmt::format("still there when its sessions were gone: {}", watch().alive.text()));
}

void Subject::keep_loaded() {
  if (!kept_.empty()) return;
  Model m;
  m.input("x", TENON_DTYPE_FLOAT, {1}).node("Relu", {"x"}, {"y"}).output("y");
  kept_.push_back(tested(m));
}

}  // namespace tenon::kit
