# tenon_add_provider(<id> SOURCES <files> MANIFEST <file.in> [VERSION <version>] [SKIP <file>])
#
# A provider: the shared object libtenon_provider_<id>.so that exports tenon_provider_query alone, with its manifest beside it in
# <build>/providers/<id>/, where `tenon --provider-path <build>/providers` finds it. `cmake --install` puts both where tenon looks
# by itself, `ctest` runs the conformance kit. The target is called <id>; link to it what the provider needs. In the manifest
# @PROJECT_VERSION@, @TENON_ABI_MAJOR@, @TENON_ABI_MINOR@ and @TENON_PLATFORM@ are filled in.
function(tenon_add_provider id)
  cmake_parse_arguments(ARG "" "MANIFEST;VERSION;SKIP" "SOURCES" ${ARGN})
  if(NOT ARG_SOURCES OR NOT ARG_MANIFEST OR ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tenon_add_provider(${id}): SOURCES and MANIFEST are expected; not understood: \"${ARG_UNPARSED_ARGUMENTS}\"")
  endif()
  if(ARG_VERSION)
    set(PROJECT_VERSION ${ARG_VERSION})
  endif()
  get_target_property(folders tenon::plugin_api INTERFACE_INCLUDE_DIRECTORIES)
  foreach(part MAJOR MINOR)
    foreach(folder ${folders})
      string(REGEX REPLACE "^\\$<BUILD_INTERFACE:(.*)>$" "\\1" folder "${folder}")
      if(EXISTS ${folder}/tenon/types.h)
        file(STRINGS ${folder}/tenon/types.h TENON_ABI_${part} REGEX "#define TENON_ABI_${part} ")
        string(REGEX REPLACE "[^0-9]" "" TENON_ABI_${part} "${TENON_ABI_${part}}")
      endif()
    endforeach()
  endforeach()
  set(TENON_PLATFORM linux-${CMAKE_SYSTEM_PROCESSOR})

  add_library(${id} MODULE ${ARG_SOURCES})
  set(exports ${CMAKE_CURRENT_BINARY_DIR}/${id}.exports.map)
  file(WRITE ${exports} "{ global: tenon_provider_query; local: *; };\n")
  target_link_libraries(${id} PRIVATE tenon::plugin_api -Wl,--version-script=${exports})
  string(TOUPPER ${id} upper)
  target_compile_definitions(${id} PRIVATE ${upper}_VERSION="${PROJECT_VERSION}")
  set(folder ${CMAKE_BINARY_DIR}/providers/${id})
  set_target_properties(${id} PROPERTIES OUTPUT_NAME tenon_provider_${id} PREFIX lib LIBRARY_OUTPUT_DIRECTORY ${folder} CXX_VISIBILITY_PRESET hidden
                        VISIBILITY_INLINES_HIDDEN ON)
  configure_file(${ARG_MANIFEST} ${folder}/${id}.tenon.json @ONLY)
  if(CMAKE_CURRENT_SOURCE_DIR STREQUAL CMAKE_SOURCE_DIR)
    install(TARGETS ${id} LIBRARY DESTINATION share/tenon/providers.d/${id})
    install(FILES ${folder}/${id}.tenon.json DESTINATION share/tenon/providers.d/${id})
  endif()

  if(NOT TENON_COMMAND)  # tenon's own tree names the one that it builds
    find_program(TENON_COMMAND tenon HINTS ${tenon_DIR}/../../../bin REQUIRED)
  endif()
  set(skip "")
  if(ARG_SKIP)
    get_filename_component(file ${ARG_SKIP} ABSOLUTE)
    set(skip --skip ${file})
  endif()
  enable_testing()
  add_test(NAME ${id}.kit COMMAND ${TENON_COMMAND} plugin test ${folder}/${id}.tenon.json ${skip} --json ${CMAKE_CURRENT_BINARY_DIR}/${id}.kit.json
           --html ${CMAKE_CURRENT_BINARY_DIR}/${id}.kit.html)
endfunction()
