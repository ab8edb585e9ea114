/* tenon: load ONNX models and run them. The C API, C11; libtenon exports these functions and nothing else.
 *
 * Conventions
 * - A function that can fail returns tenon_status*: NULL is success, anything else is released by tenon_status_release. A
 *   failing call leaves its out-parameters untouched.
 * - Objects are opaque. create, load, parse, find and copy make one, the release function of the same noun ends it;
 *   release takes NULL. An object may be released before or after any other: each holds what it needs.
 * - A session, configuration, token or profile that was released, or an object of another kind in its place, is
 *   INVALID_ARGUMENT; functions without a status answer 0 or NULL, release does nothing but log. That is told as long as fewer
 *   than 1,000 of its kind have been released since. Values, states and statuses are not told from memory that is no more.
 * - Strings are UTF-8. `const char*` is terminated, tenon_str is not. A `const char*` that comes back belongs to the object
 *   it was asked of; a `char** out_text` is the caller's, for tenon_text_release.
 * - Structs that the caller fills begin with struct_size: set it to sizeof and the rest to zero, then what is wanted.
 * - Threads: functions without an object may be called from any thread. One object is used by one thread at a time, except
 *   tenon_session (any number of runs at once), tenon_cancel_token and tenon_profile (any thread).
 * - Optional pointers say (optional) and may be NULL. Element types are TENON_DTYPE_*, kinds TENON_KIND_*, codes TENON_*,
 *   levels TENON_LOG_* of types.h. */
#ifndef TENON_TENON_H
#define TENON_TENON_H

#include <tenon/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(TENON_BUILD)
#define TENON_API __attribute__((visibility("default")))
#else
#define TENON_API
#endif

#define TENON_VERSION_MAJOR 0
#define TENON_VERSION_MINOR 1
#define TENON_VERSION_PATCH 0
#define TENON_VERSION_NUMBER (TENON_VERSION_MAJOR * 1000000 + TENON_VERSION_MINOR * 1000 + TENON_VERSION_PATCH)

typedef struct tenon_configuration tenon_configuration; /* what a session is to use and how */
typedef struct tenon_session tenon_session;             /* a loaded model */
typedef struct tenon_datum tenon_datum;                 /* a tensor, sequence, map or optional */
typedef struct tenon_cancel_token tenon_cancel_token;   /* stops a load or a run from elsewhere */
typedef struct tenon_profile tenon_profile;             /* times of the steps of some runs */
typedef struct tenon_state tenon_state;                 /* what a session keeps between the runs of one conversation */

/* ---- version, statuses, texts ---------------------------------------------------------------------------------------- */

/* "0.1.0" of the library that was loaded; compare tenon_version_number with TENON_VERSION_NUMBER, that of this header. */
TENON_API const char* tenon_version(void);
TENON_API int32_t tenon_version_number(void);

/* TENON_OK for NULL. */
TENON_API int32_t tenon_status_code(const tenon_status* status);
/* Where, what was expected and found, what to do; "" for NULL. Valid until the status is released. */
TENON_API const char* tenon_status_text(const tenon_status* status);
TENON_API void tenon_status_release(tenon_status* status);
/* "INVALID_ARGUMENT"; "UNKNOWN" for numbers without a name. Never NULL; lives for ever. */
TENON_API const char* tenon_code_name(int32_t code);

TENON_API void tenon_text_release(char* text);

/* numpy's name where numpy has the type ("float32"), and ONNX's ("float"). Never NULL; live for ever. */
TENON_API const char* tenon_dtype_name(int32_t dtype);
TENON_API const char* tenon_dtype_onnx_name(int32_t dtype);
/* Bits of one element; 0 for strings and unknown numbers. */
TENON_API int32_t tenon_dtype_bits(int32_t dtype);
/* Either spelling; TENON_DTYPE_UNDEFINED for another word. */
TENON_API int32_t tenon_dtype_from_name(const char* name);

/* ---- log ------------------------------------------------------------------------------------------------------------- */

/* text is terminated; both are borrowed. Called by one thread at a time; must not call tenon_log_*. */
typedef void (*tenon_log_fn)(void* user, int32_t level, const char* topic, const char* text);

