// The width of vectors in a source that is compiled once for each instruction set
// (cmake/LlmcoreInstructionSets.cmake). Included by such sources only: it differs between them.
#ifndef LLMCORE_LIB_BASE_VECTOR_WIDTH_H_
#define LLMCORE_LIB_BASE_VECTOR_WIDTH_H_

#define LLMCORE_INLINE inline __attribute__((always_inline))

namespace llmcore::core {
namespace {

// Floats in a vector.
#if defined(__AVX512F__)
constexpr int kVectorFloats = 16;
#elif defined(__AVX2__)
constexpr int kVectorFloats = 8;
#else
constexpr int kVectorFloats = 4;
#endif

}  // namespace
}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_VECTOR_WIDTH_H_
