// What every function does with NULL and with values that it does not take.
#include <cmath>
#include <functional>
#include <limits>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

constexpr uint32_t kInvalid = LLMCORE_INVALID_ARGUMENT;

struct NullCase {
  const char* parameter;  // that the error names
  std::function<llmcore_error*()> call;
};

TEST(ArgumentsTest, NullHandlesAreNamed) {
  llmcore_text* text = Poison<llmcore_text>();
  llmcore_tokens* ids = Poison<llmcore_tokens>();
  llmcore_session* session = Poison<llmcore_session>();
  llmcore_tokenizer* tokenizer = Poison<llmcore_tokenizer>();
  llmcore_generation* generation = Poison<llmcore_generation>();
  const llmcore_event* event = Poison<llmcore_event>();
  const float* values = Poison<float>();
  const llmcore_token* lent = Poison<llmcore_token>();
  size_t count = 7;
  size_t rows = 7;
  llmcore_token token = 7;
  float logprob = 7;
  llmcore_answers* answers = Poison<llmcore_answers>();
  llmcore_prompt_logprobs* logprobs = Poison<llmcore_prompt_logprobs>();
  const NullCase cases[] = {
      {"options", [] { return llmcore_model_options_set_device(nullptr, "cpu", 3); }},
      {"options", [] { return llmcore_model_options_set_weight_format(nullptr, "f32", 3); }},
      {"options", [] { return llmcore_model_options_set_kv_format(nullptr, "f32", 3); }},
      {"options", [] { return llmcore_model_options_set_activation_format(nullptr, "f32", 3); }},
      {"options", [] { return llmcore_model_options_set_memory_budget(nullptr, 1); }},
      {"options", [] { return llmcore_model_options_set_kv_cache_tokens(nullptr, 1); }},
      {"options", [] { return llmcore_model_options_set_kv_cache_fraction(nullptr, 1); }},
      {"options", [] { return llmcore_model_options_set_max_context(nullptr, 1); }},
      {"options", [] { return llmcore_model_options_set_max_batch_tokens(nullptr, 1); }},
      {"options", [] { return llmcore_model_options_set_max_batch_sequences(nullptr, 1); }},
      {"options", [] { return llmcore_model_options_set_swap_bytes(nullptr, 1); }},
      {"options", [] { return llmcore_model_options_set_threads(nullptr, 1); }},
      {"options", [] { return llmcore_model_options_set_checkpoint_layout(nullptr, "cpu", 3); }},
      {"options", [] { return llmcore_model_options_set_deterministic(nullptr, true); }},
      {"options",
       [] {
         return llmcore_model_options_set_progress_callback(nullptr, nullptr, nullptr, nullptr);
       }},
      {"options",
       [] { return llmcore_model_options_set_log_callback(nullptr, nullptr, nullptr, nullptr); }},
      {"options", [] { return llmcore_model_options_set_cancel_token(nullptr, nullptr); }},
      {"plan", [&] { return llmcore_plan_json(nullptr, &text); }},
      {"model", [&] { return llmcore_model_trace_json(nullptr, &text); }},
      {"model", [&] { return llmcore_model_stats_json(nullptr, &text); }},
      {"model", [] { return llmcore_model_set_trace(nullptr, true); }},
      {"model", [&] { return llmcore_session_create(nullptr, &session); }},
      {"model", [&] { return llmcore_session_restore(nullptr, "a", 1, &session); }},
      {"model", [&] { return llmcore_tokenizer_of(nullptr, &tokenizer); }},
      {"tokenizer", [&] { return llmcore_tokenizer_encode(nullptr, "a", 1, 0, &ids); }},
      {"tokenizer", [&] { return llmcore_tokenizer_decode(nullptr, nullptr, 0, 0, &text); }},
      {"tokenizer", [&] { return llmcore_tokenizer_render_chat(nullptr, "[]", 2, 0, &text); }},
      {"tokenizer", [&] { return llmcore_tokenizer_token_text(nullptr, 0, &text); }},
      {"session", [] { return llmcore_session_append_tokens(nullptr, nullptr, 0); }},
      {"session", [] { return llmcore_session_append_text(nullptr, "a", 1); }},
      {"session", [] { return llmcore_session_append_message(nullptr, "user", 4, "a", 1); }},
      {"session", [] { return llmcore_session_set_chat_variables(nullptr, "{}", 2); }},
      {"session", [&] { return llmcore_session_tokens(nullptr, &lent, &count); }},
      {"session", [] { return llmcore_session_truncate(nullptr, 0); }},
      {"session", [&] { return llmcore_session_fork(nullptr, &session); }},
      {"session", [] { return llmcore_session_save(nullptr, "a", 1); }},
      {"session", [&] { return llmcore_session_logits(nullptr, &values, &count); }},
      {"session", [&] { return llmcore_session_all_logits(nullptr, 0, &values, &rows, &count); }},
      {"session", [&] { return llmcore_session_generate(nullptr, nullptr, &generation); }},
      {"session", [&] { return llmcore_session_sample_answers(nullptr, nullptr, 1, 1, &answers); }},
      {"session",
       [&] { return llmcore_session_beam_search(nullptr, 1, 1, 1, false, 1, &answers); }},
      {"session", [&] { return llmcore_session_prompt_logprobs(nullptr, 1, &logprobs); }},
      {"answers", [&] { return llmcore_answers_tokens(nullptr, 0, &lent, &values, &count); }},
      {"logprobs", [&] { return llmcore_prompt_logprobs_values(nullptr, &values, &count); }},
      {"logprobs", [&] { return llmcore_prompt_logprobs_top(nullptr, 1, 0, &token, &logprob); }},
      {"generation", [&] { return llmcore_generation_next(nullptr, &event); }},
      {"event", [&] { return llmcore_event_top_logprob(nullptr, 0, &token, &logprob); }},
      {"params", [] { return llmcore_sampling_params_set_temperature(nullptr, 1); }},
      {"params", [] { return llmcore_sampling_params_set_top_k(nullptr, 1); }},
      {"params", [] { return llmcore_sampling_params_set_top_p(nullptr, 1); }},
      {"params", [] { return llmcore_sampling_params_set_min_p(nullptr, 1); }},
      {"params", [] { return llmcore_sampling_params_set_typical_p(nullptr, 1); }},
      {"params", [] { return llmcore_sampling_params_set_repetition_penalty(nullptr, 1); }},
      {"params", [] { return llmcore_sampling_params_set_frequency_penalty(nullptr, 1); }},
      {"params", [] { return llmcore_sampling_params_set_presence_penalty(nullptr, 1); }},
      {"params", [] { return llmcore_sampling_params_set_seed(nullptr, 1); }},
      {"params", [] { return llmcore_sampling_params_set_max_tokens(nullptr, 1); }},
      {"params", [] { return llmcore_sampling_params_add_stop(nullptr, "a", 1); }},
      {"params", [] { return llmcore_sampling_params_add_logit_bias(nullptr, 1, 1); }},
      {"params", [] { return llmcore_sampling_params_set_logprobs(nullptr, 1); }},
      {"params", [] { return llmcore_sampling_params_set_ignore_eos(nullptr, true); }},
  };
  for (const NullCase& c : cases) {
    EXPECT_TRUE(Fails(c.call(), kInvalid, std::string(c.parameter) + " is NULL")) << c.parameter;
  }
  EXPECT_EQ(text, nullptr);
  EXPECT_EQ(ids, nullptr);
  EXPECT_EQ(session, nullptr);
  EXPECT_EQ(tokenizer, nullptr);
  EXPECT_EQ(generation, nullptr);
  EXPECT_EQ(event, nullptr);
  EXPECT_EQ(values, nullptr);
  EXPECT_EQ(lent, nullptr);
  EXPECT_EQ(count, 0u);
  EXPECT_EQ(rows, 0u);
  EXPECT_EQ(token, 0);
  EXPECT_EQ(logprob, 0);
  EXPECT_EQ(answers, nullptr);
  EXPECT_EQ(logprobs, nullptr);
}

