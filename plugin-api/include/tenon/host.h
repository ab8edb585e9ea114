/* tenon provider ABI: what the host lends to a provider.
 *
 * What: one table of functions, given to create and valid until destroy returns.
 * Owns: the host makes and frees statuses, tasks, sinks and configurations; what alloc returns is freed by free.
 * Threads: every function may be called from any thread at any time unless it says otherwise. A provider holds no lock
 * of its own across a call of parallel_for, packed_weight or barrier.
 *
 * Functions marked (optional) may be NULL in a host that does not offer them; all others are there. Functions that came
 * with a later minor are NULL where the host speaks an older one: the table is as long as its struct_size says.
 *
 * A function that returns a status leaves its out-parameters untouched when it fails; the provider returns such a status
 * from its own function, or frees it with status_free. */
#ifndef TENON_HOST_H
#define TENON_HOST_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What may stand behind a JSON pointer; out of config_get points at the C type beside it. Lists and objects are reached
 * through the pointers of their members ("/sizes/0"). */
#define TENON_CONFIG_BOOL 1   /* int32_t, 0 or 1 */
#define TENON_CONFIG_INT 2    /* int64_t */
#define TENON_CONFIG_NUMBER 3 /* double; an integer is accepted */
#define TENON_CONFIG_STRING 4 /* tenon_str, valid as long as the configuration */

/* ---- claims (query) -------------------------------------------------------------------------------------------------- */

/* Where an operand of a claim has to live. */
#define TENON_PLACE_ANY 0
#define TENON_PLACE_HOST 1 /* this operand must be in host memory: small shape-like inputs of a device kernel */

/* Whether an output shares memory with an input. MAY: the host does it where all other readers of the old value come
 * earlier. MUST: the kernel only works so; the host copies the old value first where it is still needed. */
#define TENON_ALIAS_NONE 0
#define TENON_ALIAS_MAY 1
#define TENON_ALIAS_MUST 2

/* What a claim asks for one of its boundary values. A value without a rule lives in the device's domains[0] and aliases
 * nothing. */
typedef struct tenon_operand_rule {
  uint32_t struct_size;
  uint32_t value;       /* graph value index */
  int32_t place;
  int32_t alias;
  uint32_t alias_value; /* the input that this output may or must share memory with; TENON_NO_VALUE: none */
  int32_t append_axis;  /* cache pairs: the axis along which present extends past; -1: none */
} tenon_operand_rule;

#define TENON_CLAIM_DATA_DEPENDENT_SHAPE ((uint64_t)1 << 0) /* output sizes come from alloc_output */
#define TENON_CLAIM_BOUNDED ((uint64_t)1 << 1)       /* reads values of unknown size inside the part, with dims_max */
#define TENON_CLAIM_RANGE ((uint64_t)1 << 2)         /* one plan may cover a range of sizes */
#define TENON_CLAIM_NEEDS_STATIC ((uint64_t)1 << 3)  /* eligible only where all dims are fixed */
#define TENON_CLAIM_SEALED ((uint64_t)1 << 4)        /* inner values may not leave the claim */
#define TENON_CLAIM_RECOMPUTABLE ((uint64_t)1 << 5)  /* cheap and pure: may be computed more than once */
#define TENON_CLAIM_DETERMINISTIC ((uint64_t)1 << 32) /* bitwise equal for any worker count */

/* "I can compute these nodes, together, at this cost." Claims may overlap; core chooses. Estimates are made at dim_opt.
 * est_ns 0 means unknown: core then uses est_flops and est_bytes with the device's speeds, and without those a
 * microsecond for each place in the order of providers. weight_bytes and workspace_bytes count against the limits of the
 * device's memory. A claim of several nodes is chosen whole or not at all, so each of its nodes is better claimed alone,
 * too. */
typedef struct tenon_claim {
  uint32_t struct_size;
  uint32_t node_count;
  const uint32_t* nodes;
  uint64_t token; /* the provider's own number; comes back in compile; never freed */
  uint64_t flags;
  double est_ns;
  double est_flops;
  double est_bytes;
  uint64_t workspace_bytes;
  uint64_t weight_bytes;
  tenon_span rules; /* tenon_operand_rule */
} tenon_claim;

/* ---- temps and steps (program_plan) ----------------------------------------------------------------------------------- */

#define TENON_TEMP_PER_WORKER ((uint64_t)1 << 0) /* bytes are for each worker; worker w's start at w * bytes rounded up */

/* A buffer between steps. Its operand number is input_count + output_count + its position among the temps. Nothing is
 * kept in it from run to run, and it overlaps other temps whose steps lie in other stages. */
