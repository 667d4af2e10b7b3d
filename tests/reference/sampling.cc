#include "tests/reference/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

namespace llmcore::reference {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Token ids ordered by `less`, ties by id.
template <typename Less>
std::vector<size_t> Ranked(size_t count, Less less) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), less);
  return order;
}

}  // namespace

Logits AddBias(Logits logits, const std::vector<std::pair<int32_t, float>>& bias) {
  for (const auto& [token, value] : bias) {
    double& logit = logits[static_cast<size_t>(token)];
    logit = std::isinf(value) ? static_cast<double>(value) : logit + static_cast<double>(value);
  }
  return logits;
}

Logits PenalizeRepetition(Logits logits, double penalty, const std::vector<int32_t>& history) {
  const std::set<int32_t> tokens(history.begin(), history.end());
  for (const int32_t token : tokens) {
    if (token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
    double& logit = logits[static_cast<size_t>(token)];
    logit = logit < 0 ? logit * penalty : logit / penalty;
  }
  return logits;
}

Logits PenalizeFrequencyAndPresence(Logits logits, double frequency, double presence,
                                    const std::vector<int32_t>& generated) {
  std::map<int32_t, int> counts;
  for (const int32_t token : generated) ++counts[token];
  for (const auto& [token, count] : counts) {
    if (token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
    logits[static_cast<size_t>(token)] -= frequency * count + presence;
  }
  return logits;
}

Logits DivideByTemperature(Logits logits, double temperature) {
  for (double& logit : logits) logit /= temperature;
  return logits;
}

Logits TopK(Logits logits, int32_t k) {
  if (static_cast<size_t>(k) >= logits.size()) return logits;
  Logits sorted = logits;
  std::sort(sorted.rbegin(), sorted.rend());
  const double last = sorted[static_cast<size_t>(k) - 1];
  for (double& logit : logits) {
    if (logit < last) logit = -kInfinity;
  }
  return logits;
}

Logits TopP(Logits logits, double p) {
  if (p >= 1) return logits;
  const std::vector<double> probabilities = Softmax(logits);
  const std::vector<size_t> order =
      Ranked(logits.size(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  double before = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    if (rank > 0 && before >= p) logits[order[rank]] = -kInfinity;
    before += probabilities[order[rank]];
  }
  return logits;
}

Logits MinP(Logits logits, double min_p) {
  const std::vector<double> probabilities = Softmax(logits);
  const double largest = *std::max_element(probabilities.begin(), probabilities.end());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (probabilities[i] < min_p * largest) logits[i] = -kInfinity;
  }
  return logits;
}

Logits Typical(Logits logits, double p) {
  if (p >= 1) return logits;
  const std::vector<double> probabilities = Softmax(logits);
  double entropy = 0;
  for (const double probability : probabilities) {
    if (probability > 0) entropy -= probability * std::log(probability);
  }
  std::vector<double> distance(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    distance[i] =
        probabilities[i] > 0 ? std::abs(-std::log(probabilities[i]) - entropy) : kInfinity;
  }
  const std::vector<size_t> order =
      Ranked(logits.size(), [&](size_t a, size_t b) { return distance[a] < distance[b]; });
  double sum = 0;
  double last = kInfinity;
  for (const size_t token : order) {
    sum += probabilities[token];
    if (sum >= p) {
      last = distance[token];
      break;
    }
  }
  for (size_t i = 0; i < logits.size(); ++i) {
    // Distances of equal logits are equal but for rounding.
    if (distance[i] > last + 1e-9) logits[i] = -kInfinity;
  }
  return logits;
}

std::vector<double> Softmax(const Logits& logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> result(logits.size());
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    result[i] = logits[i] == largest ? 1 : std::exp(logits[i] - largest);
    sum += result[i];
  }
  for (double& value : result) value /= sum;
  return result;
}

}  // namespace llmcore::reference