TEST(ArgumentsTest, NullOutputsAreNamed) {
  const Session session = NewSession();
  const llmcore_model* model = SharedModel();
  llmcore_tokenizer* of_model = nullptr;
  ASSERT_TRUE(Works(llmcore_tokenizer_of(model, &of_model)));
  const Tokenizer tokenizer(of_model);
  const llmcore_plan* plan = llmcore_model_plan_of(model);
  size_t count = 7;
  const float* values = Poison<float>();
  const llmcore_token* ids = Poison<llmcore_token>();
  float logprob = 7;
  const NullCase cases[] = {
      {"out_token", [] { return llmcore_cancel_token_create(nullptr); }},
      {"out_options", [] { return llmcore_model_options_create(nullptr); }},
      {"out_params", [] { return llmcore_sampling_params_create(nullptr); }},
      {"out_plan", [] { return llmcore_model_plan("a", 1, nullptr, nullptr); }},
      {"out_model", [] { return llmcore_model_load("a", 1, nullptr, nullptr); }},
      {"out_model", [] { return llmcore_model_load_synthetic("a", 1, nullptr, nullptr); }},
      {"out_plan", [] { return llmcore_model_plan_synthetic("a", 1, nullptr, nullptr); }},
      {"out_text", [&] { return llmcore_plan_json(plan, nullptr); }},
      {"out_text", [&] { return llmcore_model_trace_json(model, nullptr); }},
      {"out_text", [&] { return llmcore_model_stats_json(model, nullptr); }},
      {"out_tokenizer", [] { return llmcore_tokenizer_load("a", 1, nullptr); }},
      {"out_tokenizer", [&] { return llmcore_tokenizer_of(model, nullptr); }},
      {"out_ids", [&] { return llmcore_tokenizer_encode(tokenizer.get(), "a", 1, 0, nullptr); }},
      {"out_text",
       [&] { return llmcore_tokenizer_decode(tokenizer.get(), nullptr, 0, 0, nullptr); }},
      {"out_text",
       [&] { return llmcore_tokenizer_render_chat(tokenizer.get(), "[]", 2, 0, nullptr); }},
      {"out_text", [&] { return llmcore_tokenizer_token_text(tokenizer.get(), 0, nullptr); }},
      {"out_session", [&] { return llmcore_session_create(model, nullptr); }},
      {"out_session", [&] { return llmcore_session_restore(model, "a", 1, nullptr); }},
      {"out_session", [&] { return llmcore_session_fork(session.get(), nullptr); }},
      {"out_ids", [&] { return llmcore_session_tokens(session.get(), nullptr, &count); }},
      {"out_values", [&] { return llmcore_session_logits(session.get(), nullptr, &count); }},
      {"out_count", [&] { return llmcore_session_logits(session.get(), &values, nullptr); }},
      {"out_rows",
       [&] { return llmcore_session_all_logits(session.get(), 0, &values, nullptr, &count); }},
      {"out_generation", [&] { return llmcore_session_generate(session.get(), nullptr, nullptr); }},
      {"out_event", [] { return llmcore_generation_next(nullptr, nullptr); }},
      {"out_answers",
       [&] { return llmcore_session_sample_answers(session.get(), nullptr, 1, 1, nullptr); }},
      {"out_answers",
       [&] { return llmcore_session_beam_search(session.get(), 1, 1, 1, false, 1, nullptr); }},
      {"out_logprobs", [&] { return llmcore_session_prompt_logprobs(session.get(), 1, nullptr); }},
      {"out_logprobs", [&] { return llmcore_answers_tokens(nullptr, 0, &ids, nullptr, &count); }},
      {"out_values", [&] { return llmcore_prompt_logprobs_values(nullptr, nullptr, &count); }},
      {"out_token", [&] { return llmcore_prompt_logprobs_top(nullptr, 1, 0, nullptr, &logprob); }},
  };
  for (const NullCase& c : cases) {
    EXPECT_TRUE(Fails(c.call(), kInvalid, std::string(c.parameter) + " is NULL")) << c.parameter;
  }
  EXPECT_EQ(count, 0u);
  EXPECT_EQ(values, nullptr);
  EXPECT_EQ(ids, nullptr);
  EXPECT_EQ(logprob, 0);
}

