// What the tests of the C ABI share: owners for its handles, and the project's own model.
#ifndef LLMCORE_TESTS_CAPI_SUPPORT_H_
#define LLMCORE_TESTS_CAPI_SUPPORT_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llmcore/llmcore.h"
#include "llmcore/llmcore_experimental.h"

namespace llmcore::capi_test {

template <auto kDestroy>
struct Destroyer {
  template <typename T>
  void operator()(T* handle) const {
    kDestroy(handle);
  }
};
template <typename T, auto kDestroy>
using Owner = std::unique_ptr<T, Destroyer<kDestroy>>;

using Answers = Owner<llmcore_answers, llmcore_answers_destroy>;
using CancelToken = Owner<llmcore_cancel_token, llmcore_cancel_token_destroy>;
using Error = Owner<llmcore_error, llmcore_error_destroy>;
using Generation = Owner<llmcore_generation, llmcore_generation_destroy>;
using Model = Owner<llmcore_model, llmcore_model_destroy>;
using Options = Owner<llmcore_model_options, llmcore_model_options_destroy>;
using Params = Owner<llmcore_sampling_params, llmcore_sampling_params_destroy>;
using Plan = Owner<llmcore_plan, llmcore_plan_destroy>;
using PromptLogprobs = Owner<llmcore_prompt_logprobs, llmcore_prompt_logprobs_destroy>;
using Session = Owner<llmcore_session, llmcore_session_destroy>;
using Text = Owner<llmcore_text, llmcore_text_destroy>;
using Tokenizer = Owner<llmcore_tokenizer, llmcore_tokenizer_destroy>;
using Tokens = Owner<llmcore_tokens, llmcore_tokens_destroy>;

inline constexpr char kModelPath[] = LLMCORE_SOURCE_DIR "/examples/models/abacus";

// Error of `code` whose message contains `part`; takes over the error.
inline testing::AssertionResult Fails(llmcore_error* error, uint32_t code,
                                      std::string_view part = "") {
  const Error owned(error);
  if (error == nullptr) return testing::AssertionFailure() << "succeeded";
  const std::string_view message = llmcore_error_message(error);
  if (llmcore_error_code(error) != code || message.find(part) == std::string_view::npos) {
    return testing::AssertionFailure() << "code " << llmcore_error_code(error) << ": " << message;
  }
  return testing::AssertionSuccess();
}

inline testing::AssertionResult Works(llmcore_error* error) {
  const Error owned(error);
  if (error == nullptr) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "code " << llmcore_error_code(error) << ": " << llmcore_error_message(error);
}

// An output that holds something else than what a failing call is to leave there.
template <typename T>
T* Poison() {
  return reinterpret_cast<T*>(uintptr_t{0x10});
}

inline Options NewOptions() {
  llmcore_model_options* options = nullptr;
  EXPECT_TRUE(Works(llmcore_model_options_create(&options)));
  return Options(options);
}

inline Params NewParams() {
  llmcore_sampling_params* params = nullptr;
  EXPECT_TRUE(Works(llmcore_sampling_params_create(&params)));
  return Params(params);
}

// Greedy, at most `max_tokens`.
inline Params NewGreedyParams(uint64_t max_tokens) {
  Params params = NewParams();
  EXPECT_TRUE(Works(llmcore_sampling_params_set_temperature(params.get(), 0)));
  EXPECT_TRUE(Works(llmcore_sampling_params_set_max_tokens(params.get(), max_tokens)));
  return params;
}

inline Model LoadModel(const llmcore_model_options* options = nullptr,
                       std::string_view path = kModelPath) {
  llmcore_model* model = nullptr;
  EXPECT_TRUE(Works(llmcore_model_load(path.data(), path.size(), options, &model)));
  return Model(model);
}

// Loaded once, shared by the tests that do not look at loading.
inline const llmcore_model* SharedModel() {
  static const Model model = LoadModel();
  return model.get();
}

inline Session NewSession(const llmcore_model* model = SharedModel()) {
  llmcore_session* session = nullptr;
  EXPECT_TRUE(Works(llmcore_session_create(model, &session)));
  return Session(session);
}

inline llmcore_error* AddMessage(llmcore_session* session, std::string_view role,
                                 std::string_view content) {
  return llmcore_session_append_message(session, role.data(), role.size(), content.data(),
                                        content.size());
}

inline Generation Generate(llmcore_session* session, const llmcore_sampling_params* params) {
  llmcore_generation* generation = nullptr;
  EXPECT_TRUE(Works(llmcore_session_generate(session, params, &generation)));
  return Generation(generation);
}

struct Reply {
  std::string text;
  std::vector<llmcore_token> tokens;
  uint32_t finish_reason = LLMCORE_FINISH_NONE;
};

// All events to the end, which is to come without an error.
inline Reply ReadAll(llmcore_generation* generation) {
  Reply reply;
  const llmcore_event* event = nullptr;
  while (true) {
    const testing::AssertionResult works = Works(llmcore_generation_next(generation, &event));
    EXPECT_TRUE(works);
    if (!works || event == nullptr) return reply;
    reply.text.append(llmcore_event_text(event), llmcore_event_text_size(event));
    if (llmcore_event_has_token(event)) reply.tokens.push_back(llmcore_event_token(event));
    reply.finish_reason = llmcore_event_finish_reason(event);
  }
}

inline std::vector<llmcore_token> TokensOf(llmcore_session* session) {
  const llmcore_token* ids = nullptr;
  size_t count = 0;
  EXPECT_TRUE(Works(llmcore_session_tokens(session, &ids, &count)));
  EXPECT_EQ(count, llmcore_session_length(session));
  return std::vector<llmcore_token>(ids, ids + count);
}

inline std::string Take(llmcore_text* text) {
  const Text owned(text);
  return std::string(llmcore_text_data(text), llmcore_text_size(text));
}

}  // namespace llmcore::capi_test

#endif  // LLMCORE_TESTS_CAPI_SUPPORT_H_
