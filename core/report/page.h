// page: the style and the script of the HTML report. Constants; the script fetches nothing.
#pragma once

namespace tenon {

extern const char* const page_style;
extern const char* const page_script;

}  // namespace tenon
