/* tenon provider ABI: what a provider fills in.
 *
 * What: one exported symbol, tenon_provider_query, that leads to one table of functions. Nine are required: create,
 * destroy, enumerate, device_open, device_close, query, compile, program_destroy, execute. Every other one may be NULL.
 * Owns: each handle is freed by the destroy, close or free beside it. The host destroys bindings, plans, programs,
 * events, streams, buffers, devices and the provider in that order; all of these return, also on a lost device.
 * Threads: create, destroy, enumerate, device_open and device_close are serialised by the host. query, compile and
 * program_plan run one at a time for a device unless the provider has CONCURRENT_COMPILE. execute runs concurrently for
 * different bindings or, without plan_bind, for different address arrays.
 *
 * A failing call returns a status made by host->status_new and leaves its out-parameters untouched. No exception,
 * longjmp, abort or exit crosses: provider.hpp catches them for C++. */
#ifndef TENON_PROVIDER_H
#define TENON_PROVIDER_H

#include "abi_hash.h"
#include "host.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define TENON_EXPORT __declspec(dllexport)
#else
#define TENON_EXPORT __attribute__((visibility("default")))
#endif

/* Feature bits: in features of the provider what it offers, in features_required what it cannot do without, in those of
 * the host what it understands. A required bit that the host lacks is a refusal; an offered one that it lacks is ignored. */
#define TENON_FEATURE_CONCURRENT_COMPILE ((uint64_t)1 << 0) /* query, compile, program_plan may run at the same time */
#define TENON_FEATURE_UNLOADABLE ((uint64_t)1 << 1)         /* leaves no thread, handler or static state behind */

/* The sanitizer that a binary was built with; mixing them crashes, so host and provider must agree. */
#define TENON_SANITIZER_NONE 0u
#define TENON_SANITIZER_ADDRESS 1u
#define TENON_SANITIZER_THREAD 2u
#if defined(__SANITIZE_ADDRESS__)
#define TENON_SANITIZER TENON_SANITIZER_ADDRESS
#elif defined(__SANITIZE_THREAD__)
#define TENON_SANITIZER TENON_SANITIZER_THREAD
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TENON_SANITIZER TENON_SANITIZER_ADDRESS
#elif __has_feature(thread_sanitizer)
#define TENON_SANITIZER TENON_SANITIZER_THREAD
#endif
#endif
#ifndef TENON_SANITIZER
#define TENON_SANITIZER TENON_SANITIZER_NONE
#endif

/* ---- query -------------------------------------------------------------------------------------------------------------- */

/* What query is asked. options and load are valid during the call, constants' ids as long as the session. */
typedef struct tenon_query {
  uint32_t struct_size;
  uint32_t max_workers;
  const tenon_graph* graph;
  const tenon_config* options; /* this provider's options in this session */
  tenon_task* load;
} tenon_query;

/* ---- compile ------------------------------------------------------------------------------------------------------------ */

/* A chosen claim. Node indices are those of the queried graph. */
typedef struct tenon_chosen {
  uint32_t struct_size;
  uint32_t node_count;
  const uint32_t* nodes;
  uint64_t token;
} tenon_chosen;

/* What one device computes together: convex, in execution order. Operands are numbered inputs, outputs, temps,
 * workspace; constants are not operands. An operand that is both made and read inside is an output only. */
typedef struct tenon_part {
  uint32_t struct_size;
  uint32_t reserved;
  const tenon_graph* graph;
  tenon_span claims; /* tenon_chosen, topologically sorted */
  const uint32_t* inputs; /* value indices */
  const uint32_t* outputs;
  uint64_t input_count;
  uint64_t output_count;
} tenon_part;

/* part_key is a digest, the same in every process, of all that compile is told: nodes, attributes, types and dims of the
 * part and its operands, identity of its constants, bounds, options, max_workers. Two parts of one session may share it. */
typedef struct tenon_compile_options {
  uint32_t struct_size;
  uint32_t max_workers; /* the largest worker_count that execute will see */
  const tenon_config* options;
  tenon_str part_key; /* the key for artifacts */
  tenon_task* load;
} tenon_compile_options;

/* ---- plan --------------------------------------------------------------------------------------------------------------- */

/* One value of the graph for the shapes at hand. dims_max differs from dims only inside a RANGE box. known points at the
 * elements where core evaluated them (int64, int32, bool, float), valid during the call. strides: cache pairs, in
 * elements; NULL means dense. rank -1: not part of this program. */
