#include "lib/base/quote.h"

#include <gtest/gtest.h>

namespace llmcore::core {
namespace {

TEST(QuoteTest, ControlCharactersAndBadUtf8StayOnOneLine) {
  EXPECT_EQ(Quoted("model.norm"), "\"model.norm\"");
  EXPECT_EQ(Quoted(absl::string_view("a\n\0\"\\\x7f", 6)), "\"a\\x0a\\x00\\\"\\\\\\x7f\"");
  EXPECT_EQ(Quoted("gr\xC3\xBC\xC3"), "\"gr\xC3\xBC\\xc3\"");
}

TEST(QuoteTest, LongTextIsCut) {
  const std::string quoted = Quoted(std::string(100000, 'x'));
  EXPECT_EQ(quoted, "\"" + std::string(100, 'x') + "...\"");
}

}  // namespace
}  // namespace llmcore::core