/* "warn,loader:debug", as in the variable TENON_LOG. Errors: INVALID_ARGUMENT; nothing is changed then. */
TENON_API tenon_status* tenon_log_configure(const char* spec);
/* topic (optional): NULL is every topic without a level of its own. */
TENON_API void tenon_log_set_level(const char* topic, int32_t level);
/* fn NULL: standard error again. user must outlive the sink. */
TENON_API tenon_status* tenon_log_set_sink(tenon_log_fn fn, void* user);

/* ---- configuration ----------------------------------------------------------------------------------------------------- */

/* Everything at its default. */
TENON_API tenon_status* tenon_configuration_create(tenon_configuration** out_configuration);
/* JSON with comments. source (optional) names it in messages; folder (optional) is what relative provider_paths start from.
 * Errors: INVALID_ARGUMENT with every fault, one a line. */
TENON_API tenon_status* tenon_configuration_parse(const char* json, const char* source, const char* folder,
                                                  tenon_configuration** out_configuration);
TENON_API tenon_status* tenon_configuration_load(const char* path, tenon_configuration** out_configuration);
/* The one file that counts: path (optional), else the variable TENON_CONFIG, else <model_path>.tenonrc.json (optional), else
 * the user's, else the machine's, else the defaults. */
TENON_API tenon_status* tenon_configuration_find(const char* path, const char* model_path, tenon_configuration** out_configuration);
TENON_API tenon_status* tenon_configuration_copy(const tenon_configuration* configuration, tenon_configuration** out_configuration);
TENON_API void tenon_configuration_release(tenon_configuration* configuration);

/* pointer: "/session/threads" or "session.threads"; value: JSON, or a bare word as text. Nothing changes on failure. */
TENON_API tenon_status* tenon_configuration_set(tenon_configuration* configuration, const char* pointer, const char* value);
/* Appends a provider. name: id, alias, or path of a manifest or library; device (optional): index, uid or a glob of uids;
 * options_json (optional): an object; required 0: go on without it when it cannot be used. */
TENON_API tenon_status* tenon_configuration_add_provider(tenon_configuration* configuration, const char* name, const char* device,
                                                         const char* options_json, int32_t required);
TENON_API tenon_status* tenon_configuration_clear_providers(tenon_configuration* configuration);
TENON_API size_t tenon_configuration_provider_count(const tenon_configuration* configuration);
/* What was set, as JSON; and every option with its value and where that comes from, one a line. */
TENON_API tenon_status* tenon_configuration_text(const tenon_configuration* configuration, char** out_text);
TENON_API tenon_status* tenon_configuration_origins(const tenon_configuration* configuration, char** out_text);

/* The JSON Schema of a configuration file, for editors; and the table of all keys in Markdown. */
TENON_API tenon_status* tenon_configuration_schema(char** out_text);
TENON_API tenon_status* tenon_configuration_docs(char** out_text);

/* ---- providers --------------------------------------------------------------------------------------------------------- */

/* A folder, manifest or library that counts before all others, in the whole process. */
TENON_API tenon_status* tenon_provider_path_add(const char* path);
/* Every provider found, usable or not, without loading any: a JSON array of {id, aliases, version, path, where, state,
 * reason, devices}; state is "ready", "loaded", "shadowed", "unusable" or "quarantined". configuration (optional): its
 * provider_paths. */
TENON_API tenon_status* tenon_provider_list(const tenon_configuration* configuration, char** out_text);
/* Loads one and lists its devices: {id, version, path, devices: [{uid, name, kind, memory_bytes}]}. configuration as above. */
TENON_API tenon_status* tenon_provider_devices(const char* name, const tenon_configuration* configuration, char** out_text);
/* Keeps a provider out until it is asked for again or built anew, because its process died of it: for tools that try providers in
 * processes of their own. name: as below; what: how it died, "killed by SIGSEGV while ...". Errors: NOT_FOUND; FAILED_PRECONDITION
 * for one that came with this library. */
TENON_API tenon_status* tenon_provider_quarantine(const char* name, const char* what, const tenon_configuration* configuration);
/* A provider whose library crashed or hung when it was tried in a process of its own is tried again the next time it is wanted.
 * name: id, alias or path. Errors: NOT_FOUND: there is no such provider, or it is not in quarantine. */
