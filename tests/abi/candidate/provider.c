/* A provider in plain C, written against the headers beside it and never changed: it stands for every provider that was
 * built when the candidate came out. Relu of float32 tensors in host memory, with a plan, a workspace, and a scale from its
 * options; it uses each part of the tables that it can, so that a host which stops honouring one of them fails its tests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tenon/provider.h>

#ifndef PROVIDER_ID
#define PROVIDER_ID "frozen"
#endif

struct tenon_provider {
  const tenon_host_api* api;
  tenon_host* host;
};
struct tenon_device {
  tenon_provider* provider;
};
struct tenon_program {
  tenon_provider* provider;
  double scale;
  uint64_t input_count, output_count, node_count;
  uint32_t (*nodes)[3]; /* input, output (value indices), graph node */
  uint32_t* operands;   /* value index by operand number */
};
struct tenon_plan {
  tenon_program* program;
  uint64_t temp_count, workspace_operand;
  uint64_t* elements; /* of each node's value */
  uint32_t (*steps)[2]; /* operand numbers */
};

static tenon_str text(const char* s) {
  tenon_str out;
  out.data = s;
  out.size = strlen(s);
  return out;
}
static int same(tenon_str a, const char* b) { return a.size == strlen(b) && memcmp(a.data, b, a.size) == 0; }
static tenon_status* failed(const tenon_provider* p, int32_t code, const char* why) { return p->api->status_new(p->host, code, 0, text(why)); }
static const void* at(const tenon_span* span, uint64_t i) { return (const char*)span->data + i * span->stride; }

static tenon_status* create(const tenon_host_api* api, tenon_host* host, const tenon_config* options, tenon_provider** out) {
  tenon_provider* p = api->alloc(host, sizeof *p, 64);
  (void)options;
  if (!p) return api->status_new(host, TENON_RESOURCE_EXHAUSTED, 0, text("no memory for the provider"));
  p->api = api;
  p->host = host;
  if (api->log_enabled(host, TENON_LOG_DEBUG)) api->log(host, TENON_LOG_DEBUG, text("created"));
  *out = p;
  return NULL;
}
static void destroy(tenon_provider* p) { p->api->free(p->host, p); }

static tenon_status* enumerate(tenon_provider* p, tenon_span* out) {
  static tenon_domain domain;
  static tenon_device_info info;
  (void)p;
  domain.struct_size = sizeof domain;
  domain.uid = text("host");
  domain.base_align = 64;
  domain.view_align = 64;
  info.struct_size = sizeof info;
  info.kind = TENON_DEVICE_CPU;
  info.uid = text(PROVIDER_ID ":0");
  info.name = text("a device that never changes");
  info.domains.data = &domain;
  info.domains.count = 1;
  info.domains.stride = sizeof domain;
  info.flops_per_ns = 1;
  info.bytes_per_ns = 8;
  out->data = &info;
  out->count = 1;
  out->stride = sizeof info;
  out->reserved = 0;
  return NULL;
}

static tenon_status* device_open(tenon_provider* p, uint64_t index, tenon_device** out) {
  tenon_device* d;
  if (index != 0) return failed(p, TENON_OUT_OF_RANGE, "there is one device");
  if (!(d = malloc(sizeof *d))) return failed(p, TENON_RESOURCE_EXHAUSTED, "no memory for the device");
  d->provider = p;
  *out = d;
  return NULL;
}
static void device_close(tenon_device* d) { free(d); }

static tenon_status* fingerprint(tenon_device* d, char* to, uint64_t capacity, uint64_t* out_length) {
  static const char all[] = "frozen, in one kind";
  (void)d;
  *out_length = sizeof all - 1;
  memcpy(to, all, capacity < sizeof all - 1 ? capacity : sizeof all - 1);
  return NULL;
}

