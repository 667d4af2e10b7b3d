// Logits processors in double precision over the whole vocabulary, as plain as they can be written;
// a forbidden token has the logit -infinity. The order of parameters and calls is that of
// lib/sampling/processors.h; nothing is shared with it.
#ifndef LLMCORE_TESTS_REFERENCE_SAMPLING_H_
#define LLMCORE_TESTS_REFERENCE_SAMPLING_H_

#include <cstdint>
#include <utility>
#include <vector>

namespace llmcore::reference {

using Logits = std::vector<double>;

Logits AddBias(Logits logits, const std::vector<std::pair<int32_t, float>>& bias);
Logits PenalizeRepetition(Logits logits, double penalty, const std::vector<int32_t>& history);
Logits PenalizeFrequencyAndPresence(Logits logits, double frequency, double presence,
                                    const std::vector<int32_t>& generated);
Logits DivideByTemperature(Logits logits, double temperature);
Logits TopK(Logits logits, int32_t k);
Logits TopP(Logits logits, double p);
Logits MinP(Logits logits, double min_p);
Logits Typical(Logits logits, double p);

std::vector<double> Softmax(const Logits& logits);  // infinite logits share all the mass

}  // namespace llmcore::reference

#endif  // LLMCORE_TESTS_REFERENCE_SAMPLING_H_
