/* tenon provider ABI: the vocabulary shared by host and provider.
 *
 * What: plain C types that cross the boundary; no functions. C11, no includes beyond stddef and stdint.
 * Owns: nothing. Strings, spans and views passed to a call are borrowed for that call only, unless a field says more.
 * Threads: everything here is data; the rules stand at the functions in host.h and provider.h.
 *
 * Rules: every struct except the frozen ones (str, span, address, dltensor, inplace) starts with struct_size and only
 * grows at its end; an array of structs is a tenon_span and is walked by its stride, never by sizeof; no enum, bool, long,
 * bit-field or unfrozen struct by value crosses; sizes are uint64_t bytes; ops and extensions are strings; dtypes and
 * attribute types are ONNX numbers. Flag bits 0-31 must be understood by the reader (else it refuses that object), bits
 * 32-63 may be ignored. Who fills a struct zeroes it first, so that members it does not know are 0: every member that is
 * ever added takes 0 for "as before". Padding and members named reserved are 0.
 *
 * plugin-api/README.md tells how the contract grows, plugin-api/REFERENCE.md lists every member with the minor that
 * brought it. Both are made to be read after this family of headers, not before. */
#ifndef TENON_TYPES_H
#define TENON_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this contract. A minor only adds: members at the end of structs, functions at the end of tables, flag
 * bits, constants, extensions. Host and provider speak the smaller of their minors; each reads of the other's structs what
 * struct_size says is there. Another major is another contract, and they refuse each other. CANDIDATE 1: minors count
 * already, and a provider built today loads in every later host of this major; it becomes 0, and nothing else changes,
 * once the conformance kit has passed on all kinds of devices. */
#define TENON_ABI_MAJOR 1u
#define TENON_ABI_MINOR 0u
#define TENON_ABI_CANDIDATE 1

/* ---- opaque objects ------------------------------------------------------------------------------------------------ */

/* Made and freed by the host. */
typedef struct tenon_host tenon_host;             /* the host as one provider sees it; lives as long as the provider */
typedef struct tenon_status tenon_status;         /* a failure; NULL means OK */
typedef struct tenon_config tenon_config;         /* options of this provider, read by config_get */
typedef struct tenon_task tenon_task;             /* one load (query, compile, plan) or one run (execute) */
typedef struct tenon_query_sink tenon_query_sink; /* receives claims and refusals */
typedef struct tenon_plan_sink tenon_plan_sink;   /* receives temps and steps */
typedef struct tenon_infer_sink tenon_infer_sink; /* receives inferred types of a custom operator */

/* Made and freed by the provider, which alone knows what they are; the host only hands them back. */
typedef struct tenon_provider tenon_provider;
typedef struct tenon_device tenon_device;
typedef struct tenon_program tenon_program; /* one compiled part; lives as long as the session */
typedef struct tenon_plan tenon_plan;       /* a program for one box of shapes; lives until evicted */
typedef struct tenon_binding tenon_binding; /* a plan with addresses; one run at a time */
typedef struct tenon_stream tenon_stream;
typedef struct tenon_event tenon_event;
typedef struct tenon_buffer tenon_buffer;

/* ---- frozen structs: without struct_size, they never change --------------------------------------------------------- */

/* UTF-8, not terminated. data may be NULL where size is 0. */
typedef struct tenon_str {
  const char* data;
  uint64_t size;
} tenon_str;

/* An array of structs that may be longer than the reader knows: element i is at data + i * stride. stride is the writer's
 * sizeof, 8-byte aligned; of element i the reader uses min(its own sizeof, the element's struct_size) bytes. */
typedef struct tenon_span {
  const void* data;
  uint64_t count;
  uint32_t stride;
  uint32_t reserved;
} tenon_span;

/* A place in a memory domain. For scheme "host:" handle is a pointer; the bytes start at handle + offset. The handle of
 * another domain is what its device says (device pointer, cl_mem, ...). String tensors: see string_get in host.h. */
typedef struct tenon_address {
  void* handle;
  uint64_t offset;
  uint64_t bytes;
} tenon_address;

/* Same layout as DLPack's DLTensor (a test compares them); strides in elements, NULL means compact. */
typedef struct tenon_dltensor {
  void* data;
  int32_t device_type;
  int32_t device_id;
  int32_t ndim;
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
} tenon_dltensor;

/* ---- numbers ------------------------------------------------------------------------------------------------------- */

/* Element types: the numbers of ONNX TensorProto.DataType. A provider refuses numbers it does not know (DTYPE), so that
 * new ones need no new form of an operator. In memory elements are little-endian and dense; bool is one byte, 0 or 1;
 * types of fewer than eight bits are packed where a comment says so, and the last byte is filled up with zeros. */
