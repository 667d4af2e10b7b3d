# Sources that are compiled once for each instruction set of lib/base/cpu_features.h, and chosen
# between when the program runs. They are optimized in every build type; -ffp-contract=off leaves
# the rounding to what the source says. They may use nothing that is inline and shared with other
# sources: the linker keeps one copy of such a function, perhaps that of another processor.

set(llmcore_kernel_flags -ffp-contract=off -fno-math-errno -fno-trapping-math)
if(LLMCORE_SANITIZE)
  list(APPEND llmcore_kernel_flags -O1)  # at -O3 a set of kernels takes minutes to compile with its checks
else()
  list(APPEND llmcore_kernel_flags -O3)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 takes its own _mm512_undefined_ps() for a mistake (GCC bug 105593).
  list(APPEND llmcore_kernel_flags -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

set(llmcore_isa_avx2 -mavx2 -mfma -mf16c)
set(llmcore_isa_avx512 ${llmcore_isa_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl
    -mprefer-vector-width=512)

# llmcore_kernels(source [flags]): a source of the library.
function(llmcore_kernels source)
  target_sources(llmcore_objects PRIVATE ${source})
  set_source_files_properties(${source} TARGET_DIRECTORY llmcore_objects PROPERTIES
    COMPILE_OPTIONS "${llmcore_kernel_flags};${ARGN}")
endfunction()
