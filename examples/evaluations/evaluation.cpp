#include "evaluations/evaluation.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

namespace examples {

std::vector<nlohmann::json> ParseJsonLines(const std::string& text, std::optional<uint64_t> limit) {
  std::vector<nlohmann::json> objects;
  std::istringstream lines(text);
  uint64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (limit && objects.size() >= *limit) break;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) {
      throw std::runtime_error("line " + std::to_string(number) + " is not a JSON object");
    }
    objects.push_back(std::move(object));
  }
  if (objects.empty()) throw std::runtime_error("the file holds no JSON objects");
  return objects;
}

double LogProbability(llmcore::View<float> logits, llmcore::Token token) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return logits[static_cast<size_t>(token)] - largest - std::log(sum);
}

}  // namespace examples
