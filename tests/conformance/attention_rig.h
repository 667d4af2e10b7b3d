// Sequences over a paged cache, on a backend and in the reference side by side.
#ifndef LLMCORE_TESTS_CONFORMANCE_ATTENTION_RIG_H_
#define LLMCORE_TESTS_CONFORMANCE_ATTENTION_RIG_H_

#include <string>
#include <vector>

#include "tests/conformance/harness.h"

namespace llmcore::conformance {

struct AttentionShape {
  size_t head_dim;
  size_t heads;
  size_t kv_heads;
  size_t window;
  size_t block_tokens;
  bool head_norms;
};

std::string Describe(const AttentionShape& shape);

// q, k and v of a sequence's positions, and their rotary angles. Drawn once, so that a sequence can
// be fed in any pieces.
struct TokenStream {
  reference::Table qkv;
  reference::Table cos_sin;
};

TokenStream MakeStream(const AttentionShape& shape, size_t tokens, Random* random);

// A sequence as a scheduler sees it.
struct RigSequence {
  const TokenStream* stream = nullptr;
  size_t position = 0;          // tokens that are in the cache
  std::vector<int32_t> blocks;  // enough for the whole stream
};

// One run of a step: `count` tokens of the sequence.
struct RigRun {
  RigSequence* sequence;
  size_t count;
};

class AttentionRig {
 public:
  static constexpr size_t kLayers = 2;
  static constexpr size_t kLayer = 1;  // the one in use; the other must stay as it is

  // Blocks of the cache hold NaN until something is written.
  AttentionRig(Harness* harness, const AttentionShape& shape, core::KvFormat format, size_t blocks);

  // Takes blocks from the pool in random order.
  RigSequence Start(const TokenStream& stream, Random* random);

  struct StepResult {
    std::vector<float> q;    // rows of queries after RopeAppend
    std::vector<float> out;  // of Attention
    reference::Table expected_q;
    reference::Table expected_out;
  };

  // RopeAppend and Attention of one step, which then counts as taken. The reference runs too unless
  // it is not wanted.
  StepResult Step(const std::vector<RigRun>& runs, bool with_reference = true);

  // Copies blocks on the backend and in the reference.
  void Copy(const std::vector<int32_t>& from, const std::vector<int32_t>& to);
  // The same by way of the host's memory.
  void CopyThroughHost(const std::vector<int32_t>& from, const std::vector<int32_t>& to);
  int32_t TakeBlock();

  const core::KvCache& cache() const { return cache_; }

 private:
  void RunBackend(const reference::Table& qkv, const reference::Table& cos_sin,
                  const core::Batch& batch, StepResult* result);

  Harness* harness_;
  AttentionShape shape_;
  core::KvCache cache_;
  reference::PagedCache reference_;
  std::vector<int32_t> free_blocks_;
  std::vector<double> q_norm_;
  std::vector<double> k_norm_;
  const float* device_q_norm_ = nullptr;
  const float* device_k_norm_ = nullptr;
  float scale_;
  float epsilon_ = 1e-6f;
};

}  // namespace llmcore::conformance

#endif  // LLMCORE_TESTS_CONFORMANCE_ATTENTION_RIG_H_
