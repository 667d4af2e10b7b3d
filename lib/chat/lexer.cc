#include "lib/chat/lexer.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/utf8.h"
#include "lib/chat/python_text.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

bool IsNameByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool IsDigitByte(char c) {
  return c >= '0' && c <= '9';
}

class Lexer {
 public:
  Lexer(absl::string_view source, std::deque<std::string>* strings)
      : source_(source), strings_(strings) {}

  absl::StatusOr<std::vector<Token>> Run();

 private:
  enum class TrimAfter { kNothing, kNewline, kSpace };

  absl::string_view rest() const { return source_.substr(position_); }
  bool At(absl::string_view text) const { return absl::StartsWith(rest(), text); }

  void Advance(size_t bytes);
  void SkipSpace() { Advance(rest().size() - StripLeft(rest()).size()); }
  void Trim(TrimAfter trim);
  void Add(TokenKind kind, absl::string_view text) { tokens_.push_back({kind, line_, text, 0, 0}); }
  absl::Status Fail(absl::string_view message) const { return SyntaxError(line_, message); }

  void AddData(absl::string_view text, char sign, bool strip_indent);
  size_t NextTag(size_t from) const;
  std::optional<size_t> RawBeginLength() const;
  absl::Status LexComment();
  absl::Status LexRaw();
  absl::Status LexTag(bool is_block);
  absl::Status LexTagToken();
  absl::Status LexNumber();
  absl::Status LexString();
  absl::Status LexOperator();

  const absl::string_view source_;
  std::deque<std::string>* const strings_;
  std::vector<Token> tokens_;
  std::string brackets_;  // the open ones of the current tag, as the closing ones they need
  size_t position_ = 0;
  uint32_t line_ = 1;
  bool line_starting_ = true;  // the last tag, with what it trimmed, ended at a line's end
};

void Lexer::Advance(size_t bytes) {
  const absl::string_view passed = rest().substr(0, bytes);
  line_ += static_cast<uint32_t>(std::count(passed.begin(), passed.end(), '\n'));
  position_ += passed.size();
}

void Lexer::Trim(TrimAfter trim) {
  if (trim == TrimAfter::kSpace) SkipSpace();
  if (trim == TrimAfter::kNewline && At("\n")) Advance(1);
  line_starting_ = position_ > 0 && source_[position_ - 1] == '\n';
}

// Text before a tag: "-" takes all space from its end; without a sign a block takes its own
// indentation, when nothing else is on the line before it.
void Lexer::AddData(absl::string_view text, char sign, bool strip_indent) {
  absl::string_view kept = text;
  if (sign == '-') {
    kept = StripRight(text);
  } else if (sign != '+' && strip_indent) {
    const size_t newline = text.rfind('\n');
    const size_t line_start = newline == absl::string_view::npos ? 0 : newline + 1;
    if ((line_start > 0 || line_starting_) && StripLeft(text.substr(line_start)).empty()) {
      kept = text.substr(0, line_start);
    }
  }
  if (!kept.empty()) Add(TokenKind::kData, kept);
  Advance(text.size());
}

size_t Lexer::NextTag(size_t from) const {
  for (size_t i = from; i + 1 < source_.size(); ++i) {
    if (source_[i] == '{' &&
        (source_[i + 1] == '%' || source_[i + 1] == '{' || source_[i + 1] == '#')) {
      return i;
    }
  }
  return absl::string_view::npos;
}

// Bytes of `{% raw %}` when that is what stands here, with the space that "-%}" takes.
std::optional<size_t> Lexer::RawBeginLength() const {
  absl::string_view text = rest().substr(2);
  if (absl::StartsWith(text, "-") || absl::StartsWith(text, "+")) text.remove_prefix(1);
  text = StripLeft(text);
  if (!absl::ConsumePrefix(&text, "raw")) return std::nullopt;
  text = StripLeft(text);
  if (absl::ConsumePrefix(&text, "-%}")) {
    text = StripLeft(text);
  } else if (!absl::ConsumePrefix(&text, "%}")) {
    return std::nullopt;
  }
  return rest().size() - text.size();
}

absl::Status Lexer::LexRaw() {
  for (size_t at = position_;; at += 2) {
    at = source_.find("{%", at);
    if (at == absl::string_view::npos) return Fail("the end of a raw block is missing");
    absl::string_view text = source_.substr(at + 2);
    const char sign = text.empty() ? ' ' : text[0];
    if (sign == '-' || sign == '+') text.remove_prefix(1);
    text = StripLeft(text);
    if (!absl::ConsumePrefix(&text, "endraw")) continue;
    text = StripLeft(text);
    TrimAfter trim = TrimAfter::kNothing;
    if (absl::ConsumePrefix(&text, "-%}")) {
      trim = TrimAfter::kSpace;
    } else if (absl::ConsumePrefix(&text, "%}")) {
      trim = TrimAfter::kNewline;
    } else if (!absl::ConsumePrefix(&text, "+%}")) {
      continue;
    }
    AddData(source_.substr(position_, at - position_), sign, /*strip_indent=*/true);
    Advance(source_.size() - text.size() - position_);
    Trim(trim);
    return absl::OkStatus();
  }
}