static tenon_status* query(tenon_device* d, const tenon_query* q, tenon_query_sink* sink) {
  const tenon_host_api* api = d->provider->api;
  uint32_t n;
  for (n = 0; n < q->graph->nodes.count; ++n) {
    const tenon_node* node = at(&q->graph->nodes, n);
    const tenon_value* x;
    tenon_claim claim;
    tenon_operand_rule rule;
    if (node->flags & (TENON_NODE_HOST_EVALUATED | TENON_NODE_HIDDEN)) continue;
    if (node->domain.size != 0 || !same(node->op_type, "Relu")) {
      api->reject(sink, n, TENON_REJECT_OP, text("only Relu"));
      continue;
    }
    x = at(&q->graph->values, node->inputs[0]);
    if (x->dtype != TENON_DTYPE_FLOAT || x->const_id != 0) {
      api->reject(sink, n, TENON_REJECT_DTYPE, text("only float32 that is not constant"));
      continue;
    }
    memset(&rule, 0, sizeof rule);
    rule.struct_size = sizeof rule;
    rule.value = node->outputs[0];
    rule.alias = TENON_ALIAS_MAY;
    rule.alias_value = node->inputs[0];
    rule.append_axis = -1;
    memset(&claim, 0, sizeof claim);
    claim.struct_size = sizeof claim;
    claim.nodes = &n;
    claim.node_count = 1;
    claim.token = n + 1000;
    claim.flags = TENON_CLAIM_RECOMPUTABLE | TENON_CLAIM_DETERMINISTIC;
    claim.est_ns = 10;
    claim.rules.data = &rule;
    claim.rules.count = 1;
    claim.rules.stride = sizeof rule;
    api->claim(sink, &claim);
  }
  return NULL;
}

static void program_destroy(tenon_program* program) {
  free(program->nodes);
  free(program->operands);
  free(program);
}

static tenon_status* compile(tenon_device* d, const tenon_part* part, const tenon_compile_options* options, tenon_program** out) {
  tenon_program* made = calloc(1, sizeof *made);
  uint64_t c, i;
  if (!made) return failed(d->provider, TENON_RESOURCE_EXHAUSTED, "no memory for a program");
  made->provider = d->provider;
  made->scale = 1;
  if (options->options) d->provider->api->config_get(options->options, text("/scale"), TENON_CONFIG_NUMBER, &made->scale);
  for (c = 0; c < part->claims.count; ++c) made->node_count += ((const tenon_chosen*)at(&part->claims, c))->node_count;
  made->input_count = part->input_count;
  made->output_count = part->output_count;
  made->nodes = calloc(made->node_count + 1, sizeof *made->nodes);
  made->operands = calloc(part->input_count + part->output_count + 1, sizeof *made->operands);
  if (!made->nodes || !made->operands) {
    program_destroy(made);
    return failed(d->provider, TENON_RESOURCE_EXHAUSTED, "no memory for a program");
  }
  for (i = 0; i < part->input_count; ++i) made->operands[i] = part->inputs[i];
  for (i = 0; i < part->output_count; ++i) made->operands[part->input_count + i] = part->outputs[i];
  made->node_count = 0;
  for (c = 0; c < part->claims.count; ++c) {
    const tenon_chosen* chosen = at(&part->claims, c);
    for (i = 0; i < chosen->node_count; ++i) {
      const tenon_node* node = at(&part->graph->nodes, chosen->nodes[i]);
      if (chosen->token != chosen->nodes[i] + 1000) {
        program_destroy(made);
        return failed(d->provider, TENON_INTERNAL, "a token came back changed");
      }
      made->nodes[made->node_count][0] = node->inputs[0];
      made->nodes[made->node_count][1] = node->outputs[0];
      made->nodes[made->node_count++][2] = chosen->nodes[i];
    }
  }
  d->provider->api->progress(options->load, 1);
  *out = made;
  return NULL;
}

static void plan_destroy(tenon_plan* plan) {
  free(plan->elements);
  free(plan->steps);
  free(plan);
}