#define TENON_DTYPE_UNDEFINED 0
#define TENON_DTYPE_FLOAT 1
#define TENON_DTYPE_UINT8 2
#define TENON_DTYPE_INT8 3
#define TENON_DTYPE_UINT16 4
#define TENON_DTYPE_INT16 5
#define TENON_DTYPE_INT32 6
#define TENON_DTYPE_INT64 7
#define TENON_DTYPE_STRING 8
#define TENON_DTYPE_BOOL 9
#define TENON_DTYPE_FLOAT16 10
#define TENON_DTYPE_DOUBLE 11
#define TENON_DTYPE_UINT32 12
#define TENON_DTYPE_UINT64 13
#define TENON_DTYPE_COMPLEX64 14
#define TENON_DTYPE_COMPLEX128 15
#define TENON_DTYPE_BFLOAT16 16
#define TENON_DTYPE_FLOAT8E4M3FN 17
#define TENON_DTYPE_FLOAT8E4M3FNUZ 18
#define TENON_DTYPE_FLOAT8E5M2 19
#define TENON_DTYPE_FLOAT8E5M2FNUZ 20
#define TENON_DTYPE_UINT4 21  /* two elements a byte, the first in the low half */
#define TENON_DTYPE_INT4 22   /* likewise */
#define TENON_DTYPE_FLOAT4E2M1 23
#define TENON_DTYPE_FLOAT8E8M0 24
#define TENON_DTYPE_UINT2 25  /* four elements a byte, the first in the lowest bits */
#define TENON_DTYPE_INT2 26
#define TENON_DTYPE_FLOAT6E2M3 27  /* one element a byte, in the low six bits; packed in files only */
#define TENON_DTYPE_FLOAT6E3M2 28  /* likewise */

/* What a value is. Values other than tensors never reach a provider's part; they appear in views so that a provider can
 * tell why it does not get them. */
#define TENON_KIND_TENSOR 0
#define TENON_KIND_SEQUENCE 1
#define TENON_KIND_OPTIONAL 2
#define TENON_KIND_MAP 3
#define TENON_KIND_SPARSE 4

/* Status codes. 0-16 are the numbers of absl::StatusCode; use the first that fits. The text of a status says where, what
 * was expected, what was found and what to do; people read it, programs read the code. Codes from 100 on are those that
 * the host acts upon. A code that the reader does not know is as good as UNKNOWN. */
#define TENON_OK 0
#define TENON_CANCELLED 1           /* the caller asked for it */
#define TENON_UNKNOWN 2             /* a failure without a better code, such as a foreign exception */
#define TENON_INVALID_ARGUMENT 3    /* the caller's data is wrong: model, feed, option */
#define TENON_DEADLINE_EXCEEDED 4   /* the run's or the load's time limit */
#define TENON_NOT_FOUND 5           /* a named thing does not exist */
#define TENON_ALREADY_EXISTS 6
#define TENON_PERMISSION_DENIED 7
#define TENON_RESOURCE_EXHAUSTED 8  /* memory, or a limit of the configuration */
#define TENON_FAILED_PRECONDITION 9 /* right call, wrong moment or state */
#define TENON_ABORTED 10
#define TENON_OUT_OF_RANGE 11       /* an index or size outside its bounds */
#define TENON_UNIMPLEMENTED 12      /* understood but not supported */
#define TENON_INTERNAL 13           /* a bug of ours or of a provider */
#define TENON_UNAVAILABLE 14        /* the device is busy or absent now; a retry may help */
#define TENON_DATA_LOSS 15          /* a file is truncated or corrupt */
#define TENON_UNAUTHENTICATED 16
#define TENON_UNSUPPORTED_SUBGRAPH 100 /* compile: cover again without these nodes on this device */
#define TENON_UNSUPPORTED_SHAPE 101    /* program_plan: as above, for this shape signature only */
#define TENON_ARTIFACT_MISMATCH 102    /* a stored artifact does not fit: compile instead */
#define TENON_DEVICE_LOST 103          /* the device is gone for this process; nothing on it can be saved */
#define TENON_MISSING_DEPENDENCY 104   /* a library or device that the provider needs is not there */
#define TENON_ABI_MISMATCH 105         /* the two sides do not speak the same version of this contract */

/* Why a device does not take a node. The text beside it is for people: name the operand, the value found and the values
 * that would do. OP, ATTRIBUTE and DTYPE make the host offer the operator's body, where it has one, to this device. */
