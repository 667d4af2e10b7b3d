// A model directory with weights, large enough to measure memory with.
#ifndef LLMCORE_TESTS_SESSION_WRITTEN_MODEL_H_
#define LLMCORE_TESTS_SESSION_WRITTEN_MODEL_H_

#include <string>

namespace llmcore::core {

// Writes a model of about 155 million values of bf16, without a tokenizer, to a directory that is
// there.
void WriteModel(const std::string& directory);

}  // namespace llmcore::core

#endif  // LLMCORE_TESTS_SESSION_WRITTEN_MODEL_H_
