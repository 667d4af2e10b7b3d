// What the tests of answers share.
#ifndef LLMCORE_TESTS_SESSION_SUPPORT_H_
#define LLMCORE_TESTS_SESSION_SUPPORT_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "lib/session/session.h"

namespace llmcore::core {

inline std::string AbacusDirectory() {
  return std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus";
}

inline std::shared_ptr<const Model> LoadModel(ModelOptions options = {},
                                              const std::string& directory = AbacusDirectory()) {
  options.device = "cpu";
  auto model = Model::Load(directory, options);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *model : nullptr;
}

inline std::vector<TokenId> RandomTokens(size_t count, uint64_t seed, int32_t vocabulary = 500) {
  std::mt19937_64 random(seed);
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) {
    token = static_cast<TokenId>(random() % static_cast<uint64_t>(vocabulary));
  }
  return tokens;
}

inline std::unique_ptr<Session> SessionOf(const std::shared_ptr<const Model>& model,
                                          const std::vector<TokenId>& tokens) {
  std::unique_ptr<Session> session = *Session::Create(model);
  EXPECT_TRUE(session->AppendTokens(tokens).ok());
  return session;
}

inline std::vector<TokenId> TokensOf(const Session& session) {
  return std::vector<TokenId>(session.tokens().begin(), session.tokens().end());
}

// The tokens of a reply of its own.
inline std::vector<TokenId> Generate(Session* session, const GenerationParams& params) {
  std::vector<TokenId> tokens;
  const absl::Status status = session->StartGeneration(params);
  EXPECT_TRUE(status.ok()) << status;
  while (session->generating()) {
    const auto event = session->NextEvent();
    if (!event.ok()) {
      ADD_FAILURE() << event.status();
      break;
    }
    if (event->has_token) tokens.push_back(event->token);
  }
  return tokens;
}

// In double precision.
inline std::vector<double> LogSoftmax(std::span<const float> row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float logit : row) sum += std::exp(logit - largest);
  std::vector<double> result(row.begin(), row.end());
  for (double& value : result) value -= largest + std::log(sum);
  return result;
}

inline int32_t BlocksInUse(const Model& model) {
  return model.plan().kv_blocks - model.engine().free_kv_blocks();
}

}  // namespace llmcore::core

#endif  // LLMCORE_TESTS_SESSION_SUPPORT_H_