TEST(ArgumentsTest, FunctionsThatCannotFailTakeNull) {
  EXPECT_EQ(llmcore_error_code(nullptr), LLMCORE_OK);
  EXPECT_STREQ(llmcore_error_message(nullptr), "");
  EXPECT_EQ(llmcore_error_bytes_needed(nullptr), 0u);
  EXPECT_STREQ(llmcore_text_data(nullptr), "");
  EXPECT_EQ(llmcore_text_size(nullptr), 0u);
  EXPECT_EQ(llmcore_tokens_data(nullptr), nullptr);
  EXPECT_EQ(llmcore_tokens_size(nullptr), 0u);
  EXPECT_EQ(llmcore_plan_bytes(nullptr, LLMCORE_MEMORY_WEIGHTS), 0u);
  EXPECT_EQ(llmcore_plan_total(nullptr), 0u);
  EXPECT_EQ(llmcore_plan_weight_format(nullptr), 0u);
  EXPECT_EQ(llmcore_plan_kv_format(nullptr), 0u);
  EXPECT_EQ(llmcore_plan_activation_format(nullptr), 0u);
  EXPECT_EQ(llmcore_plan_max_context(nullptr), 0u);
  EXPECT_EQ(llmcore_plan_kv_cache_tokens(nullptr), 0u);
  EXPECT_EQ(llmcore_model_plan_of(nullptr), nullptr);
  EXPECT_EQ(llmcore_model_vocabulary_size(nullptr), 0u);
  EXPECT_EQ(llmcore_model_max_context(nullptr), 0u);
  EXPECT_STREQ(llmcore_model_backend_description(nullptr), "");
  EXPECT_FALSE(llmcore_model_is_end_of_text(nullptr, 0));
  EXPECT_EQ(llmcore_tokenizer_vocabulary_size(nullptr), 0u);
  EXPECT_EQ(llmcore_tokenizer_bos_token(nullptr), LLMCORE_NO_TOKEN);
  EXPECT_EQ(llmcore_tokenizer_eos_token(nullptr), LLMCORE_NO_TOKEN);
  EXPECT_EQ(llmcore_session_length(nullptr), 0u);
  EXPECT_STREQ(llmcore_event_text(nullptr), "");
  EXPECT_EQ(llmcore_event_text_size(nullptr), 0u);
  EXPECT_FALSE(llmcore_event_has_token(nullptr));
  EXPECT_EQ(llmcore_event_token(nullptr), LLMCORE_NO_TOKEN);
  EXPECT_EQ(llmcore_event_logprob(nullptr), 0);
  EXPECT_EQ(llmcore_event_top_logprob_count(nullptr), 0u);
  EXPECT_EQ(llmcore_event_finish_reason(nullptr), LLMCORE_FINISH_NONE);
  EXPECT_EQ(llmcore_answers_count(nullptr), 0u);
  EXPECT_STREQ(llmcore_answers_text(nullptr, 0), "");
  EXPECT_EQ(llmcore_answers_text_size(nullptr, 0), 0u);
  EXPECT_EQ(llmcore_answers_finish_reason(nullptr, 0), LLMCORE_FINISH_NONE);
  EXPECT_EQ(llmcore_answers_logprob(nullptr, 0), 0);
  EXPECT_EQ(llmcore_answers_score(nullptr, 0), 0);
  EXPECT_EQ(llmcore_answers_candidate(nullptr, 0), 0u);
  EXPECT_EQ(llmcore_prompt_logprobs_top_count(nullptr), 0u);
  llmcore_error_destroy(nullptr);
  llmcore_answers_destroy(nullptr);
  llmcore_prompt_logprobs_destroy(nullptr);
  llmcore_text_destroy(nullptr);
  llmcore_tokens_destroy(nullptr);
  llmcore_cancel_token_cancel(nullptr);
  llmcore_cancel_token_destroy(nullptr);
  llmcore_model_options_destroy(nullptr);
  llmcore_plan_destroy(nullptr);
  llmcore_model_destroy(nullptr);
  llmcore_tokenizer_destroy(nullptr);
  llmcore_session_cancel(nullptr);
  llmcore_session_destroy(nullptr);
  llmcore_sampling_params_destroy(nullptr);
  llmcore_generation_destroy(nullptr);
}

