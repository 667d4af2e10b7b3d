# Dependencies come from the system through find_package; where one is missing a pinned release is
# fetched and built in. cmake/debian-packages.txt names the Debian packages.

include(FetchContent)
find_package(Threads REQUIRED)
set(FETCHCONTENT_QUIET ON)

# Declares a pinned fallback and makes it available without its tests and install rules.
macro(llmcore_fetch name repository tag)
  message(STATUS "llmcore: ${name} not found on this system, fetching ${tag}")
  FetchContent_Declare(${name} GIT_REPOSITORY ${repository} GIT_TAG ${tag} GIT_SHALLOW ON
                       EXCLUDE_FROM_ALL SYSTEM)
  FetchContent_MakeAvailable(${name})
endmacro()

set(LLMCORE_ABSL_LIBRARIES
    absl::base absl::hash absl::inlined_vector absl::span
    absl::status absl::statusor absl::strings absl::str_format absl::synchronization absl::time)
find_package(absl QUIET)
if(NOT absl_FOUND)
  set(ABSL_PROPAGATE_CXX_STD ON)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  llmcore_fetch(absl https://github.com/abseil/abseil-cpp.git 20240722.0)
endif()

find_package(nlohmann_json 3.10 QUIET)
if(NOT nlohmann_json_FOUND)
  llmcore_fetch(nlohmann_json https://github.com/nlohmann/json.git v3.11.3)
endif()

find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(PCRE2 QUIET IMPORTED_TARGET libpcre2-8)
  pkg_check_modules(UTF8PROC QUIET IMPORTED_TARGET libutf8proc)
endif()
# Used as a header alone.
find_path(LLMCORE_XXHASH_INCLUDE xxhash.h)
mark_as_advanced(LLMCORE_XXHASH_INCLUDE)
if(NOT LLMCORE_XXHASH_INCLUDE)
  message(STATUS "llmcore: xxhash not found on this system, fetching v0.8.2")
  FetchContent_Declare(xxhash GIT_REPOSITORY https://github.com/Cyan4973/xxHash.git GIT_TAG v0.8.2
                       GIT_SHALLOW ON SOURCE_SUBDIR header-only)
  FetchContent_MakeAvailable(xxhash)
  set(LLMCORE_XXHASH_INCLUDE "${xxhash_SOURCE_DIR}")
endif()
if(PCRE2_FOUND)
  add_library(llmcore_pcre2 ALIAS PkgConfig::PCRE2)
else()
  set(PCRE2_SUPPORT_JIT ON)
  set(PCRE2_BUILD_PCRE2GREP OFF)
  set(PCRE2_BUILD_TESTS OFF)
  set(BUILD_SHARED_LIBS OFF)
  llmcore_fetch(pcre2 https://github.com/PCRE2Project/pcre2.git pcre2-10.42)
  add_library(llmcore_pcre2 ALIAS pcre2-8-static)
endif()
if(UTF8PROC_FOUND)
  add_library(llmcore_utf8proc ALIAS PkgConfig::UTF8PROC)
else()
  set(BUILD_SHARED_LIBS OFF)
  llmcore_fetch(utf8proc https://github.com/JuliaStrings/utf8proc.git v2.8.0)
  add_library(llmcore_utf8proc ALIAS utf8proc)
endif()

# Everything that the library links and that none of its users sees.
add_library(llmcore_private_dependencies INTERFACE)
target_link_libraries(llmcore_private_dependencies INTERFACE
  ${LLMCORE_ABSL_LIBRARIES} nlohmann_json::nlohmann_json llmcore_pcre2 llmcore_utf8proc
  Threads::Threads)
target_include_directories(llmcore_private_dependencies SYSTEM INTERFACE
  "$<BUILD_INTERFACE:${LLMCORE_XXHASH_INCLUDE}>")

if(LLMCORE_BUILD_TESTS)
  find_package(GTest QUIET)
  if(NOT GTest_FOUND)
    llmcore_fetch(googletest https://github.com/google/googletest.git v1.14.0)
  endif()
endif()
if(LLMCORE_BUILD_BENCHMARKS)
  find_package(benchmark QUIET)
  if(NOT benchmark_FOUND)
    set(BENCHMARK_ENABLE_TESTING OFF)
    llmcore_fetch(benchmark https://github.com/google/benchmark.git v1.8.3)
  endif()
endif()
