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

/* Feature bits: in features of the provider what it offers, in features_required what it cannot do without. */
#define TENON_FEATURE_CONCURRENT_COMPILE ((uint64_t)1 << 0)
#define TENON_FEATURE_UNLOADABLE ((uint64_t)1 << 1)

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

typedef struct tenon_compile_options {
  uint32_t struct_size;
  uint32_t max_workers; /* the largest worker_count that execute will see */
  const tenon_config* options;
  tenon_str part_key; /* names this part, its constants, boxes and options: the key for artifacts */
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

typedef struct tenon_symbol_range {
  uint32_t struct_size;
  uint32_t symbol;
  int64_t min;
  int64_t max;
} tenon_symbol_range;

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

typedef struct tenon_provider_api {
  uint32_t struct_size;
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t reserved;
  uint64_t features;

  /* -- provider -- */

  /* (required) options are those of the configuration entry that names this provider first. */
  tenon_status* (*create)(const tenon_host_api* api, tenon_host* host, const tenon_config* options, tenon_provider** out);
  void (*destroy)(tenon_provider* provider); /* (required) */
  /* (required) out is a span of tenon_device_info, owned by the provider. No device: an empty span, or the reason. */
  tenon_status* (*enumerate)(tenon_provider* provider, tenon_span* out);
  const void* (*get_extension)(tenon_provider* provider, tenon_str name, uint32_t version);

  /* -- device -- */

  tenon_status* (*device_open)(tenon_provider* provider, uint64_t index, tenon_device** out); /* (required) */
  void (*device_close)(tenon_device* device);                                                /* (required) */
  /* Everything that changes compiled results: driver, instruction set. Writes at most capacity bytes, says the length. */
  tenon_status* (*fingerprint)(tenon_device* device, char* text, uint64_t capacity, uint64_t* out_length);

  /* Needed by a device with a domain other than "host". buffer_address gives the handle that addresses carry. */
  tenon_status* (*buffer_alloc)(tenon_device* device, uint32_t domain, uint64_t bytes, uint64_t alignment, tenon_buffer** out);
  void (*buffer_free)(tenon_device* device, tenon_buffer* buffer);
  void* (*buffer_handle)(tenon_device* device, tenon_buffer* buffer);
  /* Copies bytes over the route at this index of the device's routes, in stream order; without a stream it is done when
   * it returns. */
  tenon_status* (*copy)(tenon_device* device, uint32_t route, tenon_stream* stream, const tenon_address* dst,
                        const tenon_address* src, uint64_t bytes);

  /* Streams and events; NULL for a synchronous provider. native: a stream that the application lends, or NULL. */
  tenon_status* (*stream_create)(tenon_device* device, void* native, tenon_stream** out);
  void (*stream_destroy)(tenon_stream* stream);
  void* (*stream_native)(tenon_stream* stream);
  tenon_status* (*stream_sync)(tenon_stream* stream);
  tenon_status* (*event_create)(tenon_device* device, uint64_t flags, tenon_event** out);
  void (*event_destroy)(tenon_event* event);
  tenon_status* (*event_record)(tenon_event* event, tenon_stream* stream);
  tenon_status* (*event_wait)(tenon_event* event, tenon_stream* stream);
  tenon_status* (*event_host_wait)(tenon_event* event, uint64_t timeout_ns);

  /* -- capability -- */

  /* (required) Answers every node of the graph with claims or refusals. Pure and deterministic; time-limited. An error
   * here is an error of the session; it never means "supports nothing". */
  tenon_status* (*query)(tenon_device* device, const tenon_query* query, tenon_query_sink* sink);

  /* -- programs -- */

  /* (required) Everything that does not depend on sizes: fusion, kernel choice, packed weights. The graph view is valid
   * during the call only. UNSUPPORTED_SUBGRAPH: core covers again without these nodes here. */
  tenon_status* (*compile)(tenon_device* device, const tenon_part* part, const tenon_compile_options* options,
                           tenon_program** out);
  void (*program_destroy)(tenon_program* program); /* (required) */

  /* Steps and buffers for one box of shapes. NULL: core gives every inner value a temp (numbered by the order in which
   * the chosen claims make them) and emits one step per chosen claim. */
  tenon_status* (*program_plan)(tenon_program* program, const tenon_plan_args* args, tenon_plan_sink* sink, tenon_plan** out);
  void (*plan_destroy)(tenon_plan* plan);

  /* Addresses that stay the same from run to run, once. NULL: they come with every execute. */
  tenon_status* (*plan_bind)(tenon_plan* plan, const tenon_address* addresses, uint64_t count, tenon_stream* stream_hint,
                             tenon_binding** out);
  tenon_status* (*binding_update)(tenon_binding* binding, const uint32_t* changed, const tenon_address* addresses,
                                  uint64_t count);
  void (*binding_destroy)(tenon_binding* binding);

  /* (required) Runs steps [first_step, first_step + step_count) of one program. */
  tenon_status* (*execute)(tenon_program* program, const tenon_execute_args* args);
} tenon_provider_api;

/* ---- extension "tenon.schema" version 1: operators of the provider's own domain ----------------------------------------- */

typedef struct tenon_infer_input {
  uint32_t struct_size;
  int32_t dtype; /* 0: input omitted */
  int32_t rank;  /* -1: unknown */
  uint32_t reserved;
  const int64_t* dims; /* -1: unknown */
  const void* known;   /* elements, where core knows them; else NULL */
} tenon_infer_input;

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

typedef struct tenon_schema_extension {
  uint32_t struct_size;
  uint32_t reserved;
  tenon_span schemas; /* tenon_op_schema, valid until destroy */
} tenon_schema_extension;

/* ---- entry -------------------------------------------------------------------------------------------------------------- */

typedef struct tenon_query_args {
  uint32_t struct_size;
  uint32_t abi_major;
  uint32_t minor_min;
  uint32_t minor_max;
  uint64_t host_features;
  uint64_t header_hash; /* of the host's headers */
  tenon_str host_version;
  char* error; /* where a refusing provider writes its reason */
  uint64_t error_capacity;
} tenon_query_args;

/* The newest operator set of a domain that the provider knows; newer forms are lowered or hidden by core. */
typedef struct tenon_opset {
  uint32_t struct_size;
  int32_t max_opset;
  tenon_str domain;
} tenon_opset;

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