TEST(ArgumentsTest, NullWithBytesIsRefusedAndWithoutIsEmpty) {
  const Session session = NewSession();
  EXPECT_TRUE(Fails(llmcore_session_append_text(session.get(), nullptr, 3), kInvalid, "text"));
  EXPECT_TRUE(Fails(llmcore_session_append_tokens(session.get(), nullptr, 3), kInvalid, "ids"));
  EXPECT_TRUE(Fails(llmcore_session_append_text(session.get(), "a", SIZE_MAX), kInvalid,
                    "text has a size"));
  EXPECT_TRUE(Works(llmcore_session_append_tokens(session.get(), nullptr, 0)));
  EXPECT_EQ(llmcore_session_length(session.get()), 0u);
}

TEST(ArgumentsTest, TextThatIsNotUtf8IsRefusedWithTheOffset) {
  const Session session = NewSession();
  EXPECT_TRUE(Fails(llmcore_session_append_text(session.get(), "ab\xff", 3), kInvalid, "offset 2"));
  EXPECT_TRUE(Fails(AddMessage(session.get(), "user", "\xc3"), kInvalid, "content"));
  EXPECT_TRUE(Fails(AddMessage(session.get(), "\xed\xa0\x80", "a"), kInvalid, "role"));
  EXPECT_TRUE(Fails(llmcore_sampling_params_add_stop(NewParams().get(), "\xff", 1), kInvalid));
  EXPECT_EQ(llmcore_session_length(session.get()), 0u);
}