typedef struct tenon_plan_value {
  uint32_t struct_size;
  int32_t rank;
  int32_t dtype;
  uint32_t reserved;
  const int64_t* dims; /* -1: decided by data, during the run */
  const int64_t* dims_max;
  const int64_t* strides;
  const void* known;
} tenon_plan_value;

/* One symbol of the box that a plan has to serve; dims are at min, dims_max at max. */
typedef struct tenon_symbol_range {
  uint32_t struct_size;
  uint32_t symbol;
  int64_t min;
  int64_t max;
} tenon_symbol_range;

/* The box of sizes to plan for; without ranges every size is exact. */
typedef struct tenon_plan_args {
  uint32_t struct_size;
  uint32_t max_workers;
  tenon_span values; /* tenon_plan_value, by the part's graph value index */
  tenon_span ranges; /* tenon_symbol_range */
  tenon_task* load;
} tenon_plan_args;

/* ---- execute ------------------------------------------------------------------------------------------------------------ */

/* One crossing for a range of steps. addresses are by operand number and NULL where there is a binding. worker_count is
 * constant within one call; a range without SPMD steps is executed once, with worker_count 1. */
typedef struct tenon_execute_args {
  uint32_t struct_size;
  uint32_t worker_index;
  uint32_t worker_count;
  uint32_t reserved;
  tenon_plan* plan; /* NULL where the provider has no program_plan */
  tenon_binding* binding;
  const tenon_address* addresses;
  uint64_t address_count;
  uint64_t first_step;
  uint64_t step_count;
  tenon_stream* stream; /* NULL: synchronous */
  tenon_task* run;
} tenon_execute_args;

/* ---- the table ---------------------------------------------------------------------------------------------------------- */

/* The provider's table. The host copies it, up to its struct_size, into one of its own length filled with zeros: a function
 * beyond the end is a function that is not there. Functions come in groups that need each other: program_plan and
 * plan_destroy; plan_bind, binding_update, binding_destroy and program_plan; the three buffer functions and copy; a stream's
 * create, destroy and sync; an event's create, destroy, record and host_wait. */
