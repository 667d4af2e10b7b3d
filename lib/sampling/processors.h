// Logits processors: pure functions that reshape the distribution of the next token. They are
// applied in the order of this file, which is that of transformers (GenerationMixin): bias,
// repetition, frequency and presence, temperature, top-k, top-p, min-p, typical. Each truncation
// sees the distribution that the one before it left, renormalized.
//
// The first ones work on the logits of the whole vocabulary. A truncation works on candidates, the
// tokens that are still possible, so that what follows a narrow one is cheap.
#ifndef LLMCORE_LIB_SAMPLING_PROCESSORS_H_
#define LLMCORE_LIB_SAMPLING_PROCESSORS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace llmcore::core {

// logits[id] += bias; an infinite bias replaces the logit. Ids lie inside the vocabulary.
void ApplyLogitBias(std::span<const std::pair<int32_t, float>> bias, std::span<float> logits);

// Divides the logit of each token that occurs in `history` by `penalty` when it is positive and
// multiplies it otherwise, once (Keskar et al. 2019, "CTRL", section 4.1, with the sign rule of
// transformers). `seen` is scratch of the vocabulary's size, all 0 before and after. Ids outside
// the vocabulary are passed over.
void ApplyRepetitionPenalty(float penalty, std::span<const int32_t> history,
                            std::span<int32_t> seen, std::span<float> logits);

// logits[id] -= count * frequency + presence for each token that occurs `count` > 0 times in
// `generated` (the definition of the OpenAI API). `counts` is scratch as above.
void ApplyFrequencyAndPresencePenalties(float frequency, float presence,
                                        std::span<const int32_t> generated,
                                        std::span<int32_t> counts, std::span<float> logits);

// Tokens that can still be drawn, in increasing order of the id. All arrays are the caller's, of
// one capacity; the first `size` elements are meant.
struct Candidates {
  float* logits = nullptr;
  int32_t* ids = nullptr;
  float* weights = nullptr;  // scratch; filled by ComputeWeights
  float* scores = nullptr;   // scratch
  size_t size = 0;
};

// Candidates from the logits of the vocabulary, which candidates->logits may alias. Tokens of logit
// -infinity are left out; where some have +infinity only those stay, as equals. No NaN.
void GatherCandidates(std::span<const float> logits, Candidates* candidates);

// (logit - largest logit) / temperature, temperature > 0. The shift leaves the distribution as it
// is and keeps a tiny temperature from overflowing.
void ApplyTemperature(float temperature, Candidates* candidates);

// Keeps the k >= 1 largest logits and those equal to the k-th (Fan et al. 2018, section 5.4; ties
// as in transformers).
void KeepTopK(int32_t k, Candidates* candidates);

// Keeps the fewest tokens, in decreasing order of probability and increasing order of the id among
// equal ones, that reach the mass p; always one (Holtzman et al. 2019, "nucleus sampling").
void KeepTopP(float p, Candidates* candidates);

// Keeps tokens whose probability is at least min_p times the largest (Nguyen et al. 2024).
void KeepMinP(float min_p, Candidates* candidates);

// Keeps the fewest tokens that reach the mass p, in increasing order of the distance between the
// token's information content and the entropy, and those as distant as the last of them (Meister
// et al. 2022, "Locally Typical Sampling").
void KeepTypical(float p, Candidates* candidates);

// weights[i] = exp(logits[i] - largest logit), rounded to a multiple of 2^-34: so sums of up to
// kMaxExactWeights of them are exact in f64, in whatever order a device takes them. What is lost of
// a token's probability is at most 2^-35 of that of the most likely one. Returns their sum.
inline constexpr int32_t kMaxExactWeights = 1 << 19;
double ComputeWeights(Candidates* candidates);

// The index at which the running sum of the weights, which are as ComputeWeights leaves them, first
// exceeds uniform * their sum; its weight is positive. At least one weight is; 0 <= uniform < 1.
size_t DrawIndex(std::span<const float> weights, double uniform);

// Largest element, or -infinity of none. No NaN.
float MaxLogit(std::span<const float> logits);

// out[i] = exp(logits[i] - shift) within 3 ulp, and 0 below exp(-87); shift is at least the
// largest logit. Returns the sum.
double ExpAndSum(std::span<const float> logits, float shift, float* out);

// The k-th largest value, 1 <= k <= values.size(). Linear time for any values. No NaN.
float KthLargest(std::span<const float> values, size_t k);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SAMPLING_PROCESSORS_H_