TENON_API tenon_status* tenon_provider_forget_quarantine(const char* name, const tenon_configuration* configuration);

/* Facts about this library and where it runs, as a JSON object: library, abi, compiler, sanitizer, privileged, cpu {model,
 * features, online, affinity, cgroup, usable}, memory {total_bytes, available_bytes, cgroup_bytes}, kernel. */
TENON_API tenon_status* tenon_machine_text(char** out_text);

/* ---- cancelling ---------------------------------------------------------------------------------------------------------- */

TENON_API tenon_status* tenon_cancel_token_create(tenon_cancel_token** out_token);
/* Whatever uses the token fails with CANCELLED soon. For ever: a cancelled token stays so. Allowed in a signal handler. */
TENON_API void tenon_cancel_token_cancel(const tenon_cancel_token* token);
TENON_API int32_t tenon_cancel_token_cancelled(const tenon_cancel_token* token);
/* Running loads and runs keep what they need. */
TENON_API void tenon_cancel_token_release(tenon_cancel_token* token);

/* ---- data ------------------------------------------------------------------------------------------------------------------ */

/* A tensor's elements are dense and row-major in host memory; bool is one byte, sub-byte types are packed, the first element
 * in the low bits. A copy of a datum shares the elements. */

/* A new tensor, elements not set, 64-byte aligned; empty strings for STRING. dims (optional for rank 0). */
TENON_API tenon_status* tenon_datum_create_tensor(int32_t dtype, const int64_t* dims, size_t rank, tenon_datum** out_datum);
/* A tensor over the caller's memory; bytes must be what dtype and dims need. release (optional) is called with user when the
 * last holder is gone, on any thread; without it the memory must outlive the datum, its copies and every run with them. */
TENON_API tenon_status* tenon_datum_borrow_tensor(int32_t dtype, const int64_t* dims, size_t rank, void* data, size_t bytes,
                                                  void (*release)(void* user), void* user, tenon_datum** out_datum);
/* A string tensor with a copy of the elements. */
TENON_API tenon_status* tenon_datum_create_strings(const int64_t* dims, size_t rank, const tenon_str* elements,
                                                   tenon_datum** out_datum);
/* A serialized ONNX TensorProto, as data sets of models hold it; out_name (optional) is the tensor's name, the caller's. */
TENON_API tenon_status* tenon_datum_parse_tensor(const void* data, size_t bytes, char** out_name, tenon_datum** out_datum);
/* The same for any kind: a TensorProto, SequenceProto, MapProto or OptionalProto. The bytes do not say which, a model's port does. */
TENON_API tenon_status* tenon_datum_parse(int32_t kind, const void* data, size_t bytes, char** out_name, tenon_datum** out_datum);
/* items are copied (shared). dtype: element type, matters for an empty sequence only. */
TENON_API tenon_status* tenon_datum_create_sequence(int32_t dtype, const tenon_datum* const* items, size_t count,
                                                    tenon_datum** out_datum);
/* One of the key arrays is NULL. Values are tensors of rank 0 in models of ai.onnx.ml. */
TENON_API tenon_status* tenon_datum_create_map(const int64_t* int_keys, const tenon_str* string_keys,
                                               const tenon_datum* const* values, size_t count, tenon_datum** out_datum);
/* value NULL: an optional that holds nothing. */
TENON_API tenon_status* tenon_datum_create_optional(const tenon_datum* value, tenon_datum** out_datum);
TENON_API tenon_status* tenon_datum_copy(const tenon_datum* datum, tenon_datum** out_datum);
TENON_API void tenon_datum_release(tenon_datum* datum);

