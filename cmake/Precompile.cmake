# tenon_precompile(<target> [<header>...]): the headers that most C++ sources of a target include are parsed once for all of them:
# those of the standard library listed here, and the ones named. A source includes what it uses all the same; the preset `fuzz`
# and the wheel compile without (CMAKE_DISABLE_PRECOMPILE_HEADERS).
function(tenon_precompile target)
  set(headers algorithm array atomic climits cmath cstddef cstdint cstdio cstdlib cstring deque functional limits map memory mutex optional
      span stdexcept string string_view tuple type_traits unordered_map utility variant vector ${ARGN})
  list(TRANSFORM headers REPLACE "(.+)" "$<$<COMPILE_LANGUAGE:CXX>:<\\1$<ANGLE-R>>")
  target_precompile_headers(${target} PRIVATE ${headers})
endfunction()