TEST(ArgumentsTest, PathsAreNeitherEmptyNorCut) {
  llmcore_model* model = Poison<llmcore_model>();
  llmcore_tokenizer* tokenizer = Poison<llmcore_tokenizer>();
  llmcore_plan* plan = Poison<llmcore_plan>();
  EXPECT_TRUE(Fails(llmcore_model_load("", 0, nullptr, &model), kInvalid, "path is empty"));
  EXPECT_TRUE(Fails(llmcore_model_load(nullptr, 0, nullptr, &model), kInvalid, "path is empty"));
  EXPECT_TRUE(Fails(llmcore_tokenizer_load("a\0b", 3, &tokenizer), kInvalid, "zero byte"));
  EXPECT_TRUE(Fails(llmcore_model_plan("a\0b", 3, nullptr, &plan), kInvalid, "zero byte"));
  EXPECT_TRUE(Fails(llmcore_session_save(NewSession().get(), "", 0), kInvalid, "path is empty"));
  EXPECT_EQ(model, nullptr);
  EXPECT_EQ(tokenizer, nullptr);
  EXPECT_EQ(plan, nullptr);
}

TEST(ArgumentsTest, ModelOptionsNameTheFieldThatTheyRefuse) {
  const Options owned = NewOptions();
  llmcore_model_options* o = owned.get();
  for (const std::string_view device :
       {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "cuda:0 "}) {
    EXPECT_TRUE(Fails(llmcore_model_options_set_device(o, device.data(), device.size()), kInvalid,
                      "device"))
        << device;
  }
  for (const std::string_view device : {"auto", "cpu", "cuda", "cuda:0", "cuda:15"}) {
    EXPECT_TRUE(Works(llmcore_model_options_set_device(o, device.data(), device.size()))) << device;
  }
  for (const std::string_view format : {"", "fp16", "int2", "F32", "q4_0"}) {
    EXPECT_TRUE(Fails(llmcore_model_options_set_weight_format(o, format.data(), format.size()),
                      kInvalid, "weight_format"));
    EXPECT_TRUE(Fails(llmcore_model_options_set_kv_format(o, format.data(), format.size()),
                      kInvalid, "kv_format"));
    EXPECT_TRUE(Fails(llmcore_model_options_set_activation_format(o, format.data(), format.size()),
                      kInvalid, "activation_format"));
  }
  for (const std::string_view format : {"auto", "f32", "bf16", "f16", "int8", "int4"}) {
    EXPECT_TRUE(Works(llmcore_model_options_set_weight_format(o, format.data(), format.size())));
    EXPECT_TRUE(Works(llmcore_model_options_set_kv_format(o, format.data(), format.size())));
  }
  for (const std::string_view format : {"f16", "int4"}) {
    EXPECT_TRUE(Fails(llmcore_model_options_set_activation_format(o, format.data(), format.size()),
                      kInvalid, "activation_format"));
  }
  for (const std::string_view format : {"auto", "f32", "bf16", "int8"}) {
    EXPECT_TRUE(Works(llmcore_model_options_set_activation_format(o, format.data(), format.size())))
        << format;
  }
  EXPECT_TRUE(Fails(llmcore_model_options_set_memory_budget(o, 0), kInvalid, "memory_budget"));
  EXPECT_TRUE(Fails(llmcore_model_options_set_kv_cache_tokens(o, 0), kInvalid, "kv_cache_tokens"));
  EXPECT_TRUE(
      Fails(llmcore_model_options_set_kv_cache_tokens(o, UINT64_MAX), kInvalid, "kv_cache_tokens"));
  for (const double fraction : {0.0, -0.5, 1.5, std::nan("")}) {
    EXPECT_TRUE(Fails(llmcore_model_options_set_kv_cache_fraction(o, fraction), kInvalid,
                      "kv_cache_fraction"));
  }
  EXPECT_TRUE(Fails(llmcore_model_options_set_max_context(o, 0), kInvalid, "max_context"));
  EXPECT_TRUE(Fails(llmcore_model_options_set_max_context(o, UINT32_MAX), kInvalid, "max_context"));
  EXPECT_TRUE(
      Fails(llmcore_model_options_set_max_batch_tokens(o, 0), kInvalid, "max_batch_tokens"));
  EXPECT_TRUE(
      Fails(llmcore_model_options_set_max_batch_sequences(o, 0), kInvalid, "max_batch_sequences"));
  EXPECT_TRUE(Fails(llmcore_model_options_set_threads(o, 1025), kInvalid, "threads"));
  EXPECT_TRUE(Works(llmcore_model_options_set_threads(o, 0)));
}