typedef struct tenon_provider_api {
  uint32_t struct_size;
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t reserved;
  uint64_t features;

  /* -- provider -- */

  /* (required) options are those of the configuration entry that names this provider first, valid until destroy; what a
   * session says goes to query and compile. Called once; cheap where it can be, as programs that only list providers do
   * not call it. Errors: MISSING_DEPENDENCY that names the library or driver and how to get it. */
  tenon_status* (*create)(const tenon_host_api* api, tenon_host* host, const tenon_config* options, tenon_provider** out);
  /* (required) The last call; everything made through the provider has been freed. */
  void (*destroy)(tenon_provider* provider);
  /* (required) out is a span of tenon_device_info, owned by the provider. No device: an empty span, or the reason. */
  tenon_status* (*enumerate)(tenon_provider* provider, tenon_span* out);
  /* Optional tables that the core may know ("tenon.schema") or an application asks for ("acme.foo"): sized, constant,
   * valid until destroy. NULL for a name or version that the provider does not have. */
  const void* (*get_extension)(tenon_provider* provider, tenon_str name, uint32_t version);

  /* -- device -- */

  /* (required) index counts the span of enumerate. A device is opened once per process and shared by its sessions. */
  tenon_status* (*device_open)(tenon_provider* provider, uint64_t index, tenon_device** out);
  /* (required) Its buffers, streams, events and programs have been freed. Returns also where the device is lost. */
  void (*device_close)(tenon_device* device);
  /* Everything that changes compiled results: driver, instruction set. Writes at most capacity bytes, says the length;
   * called again with more room where that was short. It is part of every key on disk. */
  tenon_status* (*fingerprint)(tenon_device* device, char* text, uint64_t capacity, uint64_t* out_length);

  /* Needed by a device with a domain other than "host"; domain is an index into its domains, bytes are at most max_alloc,
   * alignment is at least base_align. The contents are anything. Errors: RESOURCE_EXHAUSTED with what was asked and what
   * is free. buffer_handle gives the handle that addresses carry; their offsets count from its first byte. */
  tenon_status* (*buffer_alloc)(tenon_device* device, uint32_t domain, uint64_t bytes, uint64_t alignment, tenon_buffer** out);
  void (*buffer_free)(tenon_device* device, tenon_buffer* buffer);
  void* (*buffer_handle)(tenon_device* device, tenon_buffer* buffer);
  /* Copies bytes over the route at this index of the device's routes, in stream order; without a stream it is done when
   * it returns. The ranges do not overlap and stay valid until the copy is done. */
  tenon_status* (*copy)(tenon_device* device, uint32_t route, tenon_stream* stream, const tenon_address* dst,
                        const tenon_address* src, uint64_t bytes);

  /* Streams and events; NULL for a synchronous provider. native: a stream that the application lends, or NULL. One run
   * context has one stream of a device and calls from one thread at a time; sync returns the failures of queued work. */
  tenon_status* (*stream_create)(tenon_device* device, void* native, tenon_stream** out);
  void (*stream_destroy)(tenon_stream* stream);
  void* (*stream_native)(tenon_stream* stream);
  tenon_status* (*stream_sync)(tenon_stream* stream);
  /* A mark in a stream. record again moves it; wait makes another stream of the same provider wait for it without blocking
   * the caller; host_wait blocks, at most timeout_ns, then DEADLINE_EXCEEDED. flags are 0 in this minor. */
  tenon_status* (*event_create)(tenon_device* device, uint64_t flags, tenon_event** out);
  void (*event_destroy)(tenon_event* event);
  tenon_status* (*event_record)(tenon_event* event, tenon_stream* stream);
  tenon_status* (*event_wait)(tenon_event* event, tenon_stream* stream);
  tenon_status* (*event_host_wait)(tenon_event* event, uint64_t timeout_ns);

  /* -- capability -- */

  /* (required) Answers every node of the graph with claims or refusals. Pure and deterministic. It has a time limit, after
   * which cancelled(load) is 1 and the session fails with DEADLINE_EXCEEDED. An error here is an error of the session; it
   * never means "supports nothing". */
  tenon_status* (*query)(tenon_device* device, const tenon_query* query, tenon_query_sink* sink);

  /* -- programs -- */

  /* (required) Everything that does not depend on sizes: fusion, kernel choice, packed weights. The graph view is valid
   * during the call only. The program is immutable and serves any number of plans at once. UNSUPPORTED_SUBGRAPH: core
   * covers again without these nodes here. ARTIFACT_MISMATCH: called once more, without stored artifacts. */
  tenon_status* (*compile)(tenon_device* device, const tenon_part* part, const tenon_compile_options* options,
                           tenon_program** out);
  /* (required) Its plans have been destroyed. */
  void (*program_destroy)(tenon_program* program);

  /* Steps and buffers for one box of shapes. NULL: core gives every inner value a temp (numbered by the order in which
   * the chosen claims make them) and emits one step per chosen claim. */
  tenon_status* (*program_plan)(tenon_program* program, const tenon_plan_args* args, tenon_plan_sink* sink, tenon_plan** out);
  /* Its bindings have been destroyed; no execute with it is running. */
  void (*plan_destroy)(tenon_plan* plan);

  /* Addresses that stay the same from run to run, once. NULL: they come with every execute. addresses has count entries by
   * operand number and is borrowed for the call; stream_hint is the stream that execute will get, or NULL. A binding
   * serves one run at a time; where the address of an operand has changed, binding_update comes before that run. */
  tenon_status* (*plan_bind)(tenon_plan* plan, const tenon_address* addresses, uint64_t count, tenon_stream* stream_hint,
                             tenon_binding** out);
  /* changed has count operand numbers, addresses their new places in the same order. Allocates nothing. */
  tenon_status* (*binding_update)(tenon_binding* binding, const uint32_t* changed, const tenon_address* addresses,
                                  uint64_t count);
  void (*binding_destroy)(tenon_binding* binding);

  /* (required) Runs steps [first_step, first_step + step_count) of one program. With a stream it may return before the work
   * is done; without one it is done. In SPMD steps every worker of the gang calls it with its own worker_index. A failure
   * of one worker goes through fail; a status returned here does the same for a one-worker range. */
  tenon_status* (*execute)(tenon_program* program, const tenon_execute_args* args);
} tenon_provider_api;

/* ---- extension "tenon.schema" version 1: operators of the provider's own domain ----------------------------------------- */

/* What is known of an input when a custom operator's outputs are inferred. */
typedef struct tenon_infer_input {
  uint32_t struct_size;
  int32_t dtype; /* 0: input omitted */
  int32_t rank;  /* -1: unknown */
  uint32_t reserved;
  const int64_t* dims; /* -1: unknown */
  const void* known;   /* elements, where core knows them; else NULL */
} tenon_infer_input;