#define TENON_REJECT_OP 1             /* the operator is not known */
#define TENON_REJECT_OPSET 2          /* this form of the operator is not known */
#define TENON_REJECT_DTYPE 3
#define TENON_REJECT_RANK 4
#define TENON_REJECT_DYNAMIC 5        /* a size that must be fixed is not */
#define TENON_REJECT_ATTRIBUTE 6      /* an attribute's value is not supported */
#define TENON_REJECT_NEEDS_CONSTANT 7 /* an input must be constant and is not */
#define TENON_REJECT_TOO_SMALL 8      /* possible, not worth it */
#define TENON_REJECT_MEMORY 9
#define TENON_REJECT_CONFIG 10        /* options or placement rules forbid it */
#define TENON_REJECT_OTHER 11
#define TENON_REJECT_NOT_ANSWERED 12  /* set by core: neither claimed nor refused */

/* Log levels. WARN is for what a user should change, INFO for what is done once in a load; nothing is logged in a run
 * above DEBUG. */
#define TENON_LOG_TRACE 0
#define TENON_LOG_DEBUG 1
#define TENON_LOG_INFO 2
#define TENON_LOG_WARN 3
#define TENON_LOG_ERROR 4
#define TENON_LOG_OFF 5

#define TENON_NO_VALUE 0xffffffffu /* an omitted optional input or output of a node */
#define TENON_UNKNOWN_DIM ((int64_t)-1)
#define TENON_STOP 1               /* barrier's answer when the run has failed or was cancelled */

/* ---- graph views: flat, immutable, topologically sorted; indices are valid in their own graph only ------------------ */

/* A constant or an attribute tensor, dense row-major in host memory; bool is one byte; sub-byte types are packed. For
 * dtype STRING data is const tenon_str*. data may be unaligned unless const_data returned it (then 64 bytes). */
typedef struct tenon_const_tensor {
  uint32_t struct_size;
  int32_t dtype;
  const int64_t* dims;
  uint64_t rank;
  const void* data;
  uint64_t bytes;
} tenon_const_tensor;

/* type is ONNX AttributeProto.AttributeType: 1 FLOAT float, 2 INT int64_t, 3 STRING tenon_str, 4 TENSOR
 * tenon_const_tensor, 5 GRAPH tenon_graph, 6 FLOATS, 7 INTS, 8 STRINGS, 9 TENSORS, 10 GRAPHS. data points at count
 * elements of that C type (one for the singular types). */
typedef struct tenon_attr {
  uint32_t struct_size;
  int32_t type;
  tenon_str name;
  const void* data;
  uint64_t count;
} tenon_attr;

/* Boundary of the graph: such a value cannot be sealed inside a claim. A graph input may have a default; it is no
 * constant for that. */
#define TENON_VALUE_GRAPH_INPUT ((uint64_t)1 << 32)
#define TENON_VALUE_GRAPH_OUTPUT ((uint64_t)1 << 33)

/* Everything known of a value at load. dims[i] is -1 where the size is not fixed; then dim_symbols[i] names it (equal ids
 * are equal sizes, 0 is anonymous) and min, max and opt bound it: opt is the size that estimates are made for. */
typedef struct tenon_value {
  uint32_t struct_size;
  int32_t dtype; /* 0: not inferred */
  int32_t kind;
  int32_t rank;  /* -1: not inferred; the arrays are then NULL */
  uint64_t flags;
  tenon_str name;
  const int64_t* dims;
  const uint32_t* dim_symbols;
  const int64_t* dim_min;
  const int64_t* dim_max; /* INT64_MAX: no bound */
  const int64_t* dim_opt;
  uint64_t const_id; /* 0: not constant; else an id for const_data, valid as long as the session */
} tenon_value;

/* Where a node came from: for reports, never for semantics. */
typedef struct tenon_source {
  uint32_t struct_size;
  int32_t opset; /* of the node's domain, as the model wrote it */
  tenon_str name;
  tenon_str op_type;
} tenon_source;

/* Core evaluates this node itself (shape arithmetic): it needs no claim, costs nothing and belongs to no part. */
#define TENON_NODE_HOST_EVALUATED ((uint64_t)1 << 0)
/* The node is written in a form newer than the provider's max_opset and cannot be said in an older one: op_type is empty,
 * there are no attributes, and the refusal (OPSET) is already noted. A claim with such a node is dropped. */
#define TENON_NODE_HIDDEN ((uint64_t)1 << 1)

