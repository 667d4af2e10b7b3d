#include "serving/workload.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace benchmarks {
namespace {

constexpr uint32_t kMostTokensOfATrace = 1u << 24;  // no context is longer
constexpr size_t kMostRequests = 1u << 20;

// Written out, since the distributions of the standard library differ between implementations.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  double Uniform() { return (static_cast<double>(engine_() >> 11) + 0.5) * 0x1p-53; }  // (0, 1)
  double Exponential(double rate) { return -std::log(Uniform()) / rate; }
  double Normal() {  // Box and Muller 1958
    return std::sqrt(-2 * std::log(Uniform())) * std::cos(2 * 3.14159265358979323846 * Uniform());
  }
  double Draw(const LogNormal& distribution) {
    const double sigma = distribution.sigma;
    return std::exp(std::log(distribution.mean) - sigma * sigma / 2 + sigma * Normal());
  }

 private:
  std::mt19937_64 engine_;
};

uint32_t DrawLength(const LogNormal& distribution, uint32_t most, Random& random) {
  constexpr int kAttempts = 1000;  // then the nearest length that is allowed
  double length = 0;
  for (int i = 0; i < kAttempts; ++i) {
    length = random.Draw(distribution);
    if (length >= DrawnWorkload::kLeastTokens && length < most + 1.0) break;
  }
  const double least = DrawnWorkload::kLeastTokens;
  return static_cast<uint32_t>(std::clamp(length, least, static_cast<double>(most)));
}

class TraceLine {
 public:
  TraceLine(const nlohmann::json& object, std::string where)
      : object_(object), where_(std::move(where)) {}

  RequestSpec Read() const {
    if (!object_.is_object()) Fail("is no JSON object");
    for (const auto& [key, value] : object_.items()) {
      static constexpr std::string_view kKeys[] = {"arrival",       "prompt", "prompt_tokens",
                                                   "output_tokens", "prefix", "prefix_tokens"};
      if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys)) {
        Fail("has an unknown field \"" + key + "\"");
      }
    }
    RequestSpec request;
    if (object_.contains("arrival")) {
      if (!object_["arrival"].is_number()) Fail("has an \"arrival\" that is no number");
      request.arrival = object_["arrival"];
      if (!(request.arrival >= 0 && request.arrival < 1e9)) Fail("has a negative \"arrival\"");
    }
    if (object_.contains("prompt") == object_.contains("prompt_tokens")) {
      Fail("needs either \"prompt\" or \"prompt_tokens\"");
    }
    if (object_.contains("prompt")) {
      ReadIds(request);
    } else {
      request.prompt_tokens = Count("prompt_tokens", 1);
    }
    request.output_tokens = Count("output_tokens", 1);
    if (object_.contains("prefix")) {
      if (!object_["prefix"].is_string()) Fail("has a \"prefix\" that is no string");
      request.prefix = object_["prefix"];
      request.prefix_tokens = Count("prefix_tokens", 1);
      if (!request.ids.empty()) Fail("has both \"prompt\" and \"prefix\"");
      if (request.prefix_tokens > request.prompt_tokens)
        Fail("has a prefix longer than its prompt");
    }
    return request;
  }

 private:
  uint32_t Count(const char* name, uint32_t least) const {
    const auto value = object_.find(name);
    if (value == object_.end()) Fail(std::string("needs \"") + name + "\"");
    if (!value->is_number_integer() || *value < least || *value > kMostTokensOfATrace) {
      Fail(std::string("needs a \"") + name + "\" from " + std::to_string(least) + " to " +
           std::to_string(kMostTokensOfATrace));
    }
    return *value;
  }

  void ReadIds(RequestSpec& request) const {
    const nlohmann::json& ids = object_["prompt"];
    if (!ids.is_array() || ids.empty()) Fail("needs a \"prompt\" of token ids");
    for (const nlohmann::json& id : ids) {
      if (!id.is_number_integer() || id < 0 || id > INT32_MAX) Fail("has a \"prompt\" with no id");
      request.ids.push_back(id);
    }
    request.prompt_tokens = static_cast<uint32_t>(ids.size());
  }

  [[noreturn]] void Fail(const std::string& what) const {
    throw std::runtime_error(where_ + " " + what);
  }

  const nlohmann::json& object_;
  const std::string where_;
};

// A linear congruential generator (Knuth's MMIX).
void FillIds(llmcore::Token* ids, size_t count, uint64_t seed, uint32_t vocabulary) {
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    ids[i] = static_cast<llmcore::Token>((seed >> 33) % vocabulary);
  }
}

}  // namespace

std::vector<RequestSpec> DrawRequests(const DrawnWorkload& workload) {
  Random random(workload.seed);
  std::vector<RequestSpec> requests(workload.requests);
  double now = 0;
  for (RequestSpec& request : requests) {
    request.prompt_tokens = workload.prompt_tokens.value_or(0);
    if (!workload.prompt_tokens) {
      request.prompt_tokens = DrawLength(workload.prompt, DrawnWorkload::kMostPromptTokens, random);
    }
    request.output_tokens = workload.output_tokens.value_or(0);
    if (!workload.output_tokens) {
      const uint32_t left = DrawnWorkload::kMostTokens -
                            std::min(request.prompt_tokens, DrawnWorkload::kMostPromptTokens);
      request.output_tokens = DrawLength(workload.output, left, random);
    }
    if (workload.shared_prefix_tokens > 0) {
      request.prefix = "shared";
      request.prefix_tokens = workload.shared_prefix_tokens;
      request.prompt_tokens += workload.shared_prefix_tokens;
    }
    if (workload.rate > 0) now += random.Exponential(workload.rate);
    request.arrival = now;
  }
  return requests;
}

std::vector<RequestSpec> ParseTrace(const std::string& text, const std::string& name) {
  std::vector<RequestSpec> requests;
  std::istringstream lines(text);
  std::string line;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = name + ", line " + std::to_string(number) + ",";
    const nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    requests.push_back(TraceLine(object, where).Read());
    if (requests.size() > kMostRequests) throw std::runtime_error(name + " has too many requests");
  }
  if (requests.empty()) throw std::runtime_error(name + " has no requests");
  std::stable_sort(
      requests.begin(), requests.end(),
      [](const RequestSpec& a, const RequestSpec& b) { return a.arrival < b.arrival; });
  return requests;
}

uint64_t LongestRequest(const std::vector<RequestSpec>& requests) {
  uint64_t longest = 0;
  for (const RequestSpec& request : requests) {
    longest = std::max(longest, uint64_t{request.prompt_tokens} + request.output_tokens);
  }
  return longest;
}

std::vector<llmcore::Token> MakePrompt(const RequestSpec& request, uint64_t seed,
                                       uint32_t vocabulary) {
  if (!request.ids.empty()) return request.ids;
  std::vector<llmcore::Token> ids(request.prompt_tokens);
  uint64_t prefix_seed = 14695981039346656037u;  // FNV-1a of the name
  for (const char c : request.prefix) {
    prefix_seed = (prefix_seed ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  FillIds(ids.data(), request.prefix_tokens, prefix_seed, vocabulary);
  FillIds(ids.data() + request.prefix_tokens, ids.size() - request.prefix_tokens, seed, vocabulary);
  return ids;
}

}  // namespace benchmarks
