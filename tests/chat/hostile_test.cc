// Templates that mean harm: each must end soon, within its limits, as an error.
#include <ctime>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/json.h"
#include "lib/chat/chat_template.h"

namespace llmcore::core {
namespace {

using testing::HasSubstr;

absl::StatusOr<std::string> Render(absl::string_view source, const TemplateLimits& limits = {}) {
  absl::StatusOr<ChatTemplate> parsed = ChatTemplate::Parse(source, limits);
  if (!parsed.ok()) return parsed.status();
  return parsed->Render(JsonObject(), /*now_unix_seconds=*/0);
}

std::string Repeated(absl::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) absl::StrAppend(&out, text);
  return out;
}

// Of processor time, whatever else the machine does. Sanitizers make everything many times slower.
constexpr double kPatienceSeconds = 20;

void ExpectExhausted(const std::string& source) {
  const std::clock_t start = std::clock();
  const absl::StatusOr<std::string> text = Render(source);
  const double took = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  const std::string shown = source.substr(0, 100);
  EXPECT_EQ(text.status().code(), absl::StatusCode::kResourceExhausted) << shown << "\n"
                                                                        << text.status();
  EXPECT_THAT(std::string(text.status().message()), HasSubstr("line 1")) << shown;
  EXPECT_LT(took, kPatienceSeconds) << shown;
}

TEST(HostileTemplateTest, LoopsEnd) {
  constexpr absl::string_view kLoop = "{% for i in range(100000) %}";
  const std::string loops = absl::StrCat(kLoop, kLoop, kLoop);
  ExpectExhausted(absl::StrCat(loops, Repeated("{% endfor %}", 3)));
  ExpectExhausted(absl::StrCat(loops, "{% set x = 'a' ~ i %}", Repeated("{% endfor %}", 3)));
  ExpectExhausted(absl::StrCat("{% set s = 'ab' * 10000000 %}", kLoop,
                               "{% if s.rfind('ba', 0, 5) %}{% endif %}{% endfor %}"));
  ExpectExhausted(absl::StrCat("{% set s = 'a' * 10000000 %}", kLoop, kLoop,
                               "{% set n = s | length %}{% endfor %}{% endfor %}"));
  ExpectExhausted(absl::StrCat("{% set s = ('a' * 1000000) %}{% set t = 'a' * 500000 ~ 'b' %}",
                               kLoop, "{% if t in s %}{% endif %}{{ s.rfind(t) }}",
                               "{{ s.count(t) }}{% endfor %}"));
  ExpectExhausted(absl::StrCat("{% set l = range(100000) | list %}", kLoop,
                               "{% if -1 in l %}{% endif %}{% endfor %}"));
  ExpectExhausted(absl::StrCat("{% set l = range(100000) | list %}", kLoop,
                               "{% set x = l | sort | unique | list %}{% endfor %}"));
  ExpectExhausted(absl::StrCat(kLoop,
                               "{{ l | default('x' * 1000) }}{% set m = ('x' * 100000) "
                               "| upper | title | e | replace('x', 'y') %}{% endfor %}"));
}

TEST(HostileTemplateTest, RecursionEnds) {
  ExpectExhausted("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
  ExpectExhausted("{% macro m(a=m()) %}{% endmacro %}{{ m() }}");
  ExpectExhausted(
      "{% macro m(k) %}{% for i in [1] %}{% if 1 %}{{ m(k) }}{{ m(k) }}{% endif %}"
      "{% endfor %}{% endmacro %}{{ m(1) }}");
  ExpectExhausted(
      "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}");
  ExpectExhausted("{% set l = [1] %}{% for i in l recursive %}{{ loop(l) }}{% endfor %}");
  ExpectExhausted(
      "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
      "{{ f(60) }}");
}

TEST(HostileTemplateTest, ValuesStaySmall) {
  for (const char* expression :
       {"'a' * 1000000000", "[1] * 1000000000", "(1, 2) * 9223372036854775807",
        "'a' * 9223372036854775807", "'a' | center(10000000000)", "'1'.zfill(10000000000)",
        "'a'.ljust(10000000000)", "'a\\nb' | indent(10000000000)",
        "(['a' * 100000] * 10000) | join", "('a' * 100000) | replace('', 'b' * 100000)",
        "range(100000) | batch(1000000000000, 0) | list", "('x,' * 20000000).split(',')",
        "range(10) | slice(1000000000000) | list"}) {
    ExpectExhausted(absl::StrCat("{{ ", expression, " }}"));
  }
  ExpectExhausted(
      "{% set ns = namespace(s='ab') %}{% for i in range(60) %}"
      "{% set ns.s = ns.s ~ ns.s %}{% endfor %}");
  ExpectExhausted(
      "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}"
      "{% set ns.l = ns.l + ns.l %}{% endfor %}");
  ExpectExhausted(
      "{% set ns = namespace(l=[]) %}{% for i in range(60) %}"
      "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}");
  ExpectExhausted(
      "{% set ns = namespace(l=[], k=[]) %}{% for i in range(60) %}"
      "{% set ns.l = [ns.l, ns.l] %}{% set ns.k = [ns.k, ns.k] %}{% endfor %}"
      "{{ ns.l == ns.k }}");
  ExpectExhausted(
      "{% set ns = namespace(l=[]) %}{% for i in range(60) %}"
      "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}");
  ExpectExhausted(
      "{% for i in range(100000) %}{% for j in range(100000) %}0123456789012345678901"
      "{% endfor %}{% endfor %}");
}

TEST(HostileTemplateTest, DeepValuesAreNotFollowedForEver) {
  constexpr absl::string_view kDeep =
      "{% set ns = namespace(l=[], t=(), d={}, m=[]) %}{% for i in range(50000) %}"
      "{% set ns.l = [ns.l] %}{% set ns.m = [ns.m] %}{% set ns.t = (ns.t,) %}"
      "{% set ns.d = {'k': ns.d} %}{% endfor %}";
  for (const char* use :
       {"{{ ns.l }}", "{{ ns.l == ns.m }}", "{{ ns.l < ns.m }}", "{{ ns.d | tojson }}",
        "{{ [ns.m, ns.l] | sort }}", "{{ ns.l in [ns.m] }}"}) {
    ExpectExhausted(absl::StrCat(kDeep, use));
  }
  EXPECT_FALSE(Render(absl::StrCat(kDeep, "{{ {ns.t: 1} }}")).ok());
  EXPECT_EQ(*Render(absl::StrCat(kDeep, "{{ ns.l | length }}")), "1");
  // A cycle is no leak, and not printed.
  EXPECT_EQ(*Render("{% set ns = namespace() %}{% set ns.me = [ns] %}{{ ns.me | length }}"), "1");
  EXPECT_FALSE(Render("{% set ns = namespace() %}{% set ns.me = [ns] %}{{ ns.me }}").ok());
}

TEST(HostileTemplateTest, DeepSyntaxIsRefused) {
  constexpr int kCount = 20000;
  const std::pair<const char*, const char*> kPairs[] = {
      {"(", ")"},           {"[", "]"},  {"{1:", "}"}, {"not ", ""},        {"-", ""},
      {"a if b else ", ""}, {"a[", "]"}, {"f(", ")"},  {"a|default(", ")"}, {"a is eq(", ")"}};
  for (const auto& [open, close] : kPairs) {
    ExpectExhausted(
        absl::StrCat("{{ ", Repeated(open, kCount), "1", Repeated(close, kCount), " }}"));
  }
  for (const char* link : {".b", "[0]", "()", "|upper", " + a", " * a", " ** a", " if a"}) {
    ExpectExhausted(absl::StrCat("{{ a", Repeated(link, kCount), " }}"));
  }
  for (const char* tag : {"if a", "for a in b", "with", "set a", "filter upper", "macro m()",
                          "call m()", "generation"}) {
    ExpectExhausted(Repeated(absl::StrCat("{% ", tag, " %}"), kCount));
  }
  ExpectExhausted(absl::StrCat("{% for ", Repeated("(", kCount), Repeated(")", kCount), " %}"));
  // Flat chains of one kind have no depth.
  for (const char* link : {" and 1", " or 0", " ~ ''", " < 2"}) {
    EXPECT_TRUE(Render(absl::StrCat("{{ 1", Repeated(link, kCount), " }}")).ok()) << link;
  }
}

TEST(HostileTemplateTest, EachLimitIsKept) {
  TemplateLimits limits;
  limits.max_output_bytes = 10;
  EXPECT_EQ(*Render("0123456789", limits), "0123456789");
  EXPECT_THAT(std::string(Render("01234567890", limits).status().message()),
              HasSubstr("limit of 10 bytes"));
  limits = {};
  limits.max_steps = 1000;
  EXPECT_TRUE(Render("{% for i in range(100) %}{{ i }}{% endfor %}", limits).ok());
  EXPECT_THAT(
      std::string(
          Render("\n{% for i in range(1000) %}{{ i }}{% endfor %}", limits).status().message()),
      HasSubstr("limit of 1000 steps"));
  limits = {};
  limits.max_value_bytes = 100000;
  EXPECT_TRUE(Render("{{ 'a' * 90000 }}", limits).ok());
  EXPECT_THAT(std::string(Render("{{ 'a' * 110000 }}", limits).status().message()),
              HasSubstr("limit of 100000 bytes"));
  limits = {};
  limits.max_source_bytes = 5;
  EXPECT_TRUE(Render("12345", limits).ok());
  EXPECT_THAT(std::string(Render("123456", limits).status().message()), HasSubstr("limit of 5"));
}

TEST(HostileTemplateTest, ErrorsNameTheLineAndTheConstruct) {
  const std::pair<const char*, const char*> kCases[] = {
      {"a\n\n{{ x.y }}", "line 3: 'x' is undefined"},
      {"\n{{ 'a'\n | items | list }}",
       "line 3: filter 'list': filter 'items': Can only get item pairs"},
      {"{{ 1 }}\n{{ 1 is divisibleby 0 }}", "line 2: test 'divisibleby': integer modulo by zero"},
      {"{% for i in [1] %}\n{{ raise_exception('bad role') }}{% endfor %}",
       "line 2: raise_exception(): bad role"},
      {"\n\n{% include 'x' %}", "line 3: the tag 'include' is not supported"},
      {"{% extends 'x' %}", "the tag 'extends' is not supported"},
      {"{% block x %}{% endblock %}", "the tag 'block' is not supported"},
      {"{% import 'x' as y %}", "the tag 'import' is not supported"},
      {"{{ [1] | random }}", "the filter 'random' is not supported"},
      {"{{ lipsum() }}", "lipsum is not supported"},
      {"{{ 9223372036854775807 + 1 }}", "more than 64 bits"},
      {"{{ 9223372036854775808 }}", "more than 64 bits"},
      {"{{ 2 ** 64 }}", "more than 64 bits"},
      {"{{ range }}", "printing a function"},
      {"{{ [1] | map('string') }}", "printing a generator"},
      {"{{ '\\ud800' }}", "no character"},
      {"{{ '\\N{DASH}' }}", "\\N{...} is not supported"},
      {"a\xff"
       "b",
       "not UTF-8 at byte 1"},
      {"{% if x %}", "line 1: the template ends before 'endif'"},
      {"{{ (1 }}", "unexpected '}'"},
      {"{{ 1 $ 2 }}", "unexpected character '$'"},
  };
  for (const auto& [source, message] : kCases) {
    const absl::StatusOr<std::string> text = Render(source);
    ASSERT_FALSE(text.ok()) << source;
    EXPECT_THAT(std::string(text.status().message()), HasSubstr(message)) << source;
  }
}

}  // namespace
}  // namespace llmcore::core