/* All inputs of node, omitted ones too. The sink and output are used during the call only. */
typedef struct tenon_infer_args {
  uint32_t struct_size;
  uint32_t reserved;
  const tenon_node* node;
  tenon_span inputs; /* tenon_infer_input */
  tenon_infer_sink* sink;
  /* Says the type of one output; rank -1: unknown. */
  void (*output)(tenon_infer_sink* sink, uint32_t index, int32_t dtype, int32_t rank, const int64_t* dims);
} tenon_infer_args;

#define TENON_SCHEMA_VARIADIC 0xffffffffu

/* One version of one operator. attributes: tenon_attr; an attribute with data is optional and has that default, one with
 * count 0 is required. infer may be called from several threads. */
typedef struct tenon_op_schema {
  uint32_t struct_size;
  int32_t since_version;
  tenon_str domain;
  tenon_str op_type;
  uint32_t min_inputs;
  uint32_t max_inputs; /* TENON_SCHEMA_VARIADIC: any number */
  uint32_t min_outputs;
  uint32_t max_outputs;
  tenon_span attributes;
  tenon_status* (*infer)(tenon_provider* provider, const tenon_infer_args* args);
} tenon_op_schema;

/* What get_extension("tenon.schema", 1) returns. Domains of ONNX ("", "ai.onnx...") are refused; two providers may declare
 * the same operator if they declare it alike. */
typedef struct tenon_schema_extension {
  uint32_t struct_size;
  uint32_t reserved;
  tenon_span schemas; /* tenon_op_schema, valid until destroy */
} tenon_schema_extension;

/* ---- entry -------------------------------------------------------------------------------------------------------------- */

/* The host's offer: any minor from minor_min to minor_max of one major. */
typedef struct tenon_query_args {
  uint32_t struct_size;
  uint32_t abi_major;
  uint32_t minor_min;
  uint32_t minor_max;
  uint64_t host_features;
  uint64_t header_hash; /* of the host's headers; to be told, not to be refused for */
  tenon_str host_version;
  char* error; /* where a refusing provider writes its reason */
  uint64_t error_capacity;
} tenon_query_args;

/* The newest operator set of a domain that the provider knows. A node whose form is newer is shown in an older one where
 * it can be said so, and hidden with the refusal OPSET where not. A domain that is not listed: whatever there is. */
typedef struct tenon_opset {
  uint32_t struct_size;
  int32_t max_opset;
  tenon_str domain;
} tenon_opset;

/* The provider's answer. abi_minor lies in the host's range; features_required is what it cannot do without; id is that of
 * the manifest. header_hash is reported in logs and by tools. */
typedef struct tenon_provider_desc {
  uint32_t struct_size;
  uint32_t abi_major;
  uint32_t abi_minor; /* chosen by tenon_negotiate */
  uint32_t sanitizer; /* TENON_SANITIZER */
  uint64_t features_required;
  uint64_t header_hash; /* TENON_ABI_HEADER_HASH */
  tenon_str id;
  tenon_str version;
  tenon_str build_id;
  tenon_span opsets; /* tenon_opset */
  const tenon_provider_api* api;
} tenon_provider_desc;

/* The only exported symbol. Pure and cheap, touches no device, may be called any number of times. NULL: refused, with
 * the reason in args->error. The result lives as long as the library. */
TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args);

/* Writes a refusal's reason where the host reads it. */
static inline void tenon_refuse(const tenon_query_args* args, const char* text) {
  uint64_t i = 0;
  if (!args->error || args->error_capacity == 0) return;
  for (; text[i] && i + 1 < args->error_capacity; ++i) args->error[i] = text[i];
  args->error[i] = 0;
}

/* The minor to speak: the smaller of ours and the host's newest. -1: refused, the reason is written. */
static inline int32_t tenon_negotiate(const tenon_query_args* args) {
  uint32_t chosen;
  if (args->struct_size < offsetof(tenon_query_args, error_capacity) + sizeof(args->error_capacity)) return -1;
  if (args->abi_major != TENON_ABI_MAJOR) {
    tenon_refuse(args, "the provider was built for another major version of the ABI");
    return -1;
  }
  chosen = TENON_ABI_MINOR < args->minor_max ? TENON_ABI_MINOR : args->minor_max;
  if (chosen < args->minor_min) {
    tenon_refuse(args, "the provider was built for an ABI minor that this host no longer speaks");
    return -1;
  }
  return (int32_t)chosen;
}

#ifdef __cplusplus
}
#endif
#endif
