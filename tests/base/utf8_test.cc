#include "lib/base/utf8.h"

#include <gtest/gtest.h>

namespace llmcore::core {
namespace {

TEST(Utf8Test, EveryScalarValueRoundTrips) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(c, &text);
    const DecodedCharacter decoded = DecodeUtf8(text, 0);
    ASSERT_TRUE(decoded.valid) << static_cast<uint32_t>(c);
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.length, text.size());
    ASSERT_EQ(CompleteUtf8Prefix(text), text.size());
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_EQ(CompleteUtf8Prefix("ab" + text.substr(0, cut)), 2u) << static_cast<uint32_t>(c);
      ASSERT_FALSE(IsValidUtf8(text.substr(0, cut)));
    }
  }
}

TEST(Utf8Test, IllFormedSequencesAreRefused) {
  for (const absl::string_view text :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "a\xC3"}) {
    EXPECT_FALSE(IsValidUtf8(text)) << text;
  }
  EXPECT_EQ(FirstInvalidUtf8("ab\xFFz"), 2u);
}

TEST(Utf8Test, OnlyWhatCanStillBeCompletedIsHeldBack) {
  EXPECT_EQ(CompleteUtf8Prefix("a\xE2\x82"), 1u);
  EXPECT_EQ(CompleteUtf8Prefix("a\xED\xA0"), 3u);  // a surrogate: no byte can mend it
  EXPECT_EQ(CompleteUtf8Prefix("a\x80\x80\x80\x80"), 5u);
  EXPECT_EQ(CompleteUtf8Prefix(""), 0u);
}

}  // namespace
}  // namespace llmcore::core
