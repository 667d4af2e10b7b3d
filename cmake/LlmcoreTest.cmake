# llmcore_add_test(name SOURCES a_test.cc ... [LIBS lib ...] [LABELS label ...]
#                  [ARGUMENTS argument ...] [TIMEOUT seconds])
# A GoogleTest program linked with the static library, so that it can reach the core as well as the
# C ABI. Label `threads` marks what ThreadSanitizer runs.
function(llmcore_add_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBS;LABELS;ARGUMENTS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE llmcore_static llmcore_test_support GTest::gtest_main
                        GTest::gmock llmcore_warnings ${ARG_LIBS})
  target_compile_definitions(${name} PRIVATE
    LLMCORE_REFERENCE_DIR="${LLMCORE_REFERENCE_DIR}"
    LLMCORE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1 ${ARG_ARGUMENTS})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