typedef struct tenon_temp {
  uint32_t struct_size;
  uint32_t domain; /* index into the device's domains */
  uint64_t bytes;
  uint64_t alignment; /* a power of two; 0: the domain's */
  uint64_t flags;
} tenon_temp;

#define TENON_STEP_SPMD ((uint64_t)1 << 0)       /* every worker of the gang runs its slice */
#define TENON_STEP_CAPTURABLE ((uint64_t)1 << 32) /* neither allocates nor synchronises */
#define TENON_STEP_SYNCS ((uint64_t)1 << 33)      /* may wait for its own stream */

/* Two operands of one step that may share memory: the write may start where the read was. Equal sizes only. */
typedef struct tenon_inplace {
  uint32_t read;
  uint32_t write;
} tenon_inplace;

/* One unit of work. Steps are emitted in the order in which they are executed; stage never falls. Steps of one stage do
 * not depend on each other; lifetimes of temps count stages. Operand numbers: the part's inputs, its outputs, the temps,
 * the workspace. est_ns is for profiles and for the order of stages; 0 is unknown. */
typedef struct tenon_step {
  uint32_t struct_size;
  uint32_t stage;
  uint64_t flags;
  tenon_str name;
  const uint32_t* reads; /* operand numbers */
  const uint32_t* writes;
  const tenon_inplace* inplace;
  const uint32_t* nodes; /* graph node indices that this step computes, for profiles */
  uint32_t read_count;
  uint32_t write_count;
  uint32_t inplace_count;
  uint32_t node_count;
  uint64_t est_ns;
} tenon_step;

/* ---- packed weights ---------------------------------------------------------------------------------------------------- */

/* Fills bytes of host memory; may call parallel_for(NULL, ...), never packed_weight. */
typedef tenon_status* (*tenon_pack_fn)(void* context, void* host_dst, uint64_t bytes);

/* Asks for a form of some constants that is made once and shared by all sessions. Everything that changes the bytes
 * (layout, precision, instruction set) must be in layout_id. The host keeps it in memory by provider, version, device,
 * layout_id and where the constants come from, and on disk, where the session has a cache, by their contents or their
 * file. For a domain other than "host" pack fills host memory, and the host copies it over the device's route. */
typedef struct tenon_pack_request {
  uint32_t struct_size;
  uint32_t domain; /* index into the device's domains */
  const uint64_t* const_ids;
  uint64_t const_count;
  tenon_str layout_id;
  uint64_t bytes;
  uint64_t alignment;
  tenon_pack_fn pack;
  void* context;
  tenon_device* device;
} tenon_pack_request;

/* Chunk of a parallel_for: work on [begin, end). worker is below the run's max_workers. */
typedef void (*tenon_range_fn)(void* context, uint64_t begin, uint64_t end, uint32_t worker);