TEST(ArgumentsTest, SamplingParamsNameTheFieldThatTheyRefuse) {
  const Params owned = NewParams();
  llmcore_sampling_params* p = owned.get();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float value : {-1.0f, nan, infinity}) {
    EXPECT_TRUE(Fails(llmcore_sampling_params_set_temperature(p, value), kInvalid, "temperature"));
    EXPECT_TRUE(Fails(llmcore_sampling_params_set_top_p(p, value), kInvalid, "top_p"));
    EXPECT_TRUE(Fails(llmcore_sampling_params_set_min_p(p, value), kInvalid, "min_p"));
    EXPECT_TRUE(Fails(llmcore_sampling_params_set_typical_p(p, value), kInvalid, "typical_p"));
    EXPECT_TRUE(Fails(llmcore_sampling_params_set_repetition_penalty(p, value), kInvalid,
                      "repetition_penalty"));
  }
  for (const float value : {-2.5f, 2.5f, nan}) {
    EXPECT_TRUE(Fails(llmcore_sampling_params_set_frequency_penalty(p, value), kInvalid,
                      "frequency_penalty"));
    EXPECT_TRUE(Fails(llmcore_sampling_params_set_presence_penalty(p, value), kInvalid,
                      "presence_penalty"));
  }
  EXPECT_TRUE(Fails(llmcore_sampling_params_set_top_p(p, 1.5f), kInvalid, "top_p"));
  EXPECT_TRUE(Fails(llmcore_sampling_params_set_typical_p(p, 0), kInvalid, "typical_p"));
  EXPECT_TRUE(Fails(llmcore_sampling_params_set_top_k(p, UINT32_MAX), kInvalid, "top_k"));
  EXPECT_TRUE(Fails(llmcore_sampling_params_set_max_tokens(p, 0), kInvalid, "max_tokens"));
  EXPECT_TRUE(Fails(llmcore_sampling_params_set_max_tokens(p, UINT64_MAX), kInvalid, "max_tokens"));
  EXPECT_TRUE(Fails(llmcore_sampling_params_add_stop(p, "", 0), kInvalid, "stop"));
  EXPECT_TRUE(Fails(llmcore_sampling_params_add_logit_bias(p, -1, 1), kInvalid, "logit_bias"));
  EXPECT_TRUE(Fails(llmcore_sampling_params_add_logit_bias(p, 1, nan), kInvalid, "logit_bias"));
  EXPECT_TRUE(Works(llmcore_sampling_params_add_logit_bias(p, 1, -infinity)));
  EXPECT_TRUE(Fails(llmcore_sampling_params_set_logprobs(p, 5000), kInvalid, "logprobs"));
}

}  // namespace
}  // namespace llmcore::capi_test