static tenon_status* program_plan(tenon_program* program, const tenon_plan_args* args, tenon_plan_sink* sink, tenon_plan** out) {
  const tenon_host_api* api = program->provider->api;
  const uint64_t boundary = program->input_count + program->output_count;
  tenon_plan* plan = calloc(1, sizeof *plan);
  uint32_t* temp_of;
  tenon_temp workspace;
  uint64_t i, o;
  if (!plan) return failed(program->provider, TENON_RESOURCE_EXHAUSTED, "no memory for a plan");
  plan->program = program;
  plan->elements = calloc(program->node_count + 1, sizeof *plan->elements);
  plan->steps = calloc(program->node_count + 1, sizeof *plan->steps);
  temp_of = calloc(args->values.count + 1, sizeof *temp_of);
  if (!plan->elements || !plan->steps || !temp_of) {
    free(temp_of);
    plan_destroy(plan);
    return failed(program->provider, TENON_RESOURCE_EXHAUSTED, "no memory for a plan");
  }
  for (o = 0; o < boundary; ++o) temp_of[program->operands[o]] = (uint32_t)o + 1;
  for (i = 0; i < program->node_count; ++i) {
    const tenon_plan_value* value = at(&args->values, program->nodes[i][1]);
    const uint32_t node = program->nodes[i][2];
    tenon_inplace inplace;
    tenon_step step;
    int32_t r;
    plan->elements[i] = 1;
    for (r = 0; r < value->rank; ++r) plan->elements[i] *= (uint64_t)value->dims[r];
    if (!temp_of[program->nodes[i][1]]) {
      tenon_temp temp;
      memset(&temp, 0, sizeof temp);
      temp.struct_size = sizeof temp;
      temp.bytes = plan->elements[i] * sizeof(float);
      api->temp(sink, &temp);
      temp_of[program->nodes[i][1]] = (uint32_t)(boundary + plan->temp_count++) + 1;
    }
    inplace.read = plan->steps[i][0] = temp_of[program->nodes[i][0]] - 1;
    inplace.write = plan->steps[i][1] = temp_of[program->nodes[i][1]] - 1;
    memset(&step, 0, sizeof step);
    step.struct_size = sizeof step;
    step.stage = (uint32_t)i;
    step.flags = TENON_STEP_CAPTURABLE;
    step.name = text("relu");
    step.reads = &plan->steps[i][0];
    step.writes = &plan->steps[i][1];
    step.inplace = &inplace;
    step.nodes = &node;
    step.read_count = step.write_count = step.inplace_count = step.node_count = 1;
    api->step(sink, &step);
  }
  free(temp_of);
  memset(&workspace, 0, sizeof workspace);
  workspace.struct_size = sizeof workspace;
  workspace.bytes = 64;
  api->workspace(sink, &workspace);
  plan->workspace_operand = boundary + plan->temp_count;
  *out = plan;
  return NULL;
}

struct relu {
  const float* from;
  float* to;
  float scale;
};
static void relu_range(void* context, uint64_t begin, uint64_t end, uint32_t worker) {
  const struct relu* r = context;
  (void)worker;
  for (; begin < end; ++begin) r->to[begin] = r->from[begin] > 0 ? r->scale * r->from[begin] : 0;
}

static tenon_status* execute(tenon_program* program, const tenon_execute_args* args) {
  const tenon_host_api* api = program->provider->api;
  const tenon_plan* plan = args->plan;
  uint64_t s;
  if (args->address_count <= plan->workspace_operand) return failed(program->provider, TENON_INTERNAL, "an address is missing");
  for (s = args->first_step; s < args->first_step + args->step_count; ++s) {
    const tenon_address *from = &args->addresses[plan->steps[s][0]], *to = &args->addresses[plan->steps[s][1]];
    struct relu work;
    if (api->cancelled(args->run)) return failed(program->provider, TENON_CANCELLED, "cancelled");
    work.from = (const float*)((const char*)from->handle + from->offset);
    work.to = (float*)((char*)to->handle + to->offset);
    work.scale = (float)program->scale;
    memset((char*)args->addresses[plan->workspace_operand].handle + args->addresses[plan->workspace_operand].offset, 0, 64);
    api->parallel_for(args->run, plan->elements[s], 1024, relu_range, &work);
  }
  return NULL;
}

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
  static tenon_provider_api api;
  static tenon_provider_desc desc;
  static tenon_opset opset;
  const int32_t minor = tenon_negotiate(args);
  if (minor < 0) return NULL;
  api.struct_size = sizeof api;
  api.abi_major = TENON_ABI_MAJOR;
  api.abi_minor = (uint32_t)minor;
  api.create = create;
  api.destroy = destroy;
  api.enumerate = enumerate;
  api.device_open = device_open;
  api.device_close = device_close;
  api.fingerprint = fingerprint;
  api.query = query;
  api.compile = compile;
  api.program_destroy = program_destroy;
  api.program_plan = program_plan;
  api.plan_destroy = plan_destroy;
  api.execute = execute;
  opset.struct_size = sizeof opset;
  opset.max_opset = 28;
  desc.struct_size = sizeof desc;
  desc.abi_major = TENON_ABI_MAJOR;
  desc.abi_minor = (uint32_t)minor;
  desc.sanitizer = TENON_SANITIZER;
  desc.header_hash = TENON_ABI_HEADER_HASH;
  desc.id = text(PROVIDER_ID);
  desc.version = text("1.0");
  desc.build_id = text("candidate");
  desc.opsets.data = &opset;
  desc.opsets.count = 1;
  desc.opsets.stride = sizeof opset;
  desc.api = &api;
  return &desc;
}
