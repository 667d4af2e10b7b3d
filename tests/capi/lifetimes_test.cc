// Any order of destruction is right. AddressSanitizer makes this test sharp.
#include <algorithm>
#include <array>
#include <numeric>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

// One of each kind of handle that depends on another.
struct Handles {
  Options options;
  Model model;
  Tokenizer tokenizer;
  Session session;
  Session fork;
  Generation generation;

  static constexpr int kCount = 6;
  void Destroy(int which) {
    switch (which) {
      case 0:
        return options.reset();
      case 1:
        return model.reset();
      case 2:
        return tokenizer.reset();
      case 3:
        return session.reset();
      case 4:
        return fork.reset();
      default:
        return generation.reset();
    }
  }
};

Handles MakeHandles() {
  Handles handles;
  handles.options = NewOptions();
  EXPECT_TRUE(Works(llmcore_model_options_set_max_context(handles.options.get(), 64)));
  EXPECT_TRUE(Works(llmcore_model_options_set_threads(handles.options.get(), 1)));
  handles.model = LoadModel(handles.options.get());
  llmcore_tokenizer* tokenizer = nullptr;
  EXPECT_TRUE(Works(llmcore_tokenizer_of(handles.model.get(), &tokenizer)));
  handles.tokenizer.reset(tokenizer);
  handles.session = NewSession(handles.model.get());
  EXPECT_TRUE(Works(AddMessage(handles.session.get(), "user", "1+1=?")));
  llmcore_session* fork = nullptr;
  EXPECT_TRUE(Works(llmcore_session_fork(handles.session.get(), &fork)));
  handles.fork.reset(fork);
  handles.generation = Generate(handles.session.get(), NewGreedyParams(8).get());
  return handles;
}

// What is left is used between the destructions.
void UseWhatIsLeft(const Handles& handles) {
  if (handles.generation != nullptr) {
    const llmcore_event* event = nullptr;
    EXPECT_TRUE(Works(llmcore_generation_next(handles.generation.get(), &event)));
  }
  if (handles.fork != nullptr) {
    const float* values = nullptr;
    size_t count = 0;
    EXPECT_TRUE(Works(llmcore_session_logits(handles.fork.get(), &values, &count)));
    EXPECT_EQ(count, 512u);
  }
  if (handles.tokenizer != nullptr) {
    llmcore_tokens* ids = nullptr;
    EXPECT_TRUE(Works(llmcore_tokenizer_encode(handles.tokenizer.get(), "1+1", 3, 0, &ids)));
    llmcore_tokens_destroy(ids);
  }
  if (handles.model != nullptr) {
    EXPECT_NE(llmcore_model_plan_of(handles.model.get()), nullptr);
  }
}

TEST(LifetimesTest, AnyOrderOfDestructionIsRight) {
  std::array<int, Handles::kCount> order;
  std::iota(order.begin(), order.end(), 0);
  int number = 0;
  do {
    if (number++ % 7 != 0) continue;  // 103 of the 720 orders: each handle at each place
    Handles handles = MakeHandles();
    for (const int which : order) {
      handles.Destroy(which);
      UseWhatIsLeft(handles);
    }
    ASSERT_FALSE(HasFailure()) << "order " << number;
  } while (std::next_permutation(order.begin(), order.end()));
}

}  // namespace
}  // namespace llmcore::capi_test
