// States of the C API: what a session keeps between the runs of one conversation.
#include "sdk/c/handles.h"

using namespace tenon;
using namespace tenon::sdk;

tenon_state* tenon_session_state(const tenon_session* session) { return live(session) ? wrap(session->session->state()) : nullptr; }

tenon_status* tenon_state_create(const tenon_session* session, tenon_state** out_state) {
  return guard([&]() -> Status {
    if (!live(session)) return none_such("session");
    if (!out_state) return missing("out_state");
    TENON_ASSIGN(const std::shared_ptr<State> made, session->session->make_state());
    made->hold_itself();
    *out_state = wrap(made.get());
    return {};
  });
}
tenon_status* tenon_state_copy(const tenon_state* state, tenon_state** out_state) {
  return guard([&]() -> Status {
    if (!state) return missing("state");
    if (!out_state) return missing("out_state");
    TENON_ASSIGN(const std::shared_ptr<State> made, unwrap(state)->copy());
    made->hold_itself();
    *out_state = wrap(made.get());
    return {};
  });
}
void tenon_state_release(tenon_state* state) {
  if (state) unwrap(state)->let_itself_go();
}

int64_t tenon_state_rows(const tenon_state* state) { return state ? unwrap(state)->rows() : 0; }
int64_t tenon_state_capacity(const tenon_state* state) { return state ? unwrap(state)->capacity() : 0; }
tenon_status* tenon_state_truncate(tenon_state* state, int64_t rows) {
  return guard([&]() -> Status { return state ? unwrap(state)->truncate(rows) : missing("state"); });
}
tenon_status* tenon_state_value(const tenon_state* state, const char* input_name, tenon_datum** out_datum) {
  return guard([&]() -> Status {
    if (!state) return missing("state");
    if (!input_name) return missing("input_name");
    if (!out_datum) return missing("out_datum");
    TENON_ASSIGN(Datum value, unwrap(state)->value(input_name));
    *out_datum = wrap(std::make_unique<Datum>(std::move(value)).release());
    return {};
  });
}