TENON_API int32_t tenon_datum_kind(const tenon_datum* datum);
/* Of a tensor; for others 0 or the element type. */
TENON_API int32_t tenon_datum_dtype(const tenon_datum* datum);
TENON_API size_t tenon_datum_rank(const tenon_datum* datum);
TENON_API const int64_t* tenon_datum_dims(const tenon_datum* datum);
/* Elements of a tensor, items of a sequence or a map, 0 or 1 for an optional. */
TENON_API size_t tenon_datum_count(const tenon_datum* datum);
/* Elements of a tensor, may be written; NULL for strings, other kinds and where there are none. */
TENON_API void* tenon_datum_data(const tenon_datum* datum);
TENON_API size_t tenon_datum_bytes(const tenon_datum* datum);
/* Borrowed until the element is set or the datum is gone. Errors: OUT_OF_RANGE; INVALID_ARGUMENT unless a string tensor. */
TENON_API tenon_status* tenon_datum_string(const tenon_datum* datum, size_t index, tenon_str* out_string);
TENON_API tenon_status* tenon_datum_set_string(tenon_datum* datum, size_t index, tenon_str string);
/* Item of a sequence, value of a map or an optional. Borrowed: lives as long as datum. NULL if there is none. */
TENON_API const tenon_datum* tenon_datum_item(const tenon_datum* datum, size_t index);
/* Keys of a map: 1 int64, 2 strings, 0 for an empty map and other kinds. */
TENON_API int32_t tenon_datum_key_kind(const tenon_datum* datum);
TENON_API tenon_status* tenon_datum_int_key(const tenon_datum* datum, size_t index, int64_t* out_key);
TENON_API tenon_status* tenon_datum_string_key(const tenon_datum* datum, size_t index, tenon_str* out_key);

/* ---- sessions ---------------------------------------------------------------------------------------------------------------- */

/* fraction from 0 to 1 and what is being done; called on the loading thread. */
typedef void (*tenon_progress_fn)(void* user, double fraction, const char* what);

typedef struct tenon_load_options {
  uint32_t struct_size;
  uint32_t reserved;
  const tenon_configuration* configuration; /* (optional) NULL: as tenon_configuration_find(NULL, path) */
  const tenon_cancel_token* cancel;         /* (optional) */
  tenon_progress_fn progress;               /* (optional) */
  void* progress_user;
} tenon_load_options;

typedef struct tenon_run_options {
  uint32_t struct_size;
  uint32_t reserved;
  const tenon_cancel_token* cancel; /* (optional) */
  /* 0: none but the configuration's limits.run. A run with either on a device that may hang returns soon after it all the same;
   * for that it works on copies of memory that is lent without release, and may call release from a thread of its own. */
  uint64_t timeout_ns;
  tenon_profile* profile;           /* (optional) set: steps run one by one and their times are added to it */
  tenon_state* state;               /* (optional) of this session; NULL: its own where it keeps one */
} tenon_run_options;

/* An input or output of a model. The pointers live as long as the session. */
typedef struct tenon_port {
  uint32_t struct_size;
  int32_t kind;
  int32_t dtype; /* of a tensor; else of the innermost element */
  int32_t rank;  /* -1: unknown; 0 for other kinds */
  const char* name;
  const char* type;             /* "tensor(float)", "seq(map(int64,tensor(float)))" */
  const int64_t* dims;          /* -1: not fixed */
  const char* const* dim_names; /* "" where fixed or anonymous */
  int32_t optional;             /* 1: an input that need not be fed */
  /* Where a run wants it, or makes it: the DLPack device of that memory, type 1 (the CPU) for the host; 0 where the memory has
   * no such number. "host", or the uid of the memory. */
  int32_t dlpack_type;
  const char* memory;
  int32_t dlpack_id;
  uint32_t reserved;
} tenon_port;

/* Where one node runs. The pointers live as long as the session. */
typedef struct tenon_placed_node {
  uint32_t struct_size;
  int32_t part;         /* nodes of one part are compiled together; -1: none */
  const char* node;     /* its name, "" where it has none */
  const char* op;       /* "Conv", "com.acme.Thing" */
  const char* graph;    /* "" the model's, else the path of a body: "loop/body" */
  const char* provider; /* "core": shape arithmetic and control flow; "none": nobody takes it */
  const char* device;
  const char* reason;   /* "cost", "rule 2", "only claim", ... */
  double cost_ns;       /* its share of what a run costs */
  int32_t measured;     /* 1: the cost was measured before; 0: the provider's estimate */
  uint32_t reserved;
} tenon_placed_node;

