/* Written by scripts/abi: every type of the ABI as a binary shows it, for abidiff. */
#include <tenon/types.h>
#include <tenon/host.h>
#include <tenon/provider.h>
#include <tenon/resize.h>
#include <tenon/trace.h>

TENON_EXPORT const tenon_str* tenon_surface_str;
TENON_EXPORT const tenon_span* tenon_surface_span;
TENON_EXPORT const tenon_address* tenon_surface_address;
TENON_EXPORT const tenon_dltensor* tenon_surface_dltensor;
TENON_EXPORT const tenon_const_tensor* tenon_surface_const_tensor;
TENON_EXPORT const tenon_attr* tenon_surface_attr;
TENON_EXPORT const tenon_value* tenon_surface_value;
TENON_EXPORT const tenon_source* tenon_surface_source;
TENON_EXPORT const tenon_node* tenon_surface_node;
TENON_EXPORT const tenon_graph* tenon_surface_graph;
TENON_EXPORT const tenon_domain* tenon_surface_domain;
TENON_EXPORT const tenon_route* tenon_surface_route;
TENON_EXPORT const tenon_device_info* tenon_surface_device_info;
TENON_EXPORT const tenon_operand_rule* tenon_surface_operand_rule;
TENON_EXPORT const tenon_claim* tenon_surface_claim;
TENON_EXPORT const tenon_temp* tenon_surface_temp;
TENON_EXPORT const tenon_inplace* tenon_surface_inplace;
TENON_EXPORT const tenon_step* tenon_surface_step;
TENON_EXPORT const tenon_pack_request* tenon_surface_pack_request;
TENON_EXPORT const tenon_host_api* tenon_surface_host_api;
TENON_EXPORT const tenon_query* tenon_surface_query;
TENON_EXPORT const tenon_chosen* tenon_surface_chosen;
TENON_EXPORT const tenon_part* tenon_surface_part;
TENON_EXPORT const tenon_compile_options* tenon_surface_compile_options;
TENON_EXPORT const tenon_plan_value* tenon_surface_plan_value;
TENON_EXPORT const tenon_symbol_range* tenon_surface_symbol_range;
TENON_EXPORT const tenon_plan_args* tenon_surface_plan_args;
TENON_EXPORT const tenon_execute_args* tenon_surface_execute_args;
TENON_EXPORT const tenon_provider_api* tenon_surface_provider_api;
TENON_EXPORT const tenon_infer_input* tenon_surface_infer_input;
TENON_EXPORT const tenon_infer_args* tenon_surface_infer_args;
TENON_EXPORT const tenon_op_schema* tenon_surface_op_schema;
TENON_EXPORT const tenon_schema_extension* tenon_surface_schema_extension;
TENON_EXPORT const tenon_query_args* tenon_surface_query_args;
TENON_EXPORT const tenon_opset* tenon_surface_opset;
TENON_EXPORT const tenon_provider_desc* tenon_surface_provider_desc;
TENON_EXPORT const tenon_resize_args* tenon_surface_resize_args;
TENON_EXPORT const tenon_resize_extension* tenon_surface_resize_extension;
TENON_EXPORT const tenon_trace_event* tenon_surface_trace_event;
TENON_EXPORT const tenon_trace_extension* tenon_surface_trace_extension;

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
  (void)args;
  return (const tenon_provider_desc*)0;
}
