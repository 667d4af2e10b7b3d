#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "lib/base/file.h"
#include "lib/tokenizer/tokenizer.h"

namespace llmcore::core {
namespace {

TEST(TokenizerThreadsTest, ThreadsShareOneTokenizer) {
  const std::string json =
      ReadFile(LLMCORE_SOURCE_DIR "/tests/tokenizer/data/byte_bpe.json", 1 << 20).value();
  const auto tokenizer = Tokenizer::FromJson(json, "").value();
  const std::string text = "the tinginber vercoloan [LEFT] 12 \xC3\xA9<|endoftext|>delening";
  std::vector<TokenId> ids[8];
  std::string streamed[8];
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 50; ++round) {
        ids[i] = tokenizer->Encode(text, {}).value();
        StreamingDecoder decoder(tokenizer, {});
        streamed[i].clear();
        for (const TokenId id : ids[i]) streamed[i] += decoder.Push(id).value();
        streamed[i] += decoder.Flush();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 1; i < 8; ++i) {
    EXPECT_EQ(ids[i], ids[0]);
    EXPECT_EQ(streamed[i], streamed[0]);
  }
}

}  // namespace
}  // namespace llmcore::core