/* An ONNX model, or a bundle that tenon_bundle_compile made of one. options (optional). Errors: NOT_FOUND for files, INVALID_ARGUMENT and DATA_LOSS for the model, CANCELLED,
 * DEADLINE_EXCEEDED, those of the configuration and of providers. The file must stay unchanged while the session lives. */
TENON_API tenon_status* tenon_session_load_file(const char* path, const tenon_load_options* options, tenon_session** out_session);
/* The bytes are not needed after the call. */
TENON_API tenon_status* tenon_session_load_bytes(const void* data, size_t bytes, const tenon_load_options* options,
                                                 tenon_session** out_session);
/* No run may be in flight. Data that came out of runs stay valid. */
TENON_API void tenon_session_release(tenon_session* session);

TENON_API size_t tenon_session_input_count(const tenon_session* session);
TENON_API size_t tenon_session_output_count(const tenon_session* session);
/* out_port->struct_size must be set. Errors: OUT_OF_RANGE. */
TENON_API tenon_status* tenon_session_input(const tenon_session* session, size_t index, tenon_port* out_port);
TENON_API tenon_status* tenon_session_output(const tenon_session* session, size_t index, tenon_port* out_port);
/* Ids of the providers in use, in configuration order; NULL beyond the end. */
TENON_API size_t tenon_session_provider_count(const tenon_session* session);
TENON_API const char* tenon_session_provider(const tenon_session* session, size_t index);
/* The model's own metadata: the value of a key, NULL if absent. */
TENON_API const char* tenon_session_metadata(const tenon_session* session, const char* key);
/* Everything the model says of itself, as a JSON object. */
TENON_API tenon_status* tenon_session_model_text(const tenon_session* session, char** out_text);
/* What runs where, at what cost, and why not elsewhere. format (optional): "text" for people (the default), "json" (its schema
 * is in core/report/README.md), "html" for a page that stands alone. Costs and memory are for the sizes under /shapes. */
TENON_API tenon_status* tenon_session_explain(const tenon_session* session, const char* format, char** out_text);
/* The same as format "json". */
TENON_API tenon_status* tenon_session_placement_text(const tenon_session* session, char** out_text);
/* The nodes as they are placed, in execution order, bodies after the graph around them. out_node->struct_size must be set.
 * Errors: OUT_OF_RANGE. */
TENON_API size_t tenon_session_node_count(const tenon_session* session);
TENON_API tenon_status* tenon_session_node(const tenon_session* session, size_t index, tenon_placed_node* out_node);
/* What one run would cost, in ns, if that device had to run that node and all others were placed for the best; infinity where
 * it cannot. Both are numbered as in the JSON. Errors: OUT_OF_RANGE; UNIMPLEMENTED for nodes of bodies. */
TENON_API tenon_status* tenon_session_cost_if(const tenon_session* session, size_t node, size_t device, double* out_ns);
/* The costs of claims as a profile of this session's runs shows them, a JSON array of {provider, device, operators, ns,
 * samples} (optional). keep not 0: they go to the folder /placement/costs, and later sessions place nodes by them instead of
 * by estimates. Errors: those of writing there; nothing is kept then. */
TENON_API tenon_status* tenon_session_learn(const tenon_session* session, const tenon_profile* profile, int32_t keep, char** out_text);
/* Removes what is kept there for this session's devices and number of threads; out_count (optional): how many costs. */
TENON_API tenon_status* tenon_session_forget_costs(const tenon_session* session, uint64_t* out_count);
/* The optimised graph; and the plan for the shapes that were run last. For people: the form may change. */
TENON_API tenon_status* tenon_session_graph_text(const tenon_session* session, char** out_text);
TENON_API tenon_status* tenon_session_plan_text(const tenon_session* session, char** out_text);

/* Runs the model. Inputs are matched by name, in any order. output_names (optional): NULL is all outputs in the model's order,
 * and output_count must then be 0 or their number. outputs has one entry for each: NULL receives a new datum that shares
 * memory with no input and no other output; a tensor is written in place and must fit in dtype and size (after a failure its
 * elements are unspecified). Input memory must stay valid and unchanged during the call. options (optional).
 * Errors: INVALID_ARGUMENT names the input; CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED; those of kernels name the node. */
