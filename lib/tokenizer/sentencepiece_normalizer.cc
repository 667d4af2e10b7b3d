#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "lib/base/utf8.h"
#include "lib/tokenizer/byte_trie.h"
#include "lib/tokenizer/normalizers.h"

namespace llmcore::core {
namespace {

constexpr absl::string_view kEscapedSpace = "\xE2\x96\x81";  // U+2581

class SentencePieceNormalizer final : public Normalizer {
 public:
  explicit SentencePieceNormalizer(SentencePieceNormalizerOptions options)
      : options_(std::move(options)), space_(options_.escape_whitespaces ? kEscapedSpace : " ") {
    for (const std::string& symbol : options_.verbatim) verbatim_.Insert(symbol, 0);
  }

  absl::Status Apply(NormalizedText* text) const override {
    absl::string_view rest = text->text;
    if (options_.remove_extra_whitespaces) SkipSpaces(&rest);
    std::string out;
    if (!rest.empty()) {
      out.reserve(rest.size() + rest.size() / 4);
      if (options_.add_dummy_prefix) out.append(space_);
      AppendAll(rest, &out);
    }
    text->text = std::move(out);
    return absl::OkStatus();
  }

 private:
  struct Prefix {
    size_t length;  // bytes of the text
    absl::string_view normalized;
  };

  Prefix NextPrefix(absl::string_view text) const {
    size_t length = 0;
    verbatim_.VisitPrefixes(text, 0, [&length](size_t end, uint32_t) { length = end; });
    if (length > 0) return {length, text.substr(0, length)};
    if (const auto match = options_.map.FindLongest(text); match.has_value()) {
      return {match->length, match->replacement};
    }
    length = DecodeUtf8(text, 0).length;
    return {length, text.substr(0, length)};
  }

  void SkipSpaces(absl::string_view* text) const {
    while (!text->empty()) {
      const Prefix prefix = NextPrefix(*text);
      if (prefix.normalized != " ") return;
      text->remove_prefix(prefix.length);
    }
  }

  void AppendAll(absl::string_view text, std::string* out) const {
    bool after_space = options_.remove_extra_whitespaces;
    while (!text.empty()) {
      Prefix prefix = NextPrefix(text);
      text.remove_prefix(prefix.length);
      while (after_space && absl::ConsumePrefix(&prefix.normalized, " ")) {
      }
      if (prefix.normalized.empty()) continue;
      AppendEscaped(prefix.normalized, out);
      after_space = options_.remove_extra_whitespaces && absl::EndsWith(prefix.normalized, " ");
    }
    if (!options_.remove_extra_whitespaces) return;
    while (absl::EndsWith(*out, space_)) out->resize(out->size() - space_.size());
  }

  void AppendEscaped(absl::string_view text, std::string* out) const {
    for (const char c : text) {
      if (c == ' ') {
        out->append(space_);
      } else {
        out->push_back(c);
      }
    }
  }

  const SentencePieceNormalizerOptions options_;
  const std::string space_;  // what a space becomes
  ByteTrie verbatim_;
};

}  // namespace

std::unique_ptr<Normalizer> MakeSentencePieceNormalizer(SentencePieceNormalizerOptions options) {
  return std::make_unique<SentencePieceNormalizer>(std::move(options));
}

}  // namespace llmcore::core
