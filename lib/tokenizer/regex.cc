#include "lib/tokenizer/regex.h"

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace llmcore::core {
namespace {

// Published patterns are below 1 KB; the limits keep a hostile one from taking memory or time.
constexpr size_t kMaxPatternBytes = size_t{16} << 10;
constexpr uint32_t kMaxNesting = 64;
// Backtracking steps of one match, and KiB of heap for them. The worst published pattern takes one
// step a character of a whitespace run.
constexpr uint32_t kMatchLimit = 20u << 20;
constexpr uint32_t kHeapLimitKib = 64u << 10;

struct CodeDeleter {
  void operator()(pcre2_code* code) const {
    pcre2_code_free(code);
    // PCRE2 keeps a page range for the next compiled pattern, which would be lost when this
    // library, and PCRE2 with it, is unloaded.
    pcre2_jit_free_unused_memory(nullptr);
  }
};
struct CompileContextDeleter {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};
struct MatchContextDeleter {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct MatchDataDeleter {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

absl::Status OutOfMemory() {
  return absl::ResourceExhaustedError("no memory for a regular expression");
}

std::string Pcre2Message(int error) {
  PCRE2_UCHAR buffer[256];
  if (pcre2_get_error_message(error, buffer, sizeof buffer) < 0) return absl::StrCat(error);
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code, CodeDeleter> code;
  std::unique_ptr<pcre2_match_context, MatchContextDeleter> limits;
};

absl::StatusOr<Regex> Regex::Compile(absl::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a regular expression has ", pattern.size(),
                                                   " bytes, more than the limit of ",
                                                   kMaxPatternBytes));
  }
  LLMCORE_ASSIGN_OR_RETURN(const std::string translated, TranslateRegex(pattern));
  const std::unique_ptr<pcre2_compile_context, CompileContextDeleter> context(
      pcre2_compile_context_create(nullptr));
  if (context == nullptr) return OutOfMemory();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), kMaxNesting);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_shared<Code>();
  code->code.reset(pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE,
      &error, &offset, context.get()));
  if (code->code == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("the regular expression \"", pattern, "\" is refused: ", Pcre2Message(error)));
  }
  // Without executable memory the interpreter gives the same matches, only slower.
  pcre2_jit_compile(code->code.get(), PCRE2_JIT_COMPLETE);
  code->limits.reset(pcre2_match_context_create(nullptr));
  if (code->limits == nullptr) return OutOfMemory();
  pcre2_set_match_limit(code->limits.get(), kMatchLimit);
  pcre2_set_heap_limit(code->limits.get(), kHeapLimitKib);
  Regex regex;
  regex.code_ = std::move(code);
  return regex;
}

absl::Status Regex::FindAll(absl::string_view text, std::vector<TextSpan>* matches) const {
  const std::unique_ptr<pcre2_match_data, MatchDataDeleter> data(
      pcre2_match_data_create_from_pattern(code_->code.get(), nullptr));
  if (data == nullptr) return OutOfMemory();
  const auto* const subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* const span = pcre2_get_ovector_pointer(data.get());
  size_t last_end = SIZE_MAX;
  for (size_t at = 0; at <= text.size();) {
    const auto match = [&](uint32_t options) {
      return pcre2_match(code_->code.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK | options,
                         data.get(), code_->limits.get());
    };
    int result = match(0);
    // The JIT's stack is small and fixed; the interpreter's is the heap.
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat("matching a regular expression of the tokenizer at byte ", at, " of ",
                       text.size(), " was stopped: ", Pcre2Message(result)));
    }
    if (span[1] == span[0] && span[1] == last_end) {
      at = last_end < text.size() ? last_end + DecodeUtf8(text, last_end).length : last_end + 1;
      continue;
    }
    matches->push_back({span[0], span[1]});
    last_end = span[1];
    at = last_end;
  }
  return absl::OkStatus();
}

}  // namespace llmcore::core