/* One operation. A node arrives in the newest form of its operator that the provider knows (tenon_opset): whatever opset
 * the model was written in, what a later version turned from an attribute into an input is an input, and absent
 * attributes have their defaults. form counts the changes of structure and meaning an operator has seen; a new element
 * type is no new form. The list of forms is part of this contract: plugin-api/abi.json. */
typedef struct tenon_node {
  uint32_t struct_size;
  int32_t form;          /* canonical form number of this operator, from 1; see forms in plugin-api/README.md */
  int32_t since_version; /* the opset version of the operator that this node is written in */
  uint32_t reserved;
  uint64_t flags;
  tenon_str domain;  /* "" is ai.onnx */
  tenon_str op_type;
  tenon_str name;
  const uint32_t* inputs; /* value indices; TENON_NO_VALUE where omitted */
  const uint32_t* outputs;
  uint32_t input_count;
  uint32_t output_count;
  tenon_span attributes; /* tenon_attr, defaults filled in, sorted by name */
  tenon_span sources;    /* tenon_source */
} tenon_node;

/* A graph or the body of a control flow operator. A node stands behind those whose outputs it reads; a value has at most
 * one producer. outer_values are values of this graph that are defined in the graph around it, at the parent indices
 * beside them. */
typedef struct tenon_graph {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t flags;
  tenon_str name;
  tenon_span nodes;  /* tenon_node */
  tenon_span values; /* tenon_value */
  const uint32_t* inputs;
  const uint32_t* outputs;
  const uint32_t* outer_values;
  const uint32_t* outer_parents;
  uint64_t input_count;
  uint64_t output_count;
  uint64_t outer_count;
} tenon_graph;

/* ---- devices and memory --------------------------------------------------------------------------------------------- */

/* Kinds of memory. HOST, PINNED and SHARED can be read by the processor at handle + offset; only HOST is ordinary memory. */
#define TENON_DOMAIN_HOST 0
#define TENON_DOMAIN_PINNED 1
#define TENON_DOMAIN_DEVICE 2
#define TENON_DOMAIN_SHARED 3

/* A memory domain of a device. Equal uids are one memory, whichever provider reports them: the first configured device
 * allocates, the largest alignment holds. "host" is the core's. The scheme before the colon says what a handle is. */
typedef struct tenon_domain {
  uint32_t struct_size;
  int32_t kind;
  tenon_str uid;        /* "host", or "<scheme>:<unique>" */
  uint64_t base_align;  /* bytes, a power of two */
  uint64_t view_align;  /* offsets at which a view may start; 0: no views */
  uint64_t max_alloc;   /* largest single buffer, bytes; 0: no bound */
  uint64_t total_bytes; /* 0: unknown */
  int32_t dlpack_type;  /* DLPack device type that maps here; 0: none */
  int32_t dlpack_id;
} tenon_domain;

#define TENON_ROUTE_STRIDED ((uint64_t)1 << 0) /* copies tensors with strides */

/* A copy that this device can make. Indices are into the device's domains; TENON_ROUTE_HOST is the core's host memory. */
#define TENON_ROUTE_HOST 0xffffffffu
typedef struct tenon_route {
  uint32_t struct_size;
  uint32_t from_domain;
  uint32_t to_domain;
  uint32_t reserved;
  uint64_t flags;
  double bytes_per_ns; /* GB/s; 0: unknown */
  double latency_ns;
} tenon_route;

/* Kinds of devices, for reports and for rules of a configuration; nothing else depends on them. */
#define TENON_DEVICE_CPU 0
#define TENON_DEVICE_GPU 1
#define TENON_DEVICE_NPU 2
#define TENON_DEVICE_OTHER 3

/* Filled by enumerate; owned by the provider and valid until its destroy. domains[0] is where operands live by default.
 * The speeds serve claims that give flops and bytes but no time; measured ones are better than those of a data sheet. */
typedef struct tenon_device_info {
  uint32_t struct_size;
  int32_t kind;
  tenon_str uid;  /* stable over reboots where the hardware allows it */
  tenon_str name; /* for people */
  tenon_span domains; /* tenon_domain, at least one */
  tenon_span routes;  /* tenon_route; to and from the host are required for every domain that is not "host" */
  tenon_str sync_family; /* devices of one family share a native stream per run; "": host wait */
  double flops_per_ns;   /* float32; 0: unknown */
  double bytes_per_ns;   /* own memory; 0: unknown */
  double launch_ns;      /* fixed cost of one part */
  uint64_t memory_limit; /* bytes of domains[0] that a session may use; 0: no bound */
} tenon_device_info;

#ifdef __cplusplus
}
#endif
#endif
