// The commands of tenon, one file each. Each adds its subcommand; parsing runs it and leaves the exit code in `result`.
#pragma once

namespace CLI {
class App;
}

namespace tenon::cli {

void add_run(CLI::App& app, int& result);
void add_bench(CLI::App& app, int& result);
void add_inspect(CLI::App& app, int& result);
void add_explain(CLI::App& app, int& result);
void add_compile(CLI::App& app, int& result);
void add_doctor(CLI::App& app, int& result);
void add_tune(CLI::App& app, int& result);
void add_profile(CLI::App& app, int& result);
void add_providers(CLI::App& app, int& result);
void add_plugin(CLI::App& app, int& result);
void add_config(CLI::App& app, int& result);

}  // namespace tenon::cli