absl::Status Lexer::LexComment() {
  const size_t end = source_.find("#}", position_);
  if (end == absl::string_view::npos) return Fail("the end of a comment is missing");
  const char sign = end > position_ ? source_[end - 1] : ' ';
  Advance(end + 2 - position_);
  Trim(sign == '-' ? TrimAfter::kSpace : sign == '+' ? TrimAfter::kNothing : TrimAfter::kNewline);
  return absl::OkStatus();
}

absl::Status Lexer::LexNumber() {
  const absl::string_view text = rest();
  const auto digits_from = [&text](size_t i) {
    while (i < text.size() && (IsDigitByte(text[i]) || (text[i] == '_' && i + 1 < text.size() &&
                                                        IsDigitByte(text[i + 1])))) {
      ++i;
    }
    return i;
  };
  size_t end = digits_from(0);
  const size_t integer_end = end;
  bool is_float = false;
  // "a.0.5" is two items, not the item 0.5.
  if (position_ == 0 || source_[position_ - 1] != '.') {
    if (end + 1 < text.size() && text[end] == '.' && IsDigitByte(text[end + 1])) {
      is_float = true;
      end = digits_from(end + 1);
    }
    if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
      if (exponent < text.size() && IsDigitByte(text[exponent])) {
        is_float = true;
        end = digits_from(exponent);
      }
    }
  }
  Token token{TokenKind::kInteger, line_, {}, 0, 0};
  if (is_float) {
    token.kind = TokenKind::kFloat;
    token.text = text.substr(0, end);
    const std::optional<double> number = ParseFloat(token.text);
    if (!number.has_value()) return Fail(absl::StrCat("bad number ", token.text));
    token.number = *number;
  } else {
    end = integer_end;
    const char marker =
        text.size() > 1 ? absl::ascii_tolower(static_cast<unsigned char>(text[1])) : ' ';
    if (text[0] == '0' && (marker == 'x' || marker == 'o' || marker == 'b')) {
      end = 2;
      while (end < text.size() && IsNameByte(text[end])) ++end;
    }
    token.text = text.substr(0, end);
    auto integer = ParseInteger(token.text, 0);
    if (!integer.ok()) return Annotate(integer.status(), absl::StrCat("line ", line_));
    if (!integer->has_value()) return Fail(absl::StrCat("bad number ", token.text));
    token.integer = **integer;
  }
  tokens_.push_back(token);
  Advance(end);
  return absl::OkStatus();
}

// Decodes the escapes of a string literal's inside, as Python does.
absl::StatusOr<std::string> Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    const char kind = text[++i];
    constexpr absl::string_view kLetters = "abfnrtv\\'\"";
    constexpr absl::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t simple = kLetters.find(kind); simple != absl::string_view::npos) {
      out.push_back(kMeanings[simple]);
      continue;
    }
    if (kind == '\n') continue;
    if (kind == 'N') return absl::UnimplementedError("the escape \\N{...} is not supported");
    const bool is_octal = kind >= '0' && kind <= '7';
    const size_t hex_digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    if (!is_octal && hex_digits == 0) {
      out.push_back('\\');
      out.push_back(kind);
      continue;
    }
    const size_t start = is_octal ? i : i + 1;
    size_t end = start;
    while (end < text.size() && end - start < (is_octal ? 3 : hex_digits) &&
           (is_octal ? text[end] >= '0' && text[end] <= '7'
                     : absl::ascii_isxdigit(static_cast<unsigned char>(text[end])))) {
      ++end;
    }
    if (!is_octal && end - start != hex_digits) {
      return absl::InvalidArgumentError("a string has a cut escape");
    }
    const auto code = ParseInteger(text.substr(start, end - start), is_octal ? 8 : 16);
    const int64_t code_point = code.ok() && code->has_value() ? **code : -1;
    if (code_point < 0 || code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000)) {
      return absl::InvalidArgumentError("a string has an escape that is no character");
    }
    AppendUtf8(static_cast<char32_t>(code_point), &out);
    i = end - 1;
  }
  return out;
}

