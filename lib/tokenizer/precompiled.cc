#include <utility>

#include "lib/base/utf8.h"
#include "lib/tokenizer/charsmap.h"
#include "lib/tokenizer/normalizers.h"

namespace llmcore::core {
namespace {

// Grapheme clusters of up to five bytes are looked up whole, longer ones and those that are not
// found character by character, and of several entries the shortest counts: this is what Hugging
// Face's implementation does (SentencePiece's own takes the longest, wherever it ends).
class PrecompiledNormalizer final : public Normalizer {
 public:
  explicit PrecompiledNormalizer(CharsMap map) : map_(std::move(map)) {}

  absl::Status Apply(NormalizedText* text) const override {
    const absl::string_view all = text->text;
    std::string out;
    out.reserve(all.size());
    size_t begin = 0;
    for (const size_t end : GraphemeEnds(all)) {
      AppendGrapheme(all.substr(begin, end - begin), &out);
      begin = end;
    }
    text->text = std::move(out);
    return absl::OkStatus();
  }

 private:
  void AppendGrapheme(absl::string_view grapheme, std::string* out) const {
    if (grapheme.size() < 6 && AppendReplacement(grapheme, out)) return;
    for (size_t i = 0; i < grapheme.size();) {
      const size_t length = DecodeUtf8(grapheme, i).length;
      if (!AppendReplacement(grapheme.substr(i, length), out)) {
        out->append(grapheme.data() + i, length);
      }
      i += length;
    }
  }

  bool AppendReplacement(absl::string_view text, std::string* out) const {
    const std::optional<CharsMap::Match> match = map_.FindShortest(text);
    if (!match.has_value()) return false;
    out->append(match->replacement.data(), match->replacement.size());
    return true;
  }

  const CharsMap map_;
};

}  // namespace

std::unique_ptr<Normalizer> MakePrecompiledNormalizer(CharsMap map) {
  return std::make_unique<PrecompiledNormalizer>(std::move(map));
}

}  // namespace llmcore::core
