# Dependencies come from the system through find_package; where one is missing a pinned release is
# fetched and built in. cmake/debian-packages.txt names the Debian packages.
#
# Releases are pinned by the hash of their archive, so that what is built is what was chosen, whatever
# happens to a tag or a server. Without a network give the unpacked sources by hand, with
# -DFETCHCONTENT_SOURCE_DIR_<NAME>=DIR (ABSL, NLOHMANN_JSON, XXHASH, PCRE2, UTF8PROC, GOOGLETEST,
# BENCHMARK, CLI11).

include(FetchContent)
find_package(Threads REQUIRED)
set(FETCHCONTENT_QUIET ON)

# Downloads a release, or takes the sources that were given by hand.
macro(llmcore_declare name url sha256)
  message(STATUS "llmcore: ${name} is not taken from this system, fetching ${url}")
  FetchContent_Declare(${name} URL "${url}" URL_HASH SHA256=${sha256}
                       DOWNLOAD_EXTRACT_TIMESTAMP OFF ${ARGN})
endmacro()

# Adds a release to the build, as static position-independent libraries whose warnings are not ours,
# without what only it would build or install.
macro(llmcore_fetch name url sha256)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  set(BUILD_SHARED_LIBS OFF)
  if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.28)
    llmcore_declare(${name} ${url} ${sha256} EXCLUDE_FROM_ALL SYSTEM)
    FetchContent_MakeAvailable(${name})
  else()
    llmcore_declare(${name} ${url} ${sha256})
    string(TOLOWER ${name} llmcore_lower)
    FetchContent_GetProperties(${name})
    if(NOT ${llmcore_lower}_POPULATED)
      FetchContent_Populate(${name})
      add_subdirectory("${${llmcore_lower}_SOURCE_DIR}" "${${llmcore_lower}_BINARY_DIR}"
                       EXCLUDE_FROM_ALL SYSTEM)
    endif()
  endif()
endmacro()

set(LLMCORE_ABSL_LIBRARIES
    absl::base absl::hash absl::inlined_vector absl::span
    absl::status absl::statusor absl::strings absl::str_format absl::synchronization absl::time)
if(LLMCORE_SYSTEM_DEPENDENCIES)
  find_package(absl QUIET)
  find_package(nlohmann_json 3.10 QUIET)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(PCRE2 QUIET IMPORTED_TARGET libpcre2-8)
    pkg_check_modules(UTF8PROC QUIET IMPORTED_TARGET libutf8proc)
  endif()
  find_path(LLMCORE_XXHASH_INCLUDE xxhash.h)
  mark_as_advanced(LLMCORE_XXHASH_INCLUDE)
endif()

if(NOT absl_FOUND)
  set(ABSL_PROPAGATE_CXX_STD ON)
  llmcore_fetch(absl
    https://github.com/abseil/abseil-cpp/releases/download/20240722.0/abseil-cpp-20240722.0.tar.gz
    f50e5ac311a81382da7fa75b97310e4b9006474f9560ac46f54a9967f07d4ae3)
endif()

if(NOT nlohmann_json_FOUND)
  llmcore_fetch(nlohmann_json
    https://github.com/nlohmann/json/releases/download/v3.11.3/json.tar.xz
    d6c65aca6b1ed68e7a182f4757257b107ae403032760ed6ef121c9d55e81757d)
endif()

if(PCRE2_FOUND)
  add_library(llmcore_pcre2 ALIAS PkgConfig::PCRE2)
else()
  set(PCRE2_SUPPORT_JIT ON)
  set(PCRE2_BUILD_PCRE2GREP OFF)
  set(PCRE2_BUILD_TESTS OFF)
  llmcore_fetch(pcre2
    https://github.com/PCRE2Project/pcre2/releases/download/pcre2-10.42/pcre2-10.42.tar.gz
    c33b418e3b936ee3153de2c61cc638e7e4fe3156022a5c77d0711bcbb9d64f1f)
  add_library(llmcore_pcre2 ALIAS pcre2-8-static)
endif()

if(UTF8PROC_FOUND)
  add_library(llmcore_utf8proc ALIAS PkgConfig::UTF8PROC)
else()
  llmcore_fetch(utf8proc
    https://github.com/JuliaStrings/utf8proc/archive/refs/tags/v2.8.0.tar.gz
    a0a60a79fe6f6d54e7d411facbfcc867a6e198608f2cd992490e46f04b1bcecc)
  add_library(llmcore_utf8proc ALIAS utf8proc)
endif()

# Used as a header alone.
set(LLMCORE_XXHASH_FOLDER "${LLMCORE_XXHASH_INCLUDE}")
if(NOT LLMCORE_XXHASH_FOLDER)
  llmcore_declare(xxhash
    https://github.com/Cyan4973/xxHash/archive/refs/tags/v0.8.2.tar.gz
    baee0c6afd4f03165de7a4e67988d16f0f2b257b51d0e3cb91909302a26a79c4
    SOURCE_SUBDIR header-only)
  FetchContent_MakeAvailable(xxhash)
  set(LLMCORE_XXHASH_FOLDER "${xxhash_SOURCE_DIR}")
endif()

# Everything that the library links and that none of its users sees.
add_library(llmcore_private_dependencies INTERFACE)
target_link_libraries(llmcore_private_dependencies INTERFACE
  ${LLMCORE_ABSL_LIBRARIES} nlohmann_json::nlohmann_json llmcore_pcre2 llmcore_utf8proc
  Threads::Threads)
target_include_directories(llmcore_private_dependencies SYSTEM INTERFACE
  "$<BUILD_INTERFACE:${LLMCORE_XXHASH_FOLDER}>")

if(LLMCORE_BUILD_TESTS)
  if(LLMCORE_SYSTEM_DEPENDENCIES)
    find_package(GTest QUIET)
  endif()
  if(NOT GTest_FOUND)
    set(INSTALL_GTEST OFF)
    llmcore_fetch(googletest
      https://github.com/google/googletest/archive/refs/tags/v1.14.0.tar.gz
      8ad598c73ad796e0d8280b082cebd82a630d73e73cd3c70057938a6501bba5d7)
  endif()
endif()

if(LLMCORE_BUILD_BENCHMARKS)
  if(LLMCORE_SYSTEM_DEPENDENCIES)
    find_package(benchmark QUIET)
  endif()
  if(NOT benchmark_FOUND)
    set(BENCHMARK_ENABLE_TESTING OFF)
    set(BENCHMARK_ENABLE_WERROR OFF)
    set(BENCHMARK_ENABLE_INSTALL OFF)
    llmcore_fetch(benchmark
      https://github.com/google/benchmark/archive/refs/tags/v1.8.3.tar.gz
      6bc180a57d23d4d9515519f92b0c83d61b05b5bab188961f36ac7b06b0d9e9ce)
  endif()
endif()

if(LLMCORE_BUILD_EXAMPLES OR LLMCORE_BUILD_BENCHMARKS)
  if(LLMCORE_SYSTEM_DEPENDENCIES)
    find_package(CLI11 QUIET)
  endif()
  if(NOT CLI11_FOUND)
    llmcore_fetch(CLI11
      https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.1.2.tar.gz
      26291377e892ba0e5b4972cdfd4a2ab3bf53af8dac1f4ea8fe0d1376b625c8cb)
  endif()
endif()
