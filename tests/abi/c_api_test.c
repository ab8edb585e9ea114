/* The C API from C11: conventions, data of every kind, loading and running, and what goes wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tenon/tenon.h>

#include "../sdk/models.h"

static int failures;

#define CHECK(condition)                                                    \
  do {                                                                      \
    if (!(condition)) {                                                     \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);       \
      ++failures;                                                           \
    }                                                                       \
  } while (0)
#define OK(call) expect((call), TENON_OK, "", #call, __LINE__)
#define FAILS(code, part, call) expect((call), (code), (part), #call, __LINE__)

static void expect(tenon_status* status, int32_t code, const char* part, const char* call, int line) {
  if (tenon_status_code(status) != code || !strstr(tenon_status_text(status), part)) {
    fprintf(stderr, "line %d: %s\n  gave %s: %s\n  expected %s with \"%s\"\n", line, call, tenon_code_name(tenon_status_code(status)),
            tenon_status_text(status), tenon_code_name(code), part);
    ++failures;
  }
  tenon_status_release(status);
}

static int freed;
static void count_free(void* user) {
  ++freed;
  free(user);
}

static void conventions(void) {
  CHECK(tenon_version_number() == TENON_VERSION_NUMBER);
  CHECK(strcmp(tenon_version(), "0.1.0") == 0);
  CHECK(tenon_status_code(NULL) == TENON_OK);
  CHECK(strcmp(tenon_status_text(NULL), "") == 0);
  CHECK(strcmp(tenon_code_name(TENON_NOT_FOUND), "NOT_FOUND") == 0);
  CHECK(strcmp(tenon_dtype_name(TENON_DTYPE_DOUBLE), "float64") == 0);
  CHECK(strcmp(tenon_dtype_onnx_name(TENON_DTYPE_DOUBLE), "double") == 0);
  CHECK(tenon_dtype_from_name("float") == TENON_DTYPE_FLOAT && tenon_dtype_from_name("float32") == TENON_DTYPE_FLOAT);
  CHECK(tenon_dtype_from_name("nothing") == TENON_DTYPE_UNDEFINED && tenon_dtype_from_name(NULL) == TENON_DTYPE_UNDEFINED);
  CHECK(tenon_dtype_bits(TENON_DTYPE_INT4) == 4);
  tenon_status_release(NULL);
  tenon_text_release(NULL);
  tenon_configuration_release(NULL);
  tenon_datum_release(NULL);
  tenon_session_release(NULL);
  tenon_cancel_token_release(NULL);
  tenon_profile_release(NULL);
  FAILS(TENON_INVALID_ARGUMENT, "NULL", tenon_configuration_create(NULL));
  FAILS(TENON_INVALID_ARGUMENT, "NULL", tenon_session_load_file(NULL, NULL, NULL));
  FAILS(TENON_INVALID_ARGUMENT, "NULL", tenon_datum_copy(NULL, NULL));
}

static int lines;
static void count_lines(void* user, int32_t level, const char* topic, const char* text) {
  (void)level;
  CHECK(user == &lines && topic && text);
  ++lines;
}

static void configurations(void) {
  tenon_configuration *c = NULL, *copy = NULL;
  char* text = NULL;
  OK(tenon_configuration_create(&c));
  OK(tenon_configuration_set(c, "/session/threads", "2"));
  FAILS(TENON_INVALID_ARGUMENT, "threads", tenon_configuration_set(c, "/session/thread", "2"));
  FAILS(TENON_INVALID_ARGUMENT, "threads", tenon_configuration_set(c, "/session/threads", "many"));
  OK(tenon_configuration_add_provider(c, "cpu", NULL, NULL, 1));
  OK(tenon_configuration_copy(c, &copy));
  OK(tenon_configuration_clear_providers(c));
  CHECK(tenon_configuration_provider_count(c) == 0 && tenon_configuration_provider_count(copy) == 1);
  OK(tenon_configuration_text(copy, &text));
  CHECK(text && strstr(text, "\"threads\": 2"));
  tenon_text_release(text);
  OK(tenon_configuration_origins(copy, &text));
  CHECK(strstr(text, "/session/threads = 2  (api)"));
  tenon_text_release(text);
  OK(tenon_configuration_schema(&text));
  CHECK(text[0] == '{');
  tenon_text_release(text);
  tenon_configuration_release(copy);
  tenon_configuration_release(c);
  copy = NULL;
  FAILS(TENON_INVALID_ARGUMENT, "a.json:1", tenon_configuration_parse("{\"sesion\": {}}", "a.json", NULL, &copy));
  FAILS(TENON_NOT_FOUND, "/no/such/file", tenon_configuration_load("/no/such/file", &copy));
  CHECK(copy == NULL);

  OK(tenon_log_set_sink(&count_lines, &lines));
  OK(tenon_log_configure("warn,loader:debug"));
  FAILS(TENON_INVALID_ARGUMENT, "", tenon_log_configure("loud"));
  FAILS(TENON_NOT_FOUND, "nobody", tenon_provider_forget_quarantine("nobody", NULL));
  FAILS(TENON_NOT_FOUND, "nobody", tenon_provider_quarantine("nobody", "killed", NULL));
  FAILS(TENON_FAILED_PRECONDITION, "came with this library", tenon_provider_quarantine("cpu", "killed", NULL));
  OK(tenon_provider_list(NULL, &text));
  CHECK(strstr(text, "\"id\":\"cpu\"") && lines > 0);
  tenon_text_release(text);
  OK(tenon_log_set_sink(NULL, NULL));
  OK(tenon_log_configure("loader:warn"));
  FAILS(TENON_NOT_FOUND, "no_such_provider", tenon_provider_devices("no_such_provider", NULL, &text));
  OK(tenon_provider_devices("cpu", NULL, &text));
  CHECK(strstr(text, "\"kind\":\"cpu\""));
  tenon_text_release(text);
}

static void data(void) {
  tenon_datum *d = NULL, *other = NULL, *map = NULL;
  const int64_t dims[2] = {2, 3}, negative[1] = {-1}, huge[3] = {INT64_MAX, INT64_MAX, 2};
  OK(tenon_datum_create_tensor(TENON_DTYPE_INT16, dims, 2, &d));
  CHECK(tenon_datum_kind(d) == TENON_KIND_TENSOR && tenon_datum_dtype(d) == TENON_DTYPE_INT16 && tenon_datum_rank(d) == 2);
  CHECK(tenon_datum_dims(d)[1] == 3 && tenon_datum_count(d) == 6 && tenon_datum_bytes(d) == 12);
  CHECK(tenon_datum_data(d) && (uintptr_t)tenon_datum_data(d) % 64 == 0);
  OK(tenon_datum_copy(d, &other));
  CHECK(tenon_datum_data(d) == tenon_datum_data(other));
  tenon_datum_release(other);
  tenon_datum_release(d);
  d = NULL;
  FAILS(TENON_OUT_OF_RANGE, "dims[0]", tenon_datum_create_tensor(TENON_DTYPE_FLOAT, negative, 1, &d));
  FAILS(TENON_OUT_OF_RANGE, "", tenon_datum_create_tensor(TENON_DTYPE_FLOAT, huge, 3, &d));
  FAILS(TENON_INVALID_ARGUMENT, "no element type", tenon_datum_create_tensor(99, dims, 2, &d));
  FAILS(TENON_INVALID_ARGUMENT, "12 bytes", tenon_datum_borrow_tensor(TENON_DTYPE_INT16, dims, 2, (void*)dims, 11, NULL, NULL, &d));
  CHECK(d == NULL);

  void* memory = malloc(12);
  OK(tenon_datum_borrow_tensor(TENON_DTYPE_INT16, dims, 2, memory, 12, &count_free, memory, &d));
  CHECK(tenon_datum_data(d) == memory);
  OK(tenon_datum_create_sequence(0, (const tenon_datum* const*)&d, 1, &other));
  tenon_datum_release(d);
  CHECK(freed == 0 && tenon_datum_count(other) == 1 && tenon_datum_dtype(other) == TENON_DTYPE_INT16);
  CHECK(tenon_datum_data(tenon_datum_item(other, 0)) == memory && tenon_datum_item(other, 1) == NULL);
  tenon_datum_release(other);
  CHECK(freed == 1);

  const tenon_str words[2] = {{"a\0b", 3}, {NULL, 0}};
  const int64_t two[1] = {2};
  tenon_str s = {NULL, 0};
  OK(tenon_datum_create_strings(two, 1, words, &d));
  OK(tenon_datum_string(d, 0, &s));
  CHECK(s.size == 3 && memcmp(s.data, "a\0b", 3) == 0);
  OK(tenon_datum_set_string(d, 1, words[0]));
  OK(tenon_datum_string(d, 1, &s));
  CHECK(s.size == 3);
  FAILS(TENON_OUT_OF_RANGE, "element 2 of 2", tenon_datum_string(d, 2, &s));

  OK(tenon_datum_create_map(NULL, words, (const tenon_datum* const[]){d, d}, 2, &map));
  CHECK(tenon_datum_kind(map) == TENON_KIND_MAP && tenon_datum_key_kind(map) == 2);
  OK(tenon_datum_string_key(map, 0, &s));
  CHECK(s.size == 3);
  int64_t key = 7;
  FAILS(TENON_OUT_OF_RANGE, "", tenon_datum_int_key(map, 0, &key));
  CHECK(key == 7);
  FAILS(TENON_INVALID_ARGUMENT, "either", tenon_datum_create_map(two, words, (const tenon_datum* const[]){d}, 1, &other));
  tenon_datum_release(map);
  tenon_datum_release(d);
  OK(tenon_datum_create_optional(NULL, &d));
  CHECK(tenon_datum_kind(d) == TENON_KIND_OPTIONAL && tenon_datum_count(d) == 0);
  tenon_datum_release(d);
}

static double last_fraction;
static void progress(void* user, double fraction, const char* what) {
  CHECK(user == &last_fraction && what && fraction >= last_fraction);
  last_fraction = fraction;
}

static void sessions(void) {
  tenon_session* s = NULL;
  tenon_load_options load = {.struct_size = sizeof load, .progress = &progress, .progress_user = &last_fraction};
  FAILS(TENON_NOT_FOUND, "/no/model.onnx", tenon_session_load_file("/no/model.onnx", NULL, &s));
  char* about = NULL;
  FAILS(TENON_INVALID_ARGUMENT, "bundle_path", tenon_bundle_compile("/no/model.onnx", NULL, 0, NULL, NULL));
  FAILS(TENON_INVALID_ARGUMENT, "flags", tenon_bundle_compile("/no/model.onnx", "/no/model.tnb", 64, NULL, NULL));
  FAILS(TENON_NOT_FOUND, "/no/model.onnx", tenon_bundle_compile("/no/model.onnx", "/no/model.tnb", TENON_COMPILE_NO_PACKED, NULL, &about));
  FAILS(TENON_NOT_FOUND, "/no/model.tnb", tenon_bundle_text("/no/model.tnb", &about));
  FAILS(TENON_NOT_FOUND, "/no/model.tnb", tenon_bundle_allow("/no/model.tnb"));
  CHECK(!about);
  tenon_status* garbage = tenon_session_load_bytes("not a model", 11, NULL, &s);
  CHECK(tenon_status_code(garbage) == TENON_DATA_LOSS || tenon_status_code(garbage) == TENON_INVALID_ARGUMENT);
  tenon_status_release(garbage);
  tenon_load_options unsized = {0};
  FAILS(TENON_INVALID_ARGUMENT, "struct_size", tenon_session_load_bytes(sums_model, sizeof sums_model, &unsized, &s));
  CHECK(s == NULL);
  OK(tenon_session_load_bytes(sums_model, sizeof sums_model, &load, &s));
  if (!s) return;
  CHECK(last_fraction == 1.0);

  CHECK(tenon_session_input_count(s) == 2 && tenon_session_output_count(s) == 2);
  tenon_port port = {.struct_size = sizeof port};
  OK(tenon_session_input(s, 1, &port));
  CHECK(strcmp(port.name, "y") == 0 && strcmp(port.type, "tensor(float)") == 0 && port.dtype == TENON_DTYPE_FLOAT && port.rank == 2);
  CHECK(port.dims[0] == -1 && port.dims[1] == 3 && strcmp(port.dim_names[0], "batch") == 0 && !port.optional);
  CHECK(strcmp(port.memory, "host") == 0 && port.dlpack_type == 1 && port.dlpack_id == 0);
  FAILS(TENON_OUT_OF_RANGE, "input 2 of 2", tenon_session_input(s, 2, &port));
  CHECK(strcmp(tenon_session_metadata(s, "key"), "value") == 0 && tenon_session_metadata(s, "other") == NULL);
  CHECK(tenon_session_provider_count(s) > 0 && tenon_session_provider(s, 99) == NULL);

  float x[6] = {1, 2, 3, 4, 5, 6}, y[6] = {10, 20, 30, 40, 50, 60}, kept[6] = {0};
  const int64_t dims[2] = {2, 3};
  tenon_datum *feeds[2] = {NULL, NULL}, *outputs[2] = {NULL, NULL};
  OK(tenon_datum_borrow_tensor(TENON_DTYPE_FLOAT, dims, 2, x, sizeof x, NULL, NULL, &feeds[0]));
  OK(tenon_datum_borrow_tensor(TENON_DTYPE_FLOAT, dims, 2, y, sizeof y, NULL, NULL, &feeds[1]));
  const char* const names[2] = {"x", "y"};
  const tenon_datum* const* fed = (const tenon_datum* const*)feeds;
  OK(tenon_session_run(s, names, fed, 2, NULL, 0, NULL, outputs));
  CHECK(outputs[0] && tenon_datum_rank(outputs[0]) == 2 && ((float*)tenon_datum_data(outputs[0]))[5] == 66);
  CHECK(outputs[1] && tenon_datum_data(outputs[1]) != (void*)x && ((float*)tenon_datum_data(outputs[1]))[5] == 6);
  tenon_datum_release(outputs[0]);
  tenon_datum_release(outputs[1]);

  /* In place, by name, together with one that is made. */
  const char* const wanted[2] = {"same", "sum"};
  outputs[0] = NULL;
  OK(tenon_datum_borrow_tensor(TENON_DTYPE_FLOAT, dims, 2, kept, sizeof kept, NULL, NULL, &outputs[1]));
  OK(tenon_session_run(s, names, fed, 2, wanted, 2, NULL, outputs));
  CHECK(kept[0] == 11 && kept[5] == 66 && tenon_datum_data(outputs[1]) == (void*)kept && ((float*)tenon_datum_data(outputs[0]))[0] == 1);
  tenon_datum_release(outputs[0]);
  tenon_datum_release(outputs[1]);

  /* What goes wrong leaves the outputs alone. */
  outputs[0] = outputs[1] = NULL;
  const char* const bad[2] = {"x", "z"};
  FAILS(TENON_INVALID_ARGUMENT, "z", tenon_session_run(s, bad, fed, 2, NULL, 0, NULL, outputs));
  FAILS(TENON_INVALID_ARGUMENT, "y", tenon_session_run(s, names, fed, 1, NULL, 0, NULL, outputs));
  FAILS(TENON_INVALID_ARGUMENT, "sun", tenon_session_run(s, names, fed, 2, (const char* const[]){"sun"}, 1, NULL, outputs));
  tenon_datum* wrong[2] = {feeds[0], NULL};
  OK(tenon_datum_create_tensor(TENON_DTYPE_INT32, dims, 2, &wrong[1]));
  FAILS(TENON_INVALID_ARGUMENT, "y", tenon_session_run(s, names, (const tenon_datum* const*)wrong, 2, NULL, 0, NULL, outputs));
  tenon_datum_release(wrong[1]);
  tenon_cancel_token* token = NULL;
  OK(tenon_cancel_token_create(&token));
  CHECK(!tenon_cancel_token_cancelled(token));
  tenon_cancel_token_cancel(token);
  tenon_run_options run = {.struct_size = sizeof run, .cancel = token};
  FAILS(TENON_CANCELLED, "", tenon_session_run(s, names, fed, 2, NULL, 0, &run, outputs));
  load.cancel = token;
  load.progress = NULL;
  tenon_session* second = NULL;
  FAILS(TENON_CANCELLED, "", tenon_session_load_bytes(sums_model, sizeof sums_model, &load, &second));
  tenon_cancel_token_release(token);
  CHECK(!second && !outputs[0] && !outputs[1]);

  /* Reports. */
  char* text = NULL;
  tenon_profile* profile = NULL;
  OK(tenon_profile_create(&profile));
  run.cancel = NULL;
  run.profile = profile;
  OK(tenon_session_run(s, names, fed, 2, NULL, 0, &run, outputs));
  CHECK(tenon_profile_event_count(profile) > 0);
  OK(tenon_profile_trace(profile, &text));
  CHECK(strstr(text, "traceEvents"));
  tenon_text_release(text);
  OK(tenon_session_learn(s, profile, 0, &text));
  CHECK(strstr(text, "\"provider\":\"cpu\""));
  tenon_text_release(text);
  FAILS(TENON_INVALID_ARGUMENT, "profile", tenon_session_learn(s, NULL, 0, &text));
  tenon_profile_release(profile);
  OK(tenon_session_placement_text(s, &text));
  CHECK(strstr(text, "\"op_type\":\"Add\""));
  tenon_text_release(text);
  OK(tenon_session_explain(s, NULL, &text));
  CHECK(strstr(text, "runs on"));
  tenon_text_release(text);
  OK(tenon_session_explain(s, "html", &text));
  CHECK(strstr(text, "<svg"));
  tenon_text_release(text);
  FAILS(TENON_INVALID_ARGUMENT, "xml", tenon_session_explain(s, "xml", &text));
  tenon_placed_node node;
  memset(&node, 0, sizeof node);
  FAILS(TENON_INVALID_ARGUMENT, "struct_size", tenon_session_node(s, 0, &node));
  node.struct_size = sizeof node;
  CHECK(tenon_session_node_count(s) == 2 && tenon_session_node_count(NULL) == 0);
  OK(tenon_session_node(s, 0, &node));
  CHECK(strcmp(node.provider, "cpu") == 0 && node.cost_ns > 0 && node.part == 0 && node.struct_size == sizeof node);
  FAILS(TENON_OUT_OF_RANGE, "2", tenon_session_node(s, 2, &node));
  double ns = 0;
  OK(tenon_session_cost_if(s, 0, 0, &ns));
  CHECK(ns > 0);
  FAILS(TENON_OUT_OF_RANGE, "node", tenon_session_cost_if(s, 7, 0, &ns));
  OK(tenon_machine_text(&text));
  CHECK(strstr(text, "\"usable\":"));
  tenon_text_release(text);
  OK(tenon_session_model_text(s, &text));
  CHECK(strstr(text, "\"metadata\":{\"key\":\"value\"}"));
  tenon_text_release(text);
  OK(tenon_session_graph_text(s, &text));
  tenon_text_release(text);
  OK(tenon_session_plan_text(s, &text));
  tenon_text_release(text);

  /* Results outlive their session. */
  tenon_session_release(s);
  CHECK(((float*)tenon_datum_data(outputs[0]))[0] == 11);
  tenon_datum_release(outputs[0]);
  tenon_datum_release(outputs[1]);
  tenon_datum_release(feeds[0]);
  tenon_datum_release(feeds[1]);
}