/* The table. abi_minor is the newest minor that the host speaks, whatever was negotiated. */
typedef struct tenon_host_api {
  uint32_t struct_size;
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t reserved;
  uint64_t features; /* TENON_FEATURE_* of provider.h that this host understands */

  /* -- errors, log, memory, options -- */

  /* A new status: code, the library's own code (0 if none) and a text that says where, expected and found. Returns never
   * NULL for a code other than TENON_OK, even when memory is short. Owns: the receiver of the status, which is the host
   * as soon as it is returned from a provider function or given to fail. */
  tenon_status* (*status_new)(tenon_host* host, int32_t code, int64_t native_code, tenon_str text);
  /* For a status that the provider received from a host function and does not pass on. */
  void (*status_free)(tenon_status* status);
  int32_t (*status_code)(const tenon_status* status); /* TENON_OK for NULL */

  /* 1 if a message of this level would be written: ask before building a costly one. */
  int32_t (*log_enabled)(tenon_host* host, int32_t level);
  void (*log)(tenon_host* host, int32_t level, tenon_str text);

  /* Host memory; alignment is a power of two. NULL if there is none. free(NULL) is allowed. */
  void* (*alloc)(tenon_host* host, uint64_t bytes, uint64_t alignment);
  void (*free)(tenon_host* host, void* memory);

  /* Reads one option, such as "/threads". 1: out is filled; 0: not set (out untouched); -1: another type (untouched). */
  int32_t (*config_get)(const tenon_config* config, tenon_str json_pointer, int32_t type, void* out);

  /* Named optional services, sized const tables; NULL where absent. */
  const void* (*get_extension)(tenon_host* host, tenon_str name, uint32_t version);

  /* -- query and compile -- */

  /* During query, on the calling thread. The claim is copied. Indices that do not exist, unknown flags that must be
   * understood, or no nodes: the claim is dropped and the log says so. */
  void (*claim)(tenon_query_sink* sink, const tenon_claim* claim);
  /* During query, on the calling thread; reason is a TENON_REJECT_*. The first refusal of a node counts. */
  void (*reject)(tenon_query_sink* sink, uint32_t node, int32_t reason, tenon_str text);

  /* The bytes of a constant, mapped lazily, aligned to 64 bytes; allowed in query, compile and program_plan. Valid until
   * const_release, at most as long as the session; what a pack function asks for on its thread, until it returns. */
  tenon_status* (*const_data)(tenon_task* load, uint64_t const_id, tenon_const_tensor* out);
  /* Says that this device has packed the constant and will not read it again: the pages may be given back. */
  void (*const_release)(tenon_task* load, uint64_t const_id);
  /* Two words of content hash, the same in every process; reads the whole constant the first time. For keys of a
   * provider's own; part_key has the constants' identity already. */
  tenon_status* (*const_hash)(tenon_task* load, uint64_t const_id, uint64_t out_hash[2]);

  /* Get or create, in compile only. out is valid as long as the session. A second requester waits for the first; if that
   * fails, it tries itself. Errors: those of pack; RESOURCE_EXHAUSTED; those of the device's copy. */
  tenon_status* (*packed_weight)(tenon_task* load, const tenon_pack_request* request, tenon_address* out);

  /* (optional) What a provider wants to find again in a later process: generated code, measured choices. The key is
   * part_key or one of the provider's own; the host adds the provider's id, version and file and the device's fingerprint,
   * so that a changed driver or build finds nothing. get: NOT_FOUND where nothing is stored, or where the session has no
   * cache; the bytes are those that were put (their hash has been checked), page-aligned, read-only and valid until the
   * load ends. put copies; a cache that is full or absent is no error. Bytes that do not fit after all: compile returns
   * ARTIFACT_MISMATCH, and is called once more with get finding nothing. */
  tenon_status* (*artifact_get)(tenon_task* load, tenon_str key, const void** out_data, uint64_t* out_bytes);
  tenon_status* (*artifact_put)(tenon_task* load, tenon_str key, const void* data, uint64_t bytes);

  /* 1 once the load or run was cancelled or its deadline has passed: query and compile then return CANCELLED soon. In
   * execute it may only shorten work inside a step. */
  int32_t (*cancelled)(tenon_task* task);
  /* In compile: the share of this call's work that is done, 0 to 1. */
  void (*progress)(tenon_task* task, double fraction);

  /* -- program_plan -- */

  /* During program_plan, on the calling thread; what is given is copied. temp numbers the next temp operand; a step may
   * name operands that were emitted before it only. */
  void (*temp)(tenon_plan_sink* sink, const tenon_temp* temp);
  void (*step)(tenon_plan_sink* sink, const tenon_step* step);
  /* Memory that every step may use, not kept between steps; it is the last operand. PER_WORKER as for temps. */
  void (*workspace)(tenon_plan_sink* sink, const tenon_temp* workspace);

  /* -- execute -- */

  /* Runs fn over [0, n) in chunks of at least grain. With a run, in a one-worker step: the workers that wait at this
   * run's barrier help; inside an SPMD step or another parallel_for it runs inline. With NULL (compile, pack): idle
   * workers help. fn must not throw. */
  void (*parallel_for)(tenon_task* run, uint64_t n, uint64_t grain, tenon_range_fn fn, void* context);
  /* All workers of an SPMD range meet. 0, or TENON_STOP for all of them alike: then return from execute at once. */
  int32_t (*barrier)(tenon_task* run);
  /* Reports a failure of this worker; the first one wins. Takes the status over. Go on to the next barrier afterwards. */
  void (*fail)(tenon_task* run, tenon_status* status);
  /* The actual dims of an operand inside a RANGE plan; valid during execute. NULL where the plan is for exact sizes: then
   * they are those of program_plan. */
  const int64_t* (*extents)(tenon_task* run, uint32_t operand);
  /* Memory for an output whose size the data decides. operand is the part's operand number; dims has rank entries.
   * One worker only. On success out is filled and the size is final. */
  tenon_status* (*alloc_output)(tenon_task* run, uint32_t operand, uint32_t rank, const int64_t* dims, tenon_address* out);

  /* -- strings: the handle of a string tensor's address is the host's; elements are reached through these two only -- */

  /* Valid until that element is set again or the value dies. */
  tenon_str (*string_get)(const tenon_address* address, uint64_t index);
  /* Copies text. One worker only. */
  tenon_status* (*string_set)(const tenon_address* address, uint64_t index, tenon_str text);
} tenon_host_api;

#ifdef __cplusplus
}
#endif
#endif