absl::Status Lexer::LexString() {
  const absl::string_view text = rest();
  size_t end = 1;
  while (end < text.size() && text[end] != text[0]) end += text[end] == '\\' ? 2 : 1;
  if (end >= text.size()) return Fail("the end of a string is missing");
  const absl::string_view inside = text.substr(1, end - 1);
  Token token{TokenKind::kString, line_, inside, 0, 0};
  if (inside.find('\\') != absl::string_view::npos) {
    absl::StatusOr<std::string> decoded = Unescape(inside);
    if (!decoded.ok()) return Annotate(decoded.status(), absl::StrCat("line ", line_));
    token.text = strings_->emplace_back(*std::move(decoded));
  }
  tokens_.push_back(token);
  Advance(end + 1);
  return absl::OkStatus();
}

absl::Status Lexer::LexOperator() {
  constexpr absl::string_view kPairs[] = {"**", "//", "==", "!=", ">=", "<="};
  constexpr absl::string_view kSingles = "+-*/%~[](){}><=.:|,;";
  const absl::string_view text = rest();
  size_t length = 0;
  for (const absl::string_view pair : kPairs) {
    if (absl::StartsWith(text, pair)) length = 2;
  }
  if (length == 0 && kSingles.find(text[0]) != absl::string_view::npos) length = 1;
  if (length == 0) {
    return Fail(
        absl::StrCat("unexpected character '", text.substr(0, CharacterLength(text, 0)), "'"));
  }
  const char c = text[0];
  if (c == '(') brackets_.push_back(')');
  if (c == '[') brackets_.push_back(']');
  if (c == '{') brackets_.push_back('}');
  if (c == ')' || c == ']' || c == '}') {
    if (brackets_.empty() || brackets_.back() != c) {
      return Fail(absl::StrCat("unexpected '", text.substr(0, 1), "'"));
    }
    brackets_.pop_back();
  }
  Add(TokenKind::kOperator, text.substr(0, length));
  Advance(length);
  return absl::OkStatus();
}

absl::Status Lexer::LexTagToken() {
  const char c = source_[position_];
  if (IsDigitByte(c)) return LexNumber();
  if (c == '\'' || c == '"') return LexString();
  if (!IsNameByte(c)) return LexOperator();
  size_t end = position_;
  while (end < source_.size() && IsNameByte(source_[end])) ++end;
  Add(TokenKind::kName, source_.substr(position_, end - position_));
  Advance(end - position_);
  return absl::OkStatus();
}

absl::Status Lexer::LexTag(bool is_block) {
  const uint32_t first_line = line_;
  const absl::string_view end = is_block ? "%}" : "}}";
  brackets_.clear();
  for (;;) {
    SkipSpace();
    if (position_ >= source_.size()) {
      return SyntaxError(first_line, absl::StrCat("the end of a tag, ", end, ", is missing"));
    }
    if (brackets_.empty()) {
      const bool dash = At(absl::StrCat("-", end));
      const bool plus = is_block && At("+%}");
      if (dash || plus || At(end)) {
        Add(is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, end);
        Advance(dash || plus ? 3 : 2);
        Trim(dash                ? TrimAfter::kSpace
             : is_block && !plus ? TrimAfter::kNewline
                                 : TrimAfter::kNothing);
        return absl::OkStatus();
      }
    }
    LLMCORE_RETURN_IF_ERROR(LexTagToken());
  }
}

absl::StatusOr<std::vector<Token>> Lexer::Run() {
  while (position_ < source_.size()) {
    const size_t tag = NextTag(position_);
    if (tag == absl::string_view::npos) {
      Add(TokenKind::kData, rest());
      Advance(rest().size());
      break;
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    AddData(source_.substr(position_, tag - position_), sign, /*strip_indent=*/kind != '{');
    if (kind == '%') {
      if (const std::optional<size_t> raw = RawBeginLength()) {
        Advance(*raw);
        line_starting_ = source_[position_ - 1] == '\n';
        LLMCORE_RETURN_IF_ERROR(LexRaw());
        continue;
      }
    }
    if (kind != '#') Add(kind == '%' ? TokenKind::kBlockBegin : TokenKind::kVariableBegin, "");
    Advance(sign == '-' || sign == '+' ? 3 : 2);
    if (kind == '#') {
      LLMCORE_RETURN_IF_ERROR(LexComment());
    } else {
      LLMCORE_RETURN_IF_ERROR(LexTag(kind == '%'));
    }
  }
  Add(TokenKind::kEnd, "");
  return std::move(tokens_);
}

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source,
                                            std::deque<std::string>* strings) {
  return Lexer(source, strings).Run();
}

std::string NormalizeSource(absl::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
      continue;
    }
    out.push_back('\n');
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

absl::Status SyntaxError(uint32_t line, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", message));
}

}  // namespace llmcore::core::chat