/* A loop of many turns ends at its deadline. */
static void deadlines(void) {
  tenon_session* s = NULL;
  OK(tenon_session_load_bytes(loop_model, sizeof loop_model, NULL, &s));
  if (!s) return;
  int64_t limit = INT64_MAX;
  float x = 1;
  const int64_t one[1] = {1};
  tenon_datum *feeds[2] = {NULL, NULL}, *output = NULL;
  OK(tenon_datum_borrow_tensor(TENON_DTYPE_INT64, NULL, 0, &limit, sizeof limit, NULL, NULL, &feeds[0]));
  OK(tenon_datum_borrow_tensor(TENON_DTYPE_FLOAT, one, 1, &x, sizeof x, NULL, NULL, &feeds[1]));
  const tenon_run_options run = {.struct_size = sizeof run, .timeout_ns = 50 * 1000 * 1000};
  const char* const names[2] = {"limit", "x"};
  FAILS(TENON_DEADLINE_EXCEEDED, "", tenon_session_run(s, names, (const tenon_datum* const*)feeds, 2, NULL, 0, &run, &output));
  CHECK(output == NULL);
  tenon_datum_release(feeds[0]);
  tenon_datum_release(feeds[1]);
  tenon_session_release(s);
}

/* Every function that takes a session, configuration, token or profile, with none, one that was released, and one of another kind. */
static void misuse_of(void* h, int released) {
  tenon_session* s = h;
  tenon_configuration* c = h;
  tenon_cancel_token* t = h;
  tenon_profile* p = h;
  tenon_state* state = NULL;
  char* text = NULL;
  tenon_port port = {.struct_size = sizeof port};
  tenon_placed_node node = {.struct_size = sizeof node};
  double ns = 0;
  uint64_t count = 0;
  tenon_datum* out[2] = {NULL, NULL};
  tenon_configuration* copy = NULL;
#define NO(call) FAILS(TENON_INVALID_ARGUMENT, "is NULL, was released already, or is an object of another kind", call)
  NO(tenon_session_input(s, 0, &port));
  NO(tenon_session_output(s, 0, &port));
  NO(tenon_session_run(s, NULL, NULL, 0, NULL, 0, NULL, out));
  NO(tenon_session_model_text(s, &text));
  NO(tenon_session_graph_text(s, &text));
  NO(tenon_session_plan_text(s, &text));
  NO(tenon_session_placement_text(s, &text));
  NO(tenon_session_explain(s, NULL, &text));
  NO(tenon_session_node(s, 0, &node));
  NO(tenon_session_cost_if(s, 0, 0, &ns));
  NO(tenon_session_learn(s, p, 0, &text));
  NO(tenon_session_forget_costs(s, &count));
  NO(tenon_state_create(s, &state));
  CHECK(!tenon_session_input_count(s) && !tenon_session_output_count(s) && !tenon_session_provider_count(s) && !tenon_session_node_count(s));
  CHECK(!tenon_session_provider(s, 0) && !tenon_session_metadata(s, "key") && !tenon_session_state(s));
  NO(tenon_configuration_copy(c, &copy));
  NO(tenon_configuration_set(c, "/session/threads", "1"));
  NO(tenon_configuration_add_provider(c, "cpu", NULL, NULL, 1));
  NO(tenon_configuration_clear_providers(c));
  NO(tenon_configuration_text(c, &text));
  NO(tenon_configuration_origins(c, &text));
  CHECK(!tenon_configuration_provider_count(c));
  tenon_cancel_token_cancel(t);
  CHECK(!tenon_cancel_token_cancelled(t));
  NO(tenon_profile_trace(p, &text));
  CHECK(!tenon_profile_event_count(p));
  if (h) {
    /* Where NULL is allowed. */
    const tenon_load_options with_c = {.struct_size = sizeof with_c, .configuration = c}, with_t = {.struct_size = sizeof with_t, .cancel = t};
    tenon_session* made = NULL;
    NO(tenon_session_load_bytes(sums_model, sizeof sums_model, &with_c, &made));
    NO(tenon_session_load_bytes(sums_model, sizeof sums_model, &with_t, &made));
    CHECK(!made);
    NO(tenon_provider_list(c, &text));
    NO(tenon_provider_devices("cpu", c, &text));
    NO(tenon_provider_quarantine("cpu", "x", c));
    NO(tenon_provider_forget_quarantine("cpu", c));
  }
  if (!released) return;
  tenon_session_release(s);
  tenon_configuration_release(c);
  tenon_cancel_token_release(t);
  tenon_profile_release(p);
#undef NO
}
static void misuse(void) {
  tenon_session* s = NULL;
  tenon_configuration* c = NULL;
  tenon_cancel_token* t = NULL;
  tenon_profile* p = NULL;
  OK(tenon_session_load_bytes(sums_model, sizeof sums_model, NULL, &s));
  OK(tenon_configuration_create(&c));
  OK(tenon_cancel_token_create(&t));
  OK(tenon_profile_create(&p));
  tenon_datum* d = NULL;
  OK(tenon_datum_create_optional(NULL, &d));
  tenon_log_set_sink(&count_lines, &lines);
  lines = 0;
  misuse_of(NULL, 1);
  CHECK(lines == 0);
  misuse_of(d, 0);
  tenon_session_release((tenon_session*)(void*)c);
  tenon_configuration_release((tenon_configuration*)(void*)s);
  tenon_profile_release((tenon_profile*)(void*)t);
  tenon_cancel_token_release((tenon_cancel_token*)(void*)p);
  CHECK(lines == 4); /* nothing was done */
  CHECK(tenon_session_input_count(s) == 2 && !tenon_cancel_token_cancelled(t) && tenon_profile_event_count(p) == 0);
  tenon_session_release(s);
  tenon_configuration_release(c);
  tenon_cancel_token_release(t);
  tenon_profile_release(p);
  misuse_of(s, 1);
  misuse_of(c, 1);
  misuse_of(t, 1);
  misuse_of(p, 1);
  CHECK(lines == 4 + 16);
  tenon_log_set_sink(NULL, NULL);
  tenon_datum_release(d);
}

int main(void) {
  conventions();
  misuse();
  configurations();
  data();
  sessions();
  deadlines();
  if (failures) fprintf(stderr, "%d failures\n", failures);
  return failures != 0;
}
