#include "lib/tokenizer/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/utf8.h"

namespace llmcore::core {
namespace {

// An unknown character is this much worse than the worst piece (SentencePiece's kUnkPenalty).
constexpr double kUnknownPenalty = 10.0;

}  // namespace

UnigramModel::UnigramModel(Vocabulary vocabulary, std::vector<UnigramPiece> pieces,
                           const UnigramOptions& options)
    : TokenModel(std::move(vocabulary)), pieces_(std::move(pieces)), options_(options) {
  double worst = std::numeric_limits<double>::infinity();
  for (size_t id = 0; id < pieces_.size(); ++id) {
    if (!pieces_[id].is_matched) continue;
    worst = std::min(worst, pieces_[id].score);
    const absl::string_view piece = this->vocabulary().PieceOf(static_cast<TokenId>(id));
    if (!piece.empty()) trie_.Insert(piece, static_cast<uint32_t>(id));
  }
  unknown_score_ = worst - kUnknownPenalty;
  for (int byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = this->vocabulary().Find(absl::StrFormat("<0x%02X>", byte)).value_or(-1);
  }
}

absl::StatusOr<std::unique_ptr<UnigramModel>> UnigramModel::Create(Vocabulary vocabulary,
                                                                   std::vector<UnigramPiece> pieces,
                                                                   const UnigramOptions& options) {
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (!vocabulary.Has(static_cast<TokenId>(id)) || !std::isfinite(pieces[id].score)) {
      return absl::InvalidArgumentError(
          absl::StrCat("piece ", id, " of the Unigram model has no text or no finite score"));
    }
  }
  if (options.unknown.has_value() && (!vocabulary.Has(*options.unknown) ||
                                      static_cast<size_t>(*options.unknown) >= pieces.size())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the unknown token has the id ", *options.unknown, ", which is not in the vocabulary"));
  }
  return std::unique_ptr<UnigramModel>(
      new UnigramModel(std::move(vocabulary), std::move(pieces), options));
}

// Viterbi from left to right. Of equal sums the path found first stays, and shorter last pieces are
// found later, as in the reference implementations.
bool UnigramModel::FindBestPath(absl::string_view word,
                                std::vector<ModelScratch::Node>* nodes) const {
  nodes->assign(word.size() + 1, {0.0, -1, -1});
  const auto offer = [&](size_t start, size_t length, double score, TokenId id) {
    ModelScratch::Node& node = (*nodes)[start + length];
    double sum = (*nodes)[start].score + score;
    if (options_.single_precision) sum = static_cast<float>(sum);
    if (node.start >= 0 && sum <= node.score) return;
    node = {sum, static_cast<int32_t>(start), id};
  };
  for (size_t start = 0; start < word.size();) {
    const size_t character = DecodeUtf8(word, start).length;
    bool covers_character = false;
    trie_.VisitPrefixes(word, start, [&](size_t length, uint32_t id) {
      covers_character |= length == character;
      offer(start, length, pieces_[id].score, static_cast<TokenId>(id));
    });
    if (!covers_character) {
      if (!options_.unknown.has_value()) return false;
      offer(start, character, unknown_score_, *options_.unknown);
    }
    start += character;
  }
  return true;
}

absl::Status UnigramModel::Tokenize(absl::string_view word, ModelScratch* scratch,
                                    std::vector<TokenId>* ids) const {
  if (!FindBestPath(word, &scratch->nodes)) {
    return absl::InvalidArgumentError(
        "the text has a character that is not in the vocabulary, and there is no unknown token");
  }
  // From the end to the start; neighbouring unknown characters are one stretch.
  std::vector<std::pair<int32_t, int32_t>>& spans = scratch->spans;
  std::vector<TokenId>& path = scratch->ids;
  spans.clear();
  path.clear();
  for (int32_t end = static_cast<int32_t>(word.size()); end > 0;) {
    const ModelScratch::Node& node = scratch->nodes[static_cast<size_t>(end)];
    const bool is_unknown = node.id == options_.unknown;
    if (is_unknown && !path.empty() && path.back() == node.id) {
      spans.back().first = node.start;
    } else {
      spans.emplace_back(node.start, end);
      path.push_back(node.id);
    }
    end = node.start;
  }
  for (size_t i = path.size(); i-- > 0;) {
    if (path[i] != options_.unknown) {
      ids->push_back(path[i]);
      continue;
    }
    const auto [begin, end] = spans[i];
    AppendUnknown(word.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), ids);
  }
  return absl::OkStatus();
}

void UnigramModel::AppendUnknown(absl::string_view text, std::vector<TokenId>* ids) const {
  // Unknown characters side by side may spell a piece that their scores did not choose.
  const std::optional<TokenId> piece = vocabulary().Find(text);
  if (piece.has_value() && pieces_[static_cast<size_t>(*piece)].is_matched) {
    ids->push_back(*piece);
    return;
  }
  const bool has_bytes = std::all_of(text.begin(), text.end(), [this](char byte) {
    return byte_ids_[static_cast<uint8_t>(byte)] >= 0;
  });
  if (!options_.byte_fallback || !has_bytes) {
    ids->push_back(*options_.unknown);
    return;
  }
  for (const char byte : text) ids->push_back(byte_ids_[static_cast<uint8_t>(byte)]);
}

}  // namespace llmcore::core
