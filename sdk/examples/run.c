/* Runs a model on zeros: run <model.onnx>. Prints every output's name, type and number of elements. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tenon/tenon.h>

static int failed(tenon_status* status) {
  if (!status) return 0;
  fprintf(stderr, "%s: %s\n", tenon_code_name(tenon_status_code(status)), tenon_status_text(status));
  tenon_status_release(status);
  return 1;
}

/* A tensor of zeros for an input; sizes that the model leaves open are 1. */
static tenon_datum* zeros(const tenon_port* port) {
  tenon_datum* datum = NULL;
  int64_t* dims = calloc(port->rank > 0 ? (size_t)port->rank : 1, sizeof *dims);
  if (!dims) return NULL;
  for (int32_t i = 0; i < port->rank; ++i) dims[i] = port->dims[i] < 0 ? 1 : port->dims[i];
  if (!failed(tenon_datum_create_tensor(port->dtype, dims, port->rank > 0 ? (size_t)port->rank : 0, &datum)) && tenon_datum_bytes(datum))
    memset(tenon_datum_data(datum), 0, tenon_datum_bytes(datum));
  free(dims);
  return datum;
}

int main(int argc, char** argv) {
  if (argc != 2) return fprintf(stderr, "usage: run <model.onnx>\n"), 2;
  tenon_session* session = NULL;
  if (failed(tenon_session_load_file(argv[1], NULL, &session))) return 1;

  const size_t input_count = tenon_session_input_count(session), output_count = tenon_session_output_count(session);
  const char** names = calloc(input_count + 1, sizeof *names);
  tenon_datum** inputs = calloc(input_count + 1, sizeof *inputs);
  tenon_datum** outputs = calloc(output_count + 1, sizeof *outputs);
  int bad = !names || !inputs || !outputs;
  size_t fed = 0;
  for (size_t i = 0; i < input_count && !bad; ++i) {
    tenon_port port = {.struct_size = sizeof port};
    bad = failed(tenon_session_input(session, i, &port));
    if (bad || port.optional) continue;
    names[fed] = port.name;
    inputs[fed] = zeros(&port);
    bad = !inputs[fed++];
  }
  if (!bad) bad = failed(tenon_session_run(session, names, (const tenon_datum* const*)inputs, fed, NULL, 0, NULL, outputs));
  for (size_t i = 0; i < output_count && !bad; ++i) {
    tenon_port port = {.struct_size = sizeof port};
    bad = failed(tenon_session_output(session, i, &port));
    if (!bad) printf("%s: %s, %zu elements\n", port.name, tenon_dtype_name(tenon_datum_dtype(outputs[i])), tenon_datum_count(outputs[i]));
  }

  for (size_t i = 0; inputs && i < fed; ++i) tenon_datum_release(inputs[i]);
  for (size_t i = 0; outputs && i < output_count; ++i) tenon_datum_release(outputs[i]);
  free(names);
  free(inputs);
  free(outputs);
  tenon_session_release(session);
  return bad;
}
