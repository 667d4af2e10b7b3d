# Decides whether the CUDA backend is built, and sets LLMCORE_USE_CUDA. LLMCORE_CUDA_ARCHITECTURES is
# handed on before the compiler is looked for: what nvcc takes by itself is not what is supported here.

set(LLMCORE_USE_CUDA ${LLMCORE_CUDA})
if(LLMCORE_CUDA STREQUAL "AUTO")
  set(LLMCORE_USE_CUDA OFF)
  if(NOT LLMCORE_SANITIZE)  # the emulator is what sanitizers look at
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
      set(LLMCORE_USE_CUDA ON)
    endif()
  endif()
endif()
if(NOT LLMCORE_USE_CUDA)
  return()
endif()

set(CMAKE_CUDA_ARCHITECTURES ${LLMCORE_CUDA_ARCHITECTURES})
if(LLMCORE_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${LLMCORE_CCACHE}")
endif()
enable_language(CUDA)
find_package(CUDAToolkit 12.4 REQUIRED)
message(STATUS "llmcore: CUDA ${CUDAToolkit_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
