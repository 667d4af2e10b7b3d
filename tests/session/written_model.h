// A model directory with weights, large enough to measure memory with.
#ifndef LLMCORE_TESTS_SESSION_WRITTEN_MODEL_H_
#define LLMCORE_TESTS_SESSION_WRITTEN_MODEL_H_

#include <cstdint>
#include <string>

namespace llmcore::core {

// Writes a model of 8 layers with 121 million values of bf16, and 1,024 more a token of the
// vocabulary, without a tokenizer, to a directory that is there.
void WriteModel(const std::string& directory, int64_t vocabulary = 32768);

}  // namespace llmcore::core

#endif  // LLMCORE_TESTS_SESSION_WRITTEN_MODEL_H_