TENON_API tenon_status* tenon_session_run(const tenon_session* session, const char* const* input_names,
                                          const tenon_datum* const* inputs, size_t input_count, const char* const* output_names,
                                          size_t output_count, const tenon_run_options* options, tenon_datum** outputs);

/* ---- bundles: compiled models as files --------------------------------------------------------------------------------------- */

#define TENON_COMPILE_ADD 1u       /* the model is a bundle: what it stores stays, what this machine needs comes to it */
#define TENON_COMPILE_NO_PACKED 2u /* artifacts only, no packed weights: a smaller file that takes longer to load */

/* Loads the model as a session with these options would, and writes it with its weights, external data included, and all that
 * providers stored on the way: one file, which sessions load as they load the model, on any machine. Where what is stored does not
 * fit, it is made anew. The file appears whole or not at all. out_text (optional): what tenon_bundle_text says, and how much is new.
 * Errors: as tenon_session_load_file; PERMISSION_DENIED for a bundle that is to be added to and is not trusted. */
TENON_API tenon_status* tenon_bundle_compile(const char* model_path, const char* bundle_path, uint32_t flags,
                                             const tenon_load_options* options, char** out_text);
/* What is in a bundle, as a JSON object: sizes, for which providers and devices, by which settings, and whether it may be used.
 * Errors: INVALID_ARGUMENT for other files; DATA_LOSS. */
TENON_API tenon_status* tenon_bundle_text(const char* path, char** out_text);
/* What a bundle stores for providers may be machine code. It is used where this user has compiled the bundle, or has allowed it by
 * this call: then by all his processes (or as the configuration's /session/bundle says). */
TENON_API tenon_status* tenon_bundle_allow(const char* path);

/* ---- states ------------------------------------------------------------------------------------------------------------------ */

/* What a session keeps between runs where /session/state of its configuration names inputs and the outputs that they are fed
 * with: the caches of a decoder. Neither are inputs or outputs for the caller then. Caches are appended to in place. One run
 * at a time uses a state; its other functions are not called meanwhile. */

/* The session's own, which runs use that name none; NULL where nothing is kept. Borrowed: lives as long as the session. */
TENON_API tenon_state* tenon_session_state(const tenon_session* session);
/* An empty one more, for another conversation. Errors: FAILED_PRECONDITION where nothing is kept. */
TENON_API tenon_status* tenon_state_create(const tenon_session* session, tenon_state** out_state);
/* One that goes on from the same point, with memory of its own. Errors: FAILED_PRECONDITION during a run. */
TENON_API tenon_status* tenon_state_copy(const tenon_state* state, tenon_state** out_state);
/* Not for a session's own. */
TENON_API void tenon_state_release(tenon_state* state);
/* Rows that the caches hold, and that they have room for without new memory. */
TENON_API int64_t tenon_state_rows(const tenon_state* state);
TENON_API int64_t tenon_state_capacity(const tenon_state* state);
/* Goes back to the first `rows`; 0 forgets everything, for other batch sizes as well. Errors: OUT_OF_RANGE where there are fewer;
 * FAILED_PRECONDITION during a run, and, unless rows is 0, where more is kept than caches. */
TENON_API tenon_status* tenon_state_truncate(tenon_state* state, int64_t rows);
/* A copy of what the input would be fed with. Errors: NOT_FOUND where it is not kept, or no run has made it yet. */
TENON_API tenon_status* tenon_state_value(const tenon_state* state, const char* input_name, tenon_datum** out_datum);

/* ---- profiles ------------------------------------------------------------------------------------------------------------------ */

TENON_API tenon_status* tenon_profile_create(tenon_profile** out_profile);
/* Chrome trace format (chrome://tracing, Perfetto). */
TENON_API tenon_status* tenon_profile_trace(const tenon_profile* profile, char** out_text);
TENON_API size_t tenon_profile_event_count(const tenon_profile* profile);
TENON_API void tenon_profile_release(tenon_profile* profile);

#ifdef __cplusplus
}
#endif
#endif
