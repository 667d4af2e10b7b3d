#include "lib/base/json.h"

#include <gtest/gtest.h>

#include <string>

namespace llmcore::core {
namespace {

TEST(JsonTest, ValuesKeepKindAndOrder) {
  const auto value = ParseJson(R"({"z":1,"a":[true,null,-2.5,"\u00e9\ud83d\ude00"],"m":{}})");
  ASSERT_TRUE(value.ok()) << value.status();
  const JsonObject& object = *value->if_object();
  ASSERT_EQ(object.size(), 3u);
  EXPECT_EQ(object.members()[0].first, "z");
  EXPECT_EQ(object.GetInt("z").value(), 1);
  const JsonValue::Array& array = **object.GetArray("a");
  EXPECT_TRUE(*array[0].if_bool());
  EXPECT_TRUE(array[1].is_null());
  EXPECT_EQ(*array[2].if_double(), -2.5);
  EXPECT_EQ(*array[3].if_string(), "\xC3\xA9\xF0\x9F\x98\x80");
  EXPECT_EQ(object.Find("b"), nullptr);
}

TEST(JsonTest, HugeIntegersBecomeNumbers) {
  // Published tokenizer configurations carry this one.
  const auto value = ParseJson("1000000000000000019884624838656");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_DOUBLE_EQ(value->AsDouble().value(), 1e30);
  EXPECT_FALSE(value->AsInt().ok());
}

TEST(JsonTest, ErrorsNameTheKeyAndTheKinds) {
  const auto value = ParseJson(R"({"n":"x"})");
  EXPECT_EQ(value->if_object()->GetInt("n").status().message(),
            "\"n\": must be an integer, is a string");
  EXPECT_EQ(value->if_object()->GetInt("k").status().message(), "\"k\" is missing");
}

TEST(JsonTest, DepthIsCapped) {
  const std::string deep(100000, '[');
  EXPECT_EQ(ParseJson(deep).status().message(), "JSON is nested deeper than 128 levels");
  std::string fits = std::string(128, '[') + std::string(128, ']');
  EXPECT_TRUE(ParseJson(fits).ok());
}

TEST(JsonTest, MalformedTextIsRefused) {
  for (const absl::string_view text :
       {"", " ", "{", "[1,]", "{\"a\":1,}", "nul", "01", "1e999", "\"\\ud800\"", "\"\xFF\"", "1 2",
        "{\"a\":1,\"a\":2}", "'a'", "[1}", "NaN", "\"\x01\""}) {
    EXPECT_FALSE(ParseJson(text).ok()) << text;
  }
}

TEST(JsonTest, EveryTruncationIsRefused) {
  const std::string text = R"({"a":[1,2.5e3,"x\n\u0041"],"b":{"c":null,"d":true}})";
  ASSERT_TRUE(ParseJson(text).ok());
  for (size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(ParseJson(text.substr(0, n)).ok()) << n;
}

TEST(JsonTest, WrittenStringsReadBack) {
  std::string all;
  for (int c = 0; c < 128; ++c) all.push_back(static_cast<char>(c));
  all += "\xE2\x82\xAC";
  std::string json;
  AppendJsonString(all, &json);
  EXPECT_EQ(*ParseJson(json)->if_string(), all);
  json.clear();
  AppendJsonString(all, &json, /*ensure_ascii=*/true);
  EXPECT_EQ(*ParseJson(json)->if_string(), all);
}

TEST(JsonTest, StringsAreEscapedAsPythonDoes) {
  const auto quoted = [](absl::string_view text, bool ensure_ascii) {
    std::string json;
    AppendJsonString(text, &json, ensure_ascii);
    return json;
  };
  // json.dumps('"\\/\b\f\n\r\t\x1f\x7f\u00e9\U0001f600', ensure_ascii=...)
  const absl::string_view text = "\"\\/\b\f\n\r\t\x1f\x7f\u00e9\U0001F600";
  EXPECT_EQ(quoted(text, false), "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\x7f\u00e9\U0001F600\"");
  EXPECT_EQ(quoted(text, true), R"("\"\\/\b\f\n\r\t\u001f\u007f\u00e9\ud83d\ude00")");
  // What is no UTF-8 is replaced, so that the JSON always is.
  EXPECT_EQ(quoted("a\xffz", false), "\"a\xEF\xBF\xBDz\"");
  EXPECT_EQ(quoted("a\xffz", true), R"("a\ufffdz")");
}

}  // namespace
}  // namespace llmcore::core
