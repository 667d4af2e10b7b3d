# Build options, warnings and sanitizers.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

option(LLMCORE_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(LLMCORE_BUILD_EXAMPLES "Build the example programs" ${PROJECT_IS_TOP_LEVEL})
option(LLMCORE_BUILD_BENCHMARKS "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
option(LLMCORE_BUILD_FUZZERS "Build the libFuzzer targets (clang only)" OFF)
option(LLMCORE_SYSTEM_DEPENDENCIES "Take dependencies from the system where they are there" ON)
option(LLMCORE_WARNINGS_AS_ERRORS "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
set(LLMCORE_SANITIZE "" CACHE STRING "Sanitizers: empty, 'address,undefined' or 'thread'")
set(LLMCORE_REFERENCE_DIR "${CMAKE_CURRENT_SOURCE_DIR}/../shared/reference" CACHE PATH
    "Third-party models and vectors that tests read when present")

set(LLMCORE_CUDA AUTO CACHE STRING "The CUDA backend: ON, OFF, or AUTO where the toolkit is")
set_property(CACHE LLMCORE_CUDA PROPERTY STRINGS AUTO ON OFF)
set(LLMCORE_CUDA_ARCHITECTURES 80 86 89 90 CACHE STRING "Compute capabilities to compile for")

# A compiler cache makes the second configuration of the same sources nearly free.
find_program(LLMCORE_CCACHE ccache)
mark_as_advanced(LLMCORE_CCACHE)
if(LLMCORE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${LLMCORE_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER "${LLMCORE_CCACHE}")
endif()

add_library(llmcore_warnings INTERFACE)
target_compile_options(llmcore_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wvla>
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>
  $<$<AND:$<COMPILE_LANGUAGE:C,CXX>,$<BOOL:${LLMCORE_WARNINGS_AS_ERRORS}>>:-Werror>)

if(LLMCORE_SANITIZE)
  if(LLMCORE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LLMCORE_SANITIZE and LLMCORE_CUDA=ON: sanitizers look at the emulator")
  endif()
  add_compile_options(-fsanitize=${LLMCORE_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LLMCORE_SANITIZE})
endif()
