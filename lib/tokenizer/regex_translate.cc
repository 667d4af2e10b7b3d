// Oniguruma (its own syntax, UTF-8) to PCRE2 (UTF, UCP, MULTILINE, newline = LF).
#include <cctype>

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"
#include "lib/tokenizer/regex.h"

namespace llmcore::core {
namespace {

// White_Space. PCRE2's \s would add U+180E, which lost the property in Unicode 6.3.
constexpr absl::string_view kSpace =
    R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr absl::string_view kNotSpace =
    R"(\x00-\x08\x0e-\x1f\x21-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
// Alphabetic, M, Nd, Pc: what \w is in a class. Alone Oniguruma looks Latin-1 up in another table,
// which has the superscripts and fractions too.
constexpr absl::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169})"
    R"(\x{1f170}-\x{1f189})";

constexpr absl::string_view kLatinNumbers = R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";

// Reads the pattern once from left to right; nothing recurses.
class Translator {
 public:
  explicit Translator(absl::string_view pattern) : pattern_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (!AtEnd()) {
      const char c = Peek();
      if (c == '\\') {
        LLMCORE_RETURN_IF_ERROR(Escape());
      } else if (c == '[') {
        LLMCORE_RETURN_IF_ERROR(Class());
      } else if (c == '(') {
        LLMCORE_RETURN_IF_ERROR(Group());
      } else if (c == '{') {
        LLMCORE_RETURN_IF_ERROR(Interval());
      } else {
        Copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  bool AtEnd() const { return at_ >= pattern_.size(); }
  char Peek(size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }
  bool LooksAt(absl::string_view text) const { return pattern_.substr(at_, text.size()) == text; }
  void Copy(size_t count) {
    out_.append(pattern_.data() + at_, count);
    at_ += count;
  }
  absl::Status Refuse(absl::string_view what) const {
    return absl::UnimplementedError(absl::StrCat("the regular expression \"", pattern_, "\" uses ",
                                                 what, " at byte ", at_,
                                                 ", which is not supported"));
  }

  // ( is a plain group: nothing refers to captures. Inline options but `i` mean something else to
  // Oniguruma.
  absl::Status Group() {
    for (const absl::string_view opening :
         {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:", "(?i)", "(?-i)"}) {
      if (LooksAt(opening)) {
        Copy(opening.size());
        return absl::OkStatus();
      }
    }
    if (LooksAt("(?") || LooksAt("(*")) {
      return Refuse(absl::StrCat("the group \"", pattern_.substr(at_, 3), "\""));
    }
    Copy(1);
    return absl::OkStatus();
  }

  // {n}, {n,}, {n,m}; {,m} is {0,m}. A + after it is possessive to PCRE2 and a second quantifier to
  // Oniguruma.
  absl::Status Interval() {
    size_t end = at_ + 1;
    size_t digits = 0;
    size_t commas = 0;
    while (end < pattern_.size() &&
           (std::isdigit(static_cast<unsigned char>(pattern_[end])) != 0 || pattern_[end] == ',')) {
      ++(pattern_[end] == ',' ? commas : digits);
      ++end;
    }
    const bool is_interval =
        end < pattern_.size() && pattern_[end] == '}' && digits > 0 && commas < 2;
    if (!is_interval) {
      absl::StrAppend(&out_, "\\{");
      ++at_;
      return absl::OkStatus();
    }
    if (end + 1 < pattern_.size() && pattern_[end + 1] == '+') return Refuse("a quantifier {}+");
    absl::StrAppend(&out_, Peek(1) == ',' ? "{0" : "{");
    ++at_;
    Copy(end + 1 - at_);
    return absl::OkStatus();
  }

  // Outside a class.
  absl::Status Escape() {
    switch (Peek(1)) {
      case 's':
        return Replace(2, absl::StrCat("[", kSpace, "]"));
      case 'S':
        return Replace(2, absl::StrCat("[^", kSpace, "]"));
      case 'w':
        return Replace(2, absl::StrCat("[", kWord, kLatinNumbers, "]"));
      case 'W':
        return Replace(2, absl::StrCat("[^", kWord, kLatinNumbers, "]"));
      case 'A':
        return Replace(2, "\\A");
      case 'z':
        return Replace(2, "\\z");
      default:
        return CharacterEscape();
    }
  }

  // Inside a class.
  absl::Status ClassEscape() {
    switch (Peek(1)) {
      case 's':
        return Replace(2, kSpace);
      case 'S':
        return Replace(2, kNotSpace);
      case 'w':
        return Replace(2, kWord);
      default:
        return CharacterEscape();
    }
  }

  // What means the same inside and outside of a class.
  absl::Status CharacterEscape() {
    const char c = Peek(1);
    switch (c) {
      case 'p':
      case 'P':
        return Property();
      case 'd':
        return Replace(2, "\\p{Nd}");
      case 'D':
        return Replace(2, "\\P{Nd}");
      case 'v':
        return Replace(2, "\\x0b");
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'a':
      case 'e':
        Copy(2);
        return absl::OkStatus();
      case 'u':
        return CodePoint(2, 4);
      case 'x':
        return Peek(2) == '{' ? BracedCodePoint() : CodePoint(2, 2);
      default:
        break;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (AtEnd() || at_ + 1 >= pattern_.size() || std::isalnum(byte) != 0) {
      return Refuse(absl::StrCat("the escape \"", pattern_.substr(at_, 2), "\""));
    }
    if (byte >= 0x80) {  // an escaped character that needs no escape
      ++at_;
      Copy(DecodeUtf8(pattern_, at_).length);
    } else {
      Copy(2);
    }
    return absl::OkStatus();
  }

  absl::Status Replace(size_t count, absl::string_view text) {
    at_ += count;
    absl::StrAppend(&out_, text);
    return absl::OkStatus();
  }

  absl::Status CodePoint(size_t skip, size_t max_digits) {
    size_t count = 0;
    while (count < max_digits &&
           std::isxdigit(static_cast<unsigned char>(Peek(skip + count))) != 0) {
      ++count;
    }
    // Oniguruma reads \xHH above 7F as a raw byte of UTF-8.
    const bool is_raw_byte = max_digits == 2 && count == 2 && Peek(skip) >= '8';
    if (count == 0 || (max_digits == 4 && count != 4) || is_raw_byte) {
      return Refuse(absl::StrCat("the escape \"", pattern_.substr(at_, skip + count), "\""));
    }
    absl::StrAppend(&out_, "\\x{", pattern_.substr(at_ + skip, count), "}");
    at_ += skip + count;
    return absl::OkStatus();
  }

  absl::Status BracedCodePoint() {
    const size_t end = pattern_.find('}', at_);
    if (end == absl::string_view::npos) return Refuse("an unfinished \\x{");
    for (size_t i = at_ + 3; i < end; ++i) {
      if (std::isxdigit(static_cast<unsigned char>(pattern_[i])) == 0) {
        return Refuse("a list in \\x{}");
      }
    }
    Copy(end + 1 - at_);
    return absl::OkStatus();
  }

  // \p{..}: general categories of one or two letters, and scripts (PCRE2 would read a bare script
  // name as the script extensions).
  absl::Status Property() {
    const size_t end = pattern_.find('}', at_);
    if (Peek(2) != '{' || end == absl::string_view::npos) return Refuse("\\p without braces");
    absl::string_view name = pattern_.substr(at_ + 3, end - at_ - 3);
    bool negated = Peek(1) == 'P';
    if (!name.empty() && name[0] == '^') {
      negated = !negated;
      name.remove_prefix(1);
    }
    for (const char c : name) {
      if (std::isalpha(static_cast<unsigned char>(c)) == 0 && c != '_') name = "";
    }
    if (name.empty()) return Refuse("an unknown property");
    const bool is_category = name.size() <= 2;
    if (!is_category && IsBinaryProperty(name)) {
      return Refuse(absl::StrCat("the property ", name));
    }
    absl::StrAppend(&out_, negated ? "\\P{" : "\\p{", is_category ? "" : "sc:", name, "}");
    at_ = end + 1;
    return absl::OkStatus();
  }

  // PCRE2 and Oniguruma need not agree on these, and no published tokenizer has been seen to use
  // them.
  static bool IsBinaryProperty(absl::string_view name) {
    for (const absl::string_view known :
         {"Alpha", "Alnum", "Punct", "Space", "Digit", "Upper", "Lower", "Word", "Any", "Letter",
          "Mark", "Number", "Punctuation", "Symbol", "Separator", "Other"}) {
      if (absl::string_view(name) == known) return true;
    }
    return false;
  }

  // [...]; a class inside is a union, so its brackets can go.
  absl::Status Class() {
    const bool negated = Peek(1) == '^';
    Copy(negated ? 2 : 1);
    int depth = 1;
    bool first = true;
    while (depth > 0) {
      if (AtEnd())
        return absl::InvalidArgumentError(absl::StrCat("the regular expression \"", pattern_,
                                                       "\" has an unfinished character class"));
      const char c = Peek();
      if (c == '\\') {
        LLMCORE_RETURN_IF_ERROR(ClassEscape());
      } else if (c == ']' && first) {
        LLMCORE_RETURN_IF_ERROR(Replace(1, "\\]"));
      } else if (c == ']') {
        ++at_;
        --depth;
      } else if (c == '[') {
        if (Peek(1) == ':' || Peek(1) == '^') return Refuse("a negated or named class in a class");
        ++at_;
        ++depth;
      } else if (c == '&' && Peek(1) == '&') {
        return Refuse("an intersection of classes");
      } else {
        Copy(1);
      }
      first = false;
    }
    out_.push_back(']');
    return absl::OkStatus();
  }

  const absl::string_view pattern_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

absl::StatusOr<std::string> TranslateRegex(absl::string_view pattern) {
  if (!IsValidUtf8(pattern) || pattern.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError("a regular expression is not valid UTF-8 text");
  }
  return Translator(pattern).Run();
}

}  // namespace llmcore::core
