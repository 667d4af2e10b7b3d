// Memory that runs out in the C ABI itself: every allocation of a call fails in turn.
#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/capi/support.h"

namespace {

// Allocations of this thread until one fails; negative: none does.
thread_local int64_t allocations_left = -1;

bool FailsNow() {
  if (allocations_left < 0) return false;
  return allocations_left-- == 0;
}

}  // namespace

void* operator new(size_t size) {
  void* memory = FailsNow() ? nullptr : std::malloc(size > 0 ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return FailsNow() ? nullptr : std::malloc(size > 0 ? size : 1);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace llmcore::capi_test {
namespace {

// Calls until no allocation is left to fail; the number of failures. `call` returns the error and
// checks its own outputs.
template <typename Call>
int FailEachAllocation(const Call& call) {
  for (int n = 0;; ++n) {
    allocations_left = n;
    llmcore_error* error = call();
    const bool all_were_made = allocations_left >= 0;
    allocations_left = -1;
    const uint32_t code = llmcore_error_code(error);
    llmcore_error_destroy(error);
    if (all_were_made) {
      EXPECT_EQ(code, LLMCORE_OK);
      return n;
    }
    EXPECT_EQ(code, LLMCORE_RESOURCE_EXHAUSTED) << "allocation " << n;
    if (testing::Test::HasFailure()) return n;
  }
}

TEST(AllocationTest, OptionsSurviveEveryFailure) {
  EXPECT_GT(FailEachAllocation([] {
              llmcore_model_options* options = Poison<llmcore_model_options>();
              llmcore_error* error = llmcore_model_options_create(&options);
              EXPECT_TRUE(error == nullptr || options == nullptr);
              llmcore_model_options_destroy(options);
              return error;
            }),
            0);
}

TEST(AllocationTest, AStopTextIsAddedOrNotAtAll) {
  const Params params = NewParams();
  const std::string stop(100, 'x');
  EXPECT_GT(FailEachAllocation([&] {
              return llmcore_sampling_params_add_stop(params.get(), stop.data(), stop.size());
            }),
            0);
}

TEST(AllocationTest, UserIsDestroyedWhenItsSetterRunsOutOfMemory) {
  int destroyed = 0;  // outlives the options, which destroy the last user
  const Options options = NewOptions();
  const int failures = FailEachAllocation([&] {
    return llmcore_model_options_set_log_callback(
        options.get(), [](void*, uint32_t, const char*, size_t) { return true; }, &destroyed,
        [](void* user) { ++*static_cast<int*>(user); });
  });
  EXPECT_GT(failures, 0);
  EXPECT_EQ(destroyed, failures);
}

TEST(AllocationTest, AnErrorNeedsNoMemory) {
  allocations_left = 0;
  llmcore_error* error = llmcore_session_append_text(nullptr, "a", 1);
  allocations_left = -1;
  EXPECT_EQ(llmcore_error_code(error), LLMCORE_RESOURCE_EXHAUSTED);
  EXPECT_STRNE(llmcore_error_message(error), "");
  llmcore_error_destroy(error);
  llmcore_error_destroy(error);  // the error of last resort is static
}

}  // namespace
}  // namespace llmcore::capi_test
