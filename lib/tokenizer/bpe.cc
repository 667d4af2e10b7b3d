#include "lib/tokenizer/bpe.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/utf8.h"
#include "lib/tokenizer/byte_alphabet.h"

namespace llmcore::core {
namespace {

constexpr uint32_t kNoRank = UINT32_MAX;
constexpr int32_t kRemoved = -2;

// Up to here a scan of all pairs for each merge beats the heap: a word of a language has 3 to 12
// symbols, and 32 of them fit in six cache lines.
constexpr size_t kShortWord = 32;

constexpr absl::string_view kEscapedSpace = "\xE2\x96\x81";  // U+2581, SentencePiece's space

uint64_t HashOfPair(TokenId left, TokenId right) {
  return absl::HashOf(left, right);
}

}  // namespace

BpeModel::BpeModel(Vocabulary vocabulary, BpeOptions options)
    : TokenModel(std::move(vocabulary)), options_(std::move(options)) {
  for (int byte = 0; byte < 256; ++byte) {
    const AlphabetCharacter& character = kByteAlphabet[byte];
    const std::string piece = options_.byte_level ? std::string(character.bytes, character.size)
                                                  : absl::StrFormat("<0x%02X>", byte);
    byte_ids_[byte] = this->vocabulary().Find(piece).value_or(-1);
  }
  const size_t count = static_cast<size_t>(this->vocabulary().id_limit());
  whole_words_ = std::make_unique<std::atomic<uint8_t>[]>(count);
}

absl::StatusOr<std::unique_ptr<BpeModel>> BpeModel::Create(Vocabulary vocabulary,
                                                           std::vector<BpeMerge> merges,
                                                           BpeOptions options) {
  std::unique_ptr<BpeModel> model(new BpeModel(std::move(vocabulary), std::move(options)));
  model->merges_ = std::move(merges);
  model->merge_of_pair_ = IndexTable(model->merges_.size());
  for (uint32_t i = 0; i < model->merges_.size(); ++i) {
    const BpeMerge& merge = model->merges_[i];
    for (const TokenId id : {merge.left, merge.right, merge.merged}) {
      if (!model->vocabulary().Has(id)) {
        return absl::InvalidArgumentError(
            absl::StrCat("a merge names the id ", id, ", which is not in the vocabulary"));
      }
    }
    const uint32_t earlier = model->IndexOfMerge(merge.left, merge.right);
    if (earlier == IndexTable::kNone) {
      model->merge_of_pair_.Insert(HashOfPair(merge.left, merge.right), i);
    } else {
      model->merges_[earlier] = merge;
    }
  }
  model->cuts_before_spaces_ = model->MayCutBeforeSpaces();
  return model;
}

// The escaped space must be a symbol, lest an unknown one fuse with an unknown character before it.
bool BpeModel::MayCutBeforeSpaces() const {
  if (options_.byte_level || options_.ignore_merges || !options_.end_of_word_suffix.empty() ||
      !options_.continuing_subword_prefix.empty() ||
      !vocabulary().Find(kEscapedSpace).has_value()) {
    return false;
  }
  return std::none_of(merges_.begin(), merges_.end(), [this](const BpeMerge& merge) {
    return absl::StartsWith(vocabulary().PieceOf(merge.right), kEscapedSpace) &&
           !absl::EndsWith(vocabulary().PieceOf(merge.left), kEscapedSpace);
  });
}

uint32_t BpeModel::IndexOfMerge(TokenId left, TokenId right) const {
  return merge_of_pair_.Find(HashOfPair(left, right), [this, left, right](uint32_t index) {
    return merges_[index].left == left && merges_[index].right == right;
  });
}

BpeModel::Merge BpeModel::FindMerge(TokenId left, TokenId right) const {
  const uint32_t index = IndexOfMerge(left, right);
  if (index == IndexTable::kNone) return {kNoRank, -1};
  return {merges_[index].rank, merges_[index].merged};
}

std::optional<TokenId> BpeModel::FindWord(absl::string_view word, ModelScratch* scratch) const {
  if (word.size() > vocabulary().longest_piece()) return std::nullopt;
  if (!options_.byte_level) return vocabulary().Find(word);
  scratch->text.clear();
  AppendInByteAlphabet(word, &scratch->text);
  return vocabulary().Find(scratch->text);
}

absl::Status BpeModel::Tokenize(absl::string_view word, ModelScratch* scratch,
                                std::vector<TokenId>* ids) const {
  if (!cuts_before_spaces_) return TokenizeWord(word, scratch, ids);
  size_t begin = 0;
  size_t after_space = 0;  // where the last escaped space ended
  for (size_t space = word.find(kEscapedSpace); space != absl::string_view::npos;
       space = word.find(kEscapedSpace, after_space)) {
    if (space > begin && space != after_space) {
      LLMCORE_RETURN_IF_ERROR(TokenizeWord(word.substr(begin, space - begin), scratch, ids));
      begin = space;
    }
    after_space = space + kEscapedSpace.size();
  }
  return TokenizeWord(word.substr(begin), scratch, ids);
}

absl::Status BpeModel::TokenizeWord(absl::string_view word, ModelScratch* scratch,
                                    std::vector<TokenId>* ids) const {
  const std::optional<TokenId> whole = FindWord(word, scratch);
  if (!whole.has_value()) {
    MergeWord(word, scratch, ids);
    return absl::OkStatus();
  }
  std::atomic<uint8_t>& state = whole_words_[static_cast<size_t>(*whole)];
  const uint8_t known =
      options_.ignore_merges ? uint8_t{kYes} : state.load(std::memory_order_relaxed);
  if (known == kYes) {
    ids->push_back(*whole);
    return absl::OkStatus();
  }
  const size_t before = ids->size();
  MergeWord(word, scratch, ids);
  if (known == kUnknown) {
    const bool is_whole = ids->size() == before + 1 && ids->back() == *whole;
    state.store(is_whole ? kYes : kNo, std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

void BpeModel::MergeWord(absl::string_view word, ModelScratch* scratch,
                         std::vector<TokenId>* ids) const {
  scratch->ids.clear();
  if (options_.byte_level) {
    AppendByteSymbols(word, &scratch->ids);
  } else {
    AppendSymbols(word, scratch);
  }
  if (scratch->ids.size() <= kShortWord) {
    MergeShort(scratch, ids);
  } else {
    MergeLong(scratch, ids);
  }
}

// The characters of the byte alphabet are looked up once, at load; a byte without one is unknown.
void BpeModel::AppendByteSymbols(absl::string_view word, std::vector<TokenId>* symbols) const {
  bool unknown_pending = false;
  for (const char byte : word) {
    const TokenId id = byte_ids_[static_cast<uint8_t>(byte)];
    if (id >= 0) {
      if (unknown_pending) symbols->push_back(*options_.unknown);
      unknown_pending = false;
      symbols->push_back(id);
    } else if (options_.unknown.has_value()) {
      if (unknown_pending && !options_.fuse_unknown) symbols->push_back(*options_.unknown);
      unknown_pending = true;
    }
  }
  if (unknown_pending) symbols->push_back(*options_.unknown);
}

bool BpeModel::AppendByteFallback(absl::string_view text, std::vector<TokenId>* symbols) const {
  for (const char byte : text) {
    if (byte_ids_[static_cast<uint8_t>(byte)] < 0) return false;
  }
  for (const char byte : text) symbols->push_back(byte_ids_[static_cast<uint8_t>(byte)]);
  return true;
}

// An unknown token is kept pending until the next known character, also across fallback bytes:
// this is the order in which Hugging Face's implementation emits them.
void BpeModel::AppendSymbols(absl::string_view word, ModelScratch* scratch) const {
  std::vector<TokenId>* const symbols = &scratch->ids;
  const bool is_decorated =
      !options_.continuing_subword_prefix.empty() || !options_.end_of_word_suffix.empty();
  bool unknown_pending = false;
  for (size_t i = 0; i < word.size();) {
    const size_t length = DecodeUtf8(word, i).length;
    absl::string_view text = word.substr(i, length);
    if (is_decorated) {
      scratch->text = absl::StrCat(i > 0 ? options_.continuing_subword_prefix : "", text,
                                   i + length == word.size() ? options_.end_of_word_suffix : "");
      text = scratch->text;
    }
    i += length;
    if (const std::optional<TokenId> id = vocabulary().Find(text); id.has_value()) {
      if (unknown_pending) symbols->push_back(*options_.unknown);
      unknown_pending = false;
      symbols->push_back(*id);
      continue;
    }
    if (options_.byte_fallback && AppendByteFallback(text, symbols)) continue;
    if (!options_.unknown.has_value()) continue;
    if (unknown_pending && !options_.fuse_unknown) symbols->push_back(*options_.unknown);
    unknown_pending = true;
  }
  if (unknown_pending) symbols->push_back(*options_.unknown);
}

void BpeModel::MergeShort(ModelScratch* scratch, std::vector<TokenId>* ids) const {
  const std::vector<TokenId>& symbols = scratch->ids;
  std::vector<ModelScratch::Pair>& pairs = scratch->pairs;
  pairs.resize(symbols.size());
  size_t count = symbols.size();
  const auto set_merge = [this, &pairs](size_t i) {
    const Merge merge = FindMerge(pairs[i].id, pairs[i + 1].id);
    pairs[i].rank = merge.rank;
    pairs[i].merged = merge.merged;
  };
  for (size_t i = 0; i < count; ++i) pairs[i] = {symbols[i], kNoRank, -1};
  for (size_t i = 0; i + 1 < count; ++i) set_merge(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNoRank) break;
    pairs[best].id = pairs[best].merged;
    std::copy(pairs.begin() + best + 2, pairs.begin() + count, pairs.begin() + best + 1);
    --count;
    pairs[best].rank = kNoRank;
    if (best + 1 < count) set_merge(best);
    if (best > 0) set_merge(best - 1);
  }
  for (size_t i = 0; i < count; ++i) ids->push_back(pairs[i].id);
}

// A heap of (rank, position) and a linked list of symbols: O(n log n) whatever the word. An entry
// whose symbol has merged with something else meanwhile no longer has that rank and is skipped.
void BpeModel::MergeLong(ModelScratch* scratch, std::vector<TokenId>* ids) const {
  std::vector<ModelScratch::Symbol>& symbols = scratch->symbols;
  std::vector<uint64_t>& heap = scratch->heap;
  const int32_t count = static_cast<int32_t>(scratch->ids.size());
  symbols.resize(scratch->ids.size());
  heap.clear();
  const auto set_merge = [this, &symbols](int32_t i) {
    const Merge merge = FindMerge(symbols[i].id, symbols[symbols[i].next].id);
    symbols[i].rank = merge.rank;
    symbols[i].merged = merge.merged;
    return merge.rank != kNoRank;
  };
  const auto entry = [&symbols](int32_t i) {
    return static_cast<uint64_t>(symbols[i].rank) << 32 | static_cast<uint32_t>(i);
  };
  for (int32_t i = 0; i < count; ++i) {
    symbols[i] = {scratch->ids[i], i - 1, i + 1 < count ? i + 1 : -1, kNoRank, -1};
  }
  for (int32_t i = 0; i + 1 < count; ++i) {
    if (set_merge(i)) heap.push_back(entry(i));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto push = [&heap, &entry](int32_t i) {
    heap.push_back(entry(i));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    const uint64_t top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.pop_back();
    const int32_t i = static_cast<int32_t>(top & UINT32_MAX);
    ModelScratch::Symbol& symbol = symbols[i];
    if (symbol.next < 0 || symbol.rank != top >> 32) continue;
    ModelScratch::Symbol& right = symbols[symbol.next];
    symbol.id = symbol.merged;
    symbol.rank = kNoRank;
    symbol.next = right.next;
    right.next = kRemoved;
    right.rank = kNoRank;
    if (symbol.next >= 0) {
      symbols[symbol.next].previous = i;
      if (set_merge(i)) push(i);
    }
    if (symbol.previous >= 0 && set_merge(symbol.previous)) push(symbol.previous);
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) ids->push_back(symbols[i].id);
}

}  // namespace llmcore::core
