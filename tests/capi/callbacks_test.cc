#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

struct Host {
  std::atomic<int> calls{0};
  std::atomic<int> destroyed{0};
  std::atomic<int> inside{0};
  std::atomic<bool> overlapped{false};
  bool go_on = true;
  llmcore_model_options* options = nullptr;
  std::vector<uint32_t> reentrant_codes;
};

bool OnProgress(void* user, const char* stage, size_t stage_size, uint64_t done, uint64_t total) {
  Host* host = static_cast<Host*>(user);
  if (++host->inside > 1) host->overlapped = true;
  ++host->calls;
  EXPECT_GT(stage_size, 0u);
  EXPECT_NE(stage, nullptr);
  EXPECT_LE(done, total);
  if (host->options != nullptr) {
    const Error setter(llmcore_model_options_set_threads(host->options, 1));
    llmcore_model* model = Poison<llmcore_model>();
    const Error load(llmcore_model_load(kModelPath, strlen(kModelPath), host->options, &model));
    EXPECT_EQ(model, nullptr);
    host->reentrant_codes.push_back(llmcore_error_code(setter.get()));
    host->reentrant_codes.push_back(llmcore_error_code(load.get()));
  }
  --host->inside;
  return host->go_on;
}

bool OnLog(void* user, uint32_t level, const char*, size_t) {
  Host* host = static_cast<Host*>(user);
  ++host->calls;
  EXPECT_TRUE(level == LLMCORE_LOG_INFO || level == LLMCORE_LOG_WARNING);
  return host->go_on;
}

void OnDestroy(void* user) {
  ++static_cast<Host*>(user)->destroyed;
}

llmcore_error* Load(const llmcore_model_options* options, Model* model) {
  llmcore_model* loaded = Poison<llmcore_model>();
  llmcore_error* error = llmcore_model_load(kModelPath, strlen(kModelPath), options, &loaded);
  model->reset(loaded);
  return error;
}

TEST(CallbacksTest, ProgressIsReportedOneCallAtATime) {
  Host host;
  const Options options = NewOptions();
  ASSERT_TRUE(Works(
      llmcore_model_options_set_progress_callback(options.get(), OnProgress, &host, nullptr)));
  Model model;
  ASSERT_TRUE(Works(Load(options.get(), &model)));
  EXPECT_GT(host.calls, 0);
  EXPECT_FALSE(host.overlapped);
}

TEST(CallbacksTest, ReturningFalseCancelsTheLoad) {
  Host host;
  host.go_on = false;
  const Options options = NewOptions();
  ASSERT_TRUE(Works(
      llmcore_model_options_set_progress_callback(options.get(), OnProgress, &host, nullptr)));
  Model model;
  EXPECT_TRUE(Fails(Load(options.get(), &model), LLMCORE_CANCELLED));
  EXPECT_EQ(model, nullptr);
}

TEST(CallbacksTest, CallingBackIntoTheHandleIsRefused) {
  Host host;
  const Options options = NewOptions();
  host.options = options.get();
  ASSERT_TRUE(Works(
      llmcore_model_options_set_progress_callback(options.get(), OnProgress, &host, nullptr)));
  Model model;
  ASSERT_TRUE(Works(Load(options.get(), &model)));
  ASSERT_FALSE(host.reentrant_codes.empty());
  for (const uint32_t code : host.reentrant_codes) EXPECT_EQ(code, LLMCORE_FAILED_PRECONDITION);
  EXPECT_TRUE(Works(llmcore_model_options_set_threads(options.get(), 1))) << "afterwards it works";
}

TEST(CallbacksTest, UserIsDestroyedOnceWhenNothingNeedsIt) {
  Host progress;
  Host log;
  Options options = NewOptions();
  ASSERT_TRUE(Works(llmcore_model_options_set_progress_callback(options.get(), OnProgress,
                                                                &progress, OnDestroy)));
  ASSERT_TRUE(Works(llmcore_model_options_set_log_callback(options.get(), OnLog, &log, OnDestroy)));
  Model model;
  ASSERT_TRUE(Works(Load(options.get(), &model)));
  EXPECT_GT(log.calls, 0);
  EXPECT_EQ(progress.destroyed, 0) << "the options may load again";
  EXPECT_EQ(log.destroyed, 0);
  options.reset();
  model.reset();
  EXPECT_EQ(log.destroyed, 1);
  EXPECT_EQ(progress.destroyed, 1);
}

TEST(CallbacksTest, UserIsDestroyedWhenItIsReplacedAndWhenTheSetterFails) {
  Host host;
  EXPECT_TRUE(
      Fails(llmcore_model_options_set_progress_callback(nullptr, OnProgress, &host, OnDestroy),
            LLMCORE_INVALID_ARGUMENT));
  EXPECT_EQ(host.destroyed, 1);
  EXPECT_TRUE(Fails(llmcore_model_options_set_log_callback(nullptr, OnLog, &host, OnDestroy),
                    LLMCORE_INVALID_ARGUMENT));
  EXPECT_EQ(host.destroyed, 2);
  const Options options = NewOptions();
  ASSERT_TRUE(
      Works(llmcore_model_options_set_log_callback(options.get(), OnLog, &host, OnDestroy)));
  EXPECT_EQ(host.destroyed, 2);
  ASSERT_TRUE(
      Works(llmcore_model_options_set_log_callback(options.get(), nullptr, nullptr, nullptr)));
  EXPECT_EQ(host.destroyed, 3);
}

TEST(CallbacksTest, ACancelledTokenStopsALoad) {
  llmcore_cancel_token* token = nullptr;
  ASSERT_TRUE(Works(llmcore_cancel_token_create(&token)));
  CancelToken owned(token);
  const Options options = NewOptions();
  ASSERT_TRUE(Works(llmcore_model_options_set_cancel_token(options.get(), token)));
  Model model;
  ASSERT_TRUE(Works(Load(options.get(), &model)));
  llmcore_cancel_token_cancel(token);
  owned.reset();
  EXPECT_TRUE(Fails(Load(options.get(), &model), LLMCORE_CANCELLED));
  ASSERT_TRUE(Works(llmcore_model_options_set_cancel_token(options.get(), nullptr)));
  EXPECT_TRUE(Works(Load(options.get(), &model)));
}

}  // namespace
}  // namespace llmcore::capi_test
