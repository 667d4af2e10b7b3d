#include "lib/tokenizer/decoders.h"

#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "lib/base/utf8.h"
#include "lib/tokenizer/byte_alphabet.h"
#include "lib/tokenizer/normalizers.h"

namespace llmcore::core {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// A step that looks at whole pieces.
class PieceDecoder : public DecoderStep {
 public:
  absl::Status Push(absl::string_view fragment, bool ends_piece) final {
    if (!ends_piece || !pending_.empty()) pending_.append(fragment.data(), fragment.size());
    if (!ends_piece) return absl::OkStatus();
    if (pending_.empty()) return PushPiece(fragment);
    const std::string piece = std::move(pending_);
    pending_.clear();
    return PushPiece(piece);
  }
  absl::Status Finish() override { return absl::OkStatus(); }

 protected:
  virtual absl::Status PushPiece(absl::string_view piece) = 0;

 private:
  std::string pending_;
};

// All pieces are bytes of one text; bytes that are not UTF-8 become U+FFFD.
class ByteLevelDecoder final : public PieceDecoder {
 public:
  std::unique_ptr<DecoderStep> Fresh() const override {
    return std::make_unique<ByteLevelDecoder>();
  }
  absl::Status PushPiece(absl::string_view piece) override {
    if (!AppendBytesOfAlphabet(piece, &bytes_)) bytes_.append(piece.data(), piece.size());
    return EmitUpTo(CompleteUtf8Prefix(bytes_), /*ends_piece=*/false);
  }
  absl::Status Finish() override { return EmitUpTo(bytes_.size(), /*ends_piece=*/true); }

 private:
  absl::Status EmitUpTo(size_t end, bool ends_piece) {
    std::string text;
    for (size_t i = 0; i < end;) {
      const DecodedCharacter character = DecodeUtf8(bytes_, i);
      AppendUtf8(character.code_point, &text);
      i += character.length;
    }
    bytes_.erase(0, end);
    return Emit(text, ends_piece);
  }

  std::string bytes_;  // the start of a character that is not complete
};

// A run of pieces like <0x0A> is bytes. Whether they are text shows only at the end of the run:
// where they are not UTF-8 each byte of the run becomes U+FFFD.
class ByteFallbackDecoder final : public PieceDecoder {
 public:
  std::unique_ptr<DecoderStep> Fresh() const override {
    return std::make_unique<ByteFallbackDecoder>();
  }
  absl::Status PushPiece(absl::string_view piece) override {
    if (const std::optional<char> byte = ByteOf(piece); byte.has_value()) {
      run_.push_back(*byte);
      return absl::OkStatus();
    }
    LLMCORE_RETURN_IF_ERROR(EmitRun());
    return Emit(piece, true);
  }
  absl::Status Finish() override { return EmitRun(); }

 private:
  static std::optional<char> ByteOf(absl::string_view piece) {
    uint32_t byte = 0;
    const bool is_byte = piece.size() == 6 && absl::StartsWith(piece, "<0x") && piece[5] == '>' &&
                         absl::SimpleHexAtoi(piece.substr(3, 2), &byte);
    if (!is_byte) return std::nullopt;
    return static_cast<char>(byte);
  }

  absl::Status EmitRun() {
    if (run_.empty()) return absl::OkStatus();
    const std::string run = std::move(run_);
    run_.clear();
    if (IsValidUtf8(run)) return Emit(run, true);
    for (size_t i = 0; i < run.size(); ++i) LLMCORE_RETURN_IF_ERROR(Emit(kReplacement, true));
    return absl::OkStatus();
  }

  std::string run_;
};

class FuseDecoder final : public DecoderStep {
 public:
  std::unique_ptr<DecoderStep> Fresh() const override { return std::make_unique<FuseDecoder>(); }
  absl::Status Push(absl::string_view fragment, bool) override { return Emit(fragment, false); }
  absl::Status Finish() override { return Emit("", true); }
};

// Drops up to `start` leading and `stop` trailing characters of each piece.
class StripDecoder final : public DecoderStep {
 public:
  StripDecoder(char32_t character, size_t start, size_t stop) : start_(start), stop_(stop) {
    AppendUtf8(character, &character_);
    left_ = start_;
  }
  std::unique_ptr<DecoderStep> Fresh() const override {
    std::unique_ptr<StripDecoder> fresh(new StripDecoder(*this));
    fresh->left_ = start_;
    fresh->held_ = 0;
    return fresh;
  }
  absl::Status Push(absl::string_view fragment, bool ends_piece) override {
    while (left_ > 0 && absl::ConsumePrefix(&fragment, character_)) --left_;
    std::string out;
    if (!fragment.empty()) {
      left_ = 0;
      size_t trailing = 0;
      absl::string_view body = fragment;
      while (absl::ConsumeSuffix(&body, character_)) ++trailing;
      // Held characters turn out not to be trailing once another one follows.
      const size_t run = body.empty() ? held_ + trailing : trailing;
      if (!body.empty()) AppendCharacters(held_, &out);
      out.append(body.data(), body.size());
      held_ = run < stop_ ? run : stop_;
      AppendCharacters(run - held_, &out);
    }
    if (ends_piece) {
      left_ = start_;
      held_ = 0;
    }
    return Emit(out, ends_piece);
  }
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  StripDecoder(const StripDecoder& other)
      : start_(other.start_), stop_(other.stop_), character_(other.character_) {}

  void AppendCharacters(size_t count, std::string* out) const {
    for (size_t i = 0; i < count; ++i) out->append(character_);
  }

  const size_t start_;
  const size_t stop_;
  std::string character_;
  size_t left_ = 0;  // leading ones that may still be dropped
  size_t held_ = 0;  // characters at the end of what came, not yet passed on
};

class ReplaceDecoder final : public PieceDecoder {
 public:
  ReplaceDecoder(std::string pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::unique_ptr<DecoderStep> Fresh() const override {
    return std::make_unique<ReplaceDecoder>(pattern_, content_);
  }
  absl::Status PushPiece(absl::string_view piece) override {
    return Emit(ReplaceAll(piece, pattern_, content_), true);
  }

 private:
  const std::string pattern_;
  const std::string content_;
};

class RegexReplaceDecoder final : public PieceDecoder {
 public:
  RegexReplaceDecoder(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::unique_ptr<DecoderStep> Fresh() const override {
    return std::make_unique<RegexReplaceDecoder>(pattern_, content_);
  }
  absl::Status PushPiece(absl::string_view piece) override {
    LLMCORE_ASSIGN_OR_RETURN(const std::string text, ReplaceAll(piece, pattern_, content_));
    return Emit(text, true);
  }

 private:
  const Regex pattern_;
  const std::string content_;
};

class MetaspaceDecoder final : public PieceDecoder {
 public:
  MetaspaceDecoder(std::string replacement, bool drops_first)
      : replacement_(std::move(replacement)), drops_first_(drops_first) {}
  std::unique_ptr<DecoderStep> Fresh() const override {
    return std::make_unique<MetaspaceDecoder>(replacement_, drops_first_);
  }
  absl::Status PushPiece(absl::string_view piece) override {
    const bool drops = is_first_ && drops_first_;
    is_first_ = false;
    return Emit(ReplaceAll(piece, replacement_, drops ? "" : " "), true);
  }

 private:
  const std::string replacement_;
  const bool drops_first_;
  bool is_first_ = true;
};

// The suffix that ends a word is a space, but for the last piece of all.
class BpeDecoder final : public PieceDecoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  std::unique_ptr<DecoderStep> Fresh() const override {
    return std::make_unique<BpeDecoder>(suffix_);
  }
  absl::Status PushPiece(absl::string_view piece) override {
    std::optional<std::string> before(piece);
    before.swap(held_);
    if (!before.has_value()) return absl::OkStatus();
    return Emit(ReplaceAll(*before, suffix_, " "), true);
  }
  absl::Status Finish() override {
    if (!held_.has_value()) return absl::OkStatus();
    return Emit(ReplaceAll(*std::exchange(held_, std::nullopt), suffix_, ""), true);
  }

 private:
  const std::string suffix_;
  std::optional<std::string> held_;
};

class WordPieceDecoder final : public PieceDecoder {
 public:
  WordPieceDecoder(std::string prefix, bool cleanup)
      : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  std::unique_ptr<DecoderStep> Fresh() const override {
    return std::make_unique<WordPieceDecoder>(prefix_, cleanup_);
  }
  absl::Status PushPiece(absl::string_view piece) override {
    std::string text;
    if (!is_first_ && !absl::ConsumePrefix(&piece, prefix_)) text = " ";
    is_first_ = false;
    text.append(piece.data(), piece.size());
    if (cleanup_) CleanUp(&text);
    return Emit(text, true);
  }

 private:
  // English punctuation without the space before it. One rule after the other, in this order.
  static void CleanUp(std::string* text) {
    constexpr std::pair<absl::string_view, absl::string_view> kRules[] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : kRules) *text = ReplaceAll(*text, from, to);
  }

  const std::string prefix_;
  const bool cleanup_;
  bool is_first_ = true;
};

class JoinDecoder final : public DecoderStep {
 public:
  std::unique_ptr<DecoderStep> Fresh() const override { return std::make_unique<JoinDecoder>(); }
  absl::Status Push(absl::string_view fragment, bool ends_piece) override {
    if (needs_space_) LLMCORE_RETURN_IF_ERROR(Emit(" ", false));
    needs_space_ = ends_piece;
    return Emit(fragment, ends_piece);
  }
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  bool needs_space_ = false;
};

}  // namespace

absl::Status DecoderStep::Emit(absl::string_view fragment, bool ends_piece) {
  if (next_ != nullptr) return next_->Push(fragment, ends_piece);
  text_->append(fragment.data(), fragment.size());
  return absl::OkStatus();
}

std::unique_ptr<DecoderStep> MakeByteLevelDecoder() {
  return std::make_unique<ByteLevelDecoder>();
}

std::unique_ptr<DecoderStep> MakeByteFallbackDecoder() {
  return std::make_unique<ByteFallbackDecoder>();
}

std::unique_ptr<DecoderStep> MakeFuseDecoder() {
  return std::make_unique<FuseDecoder>();
}

std::unique_ptr<DecoderStep> MakeStripDecoder(char32_t character, size_t start, size_t stop) {
  return std::make_unique<StripDecoder>(character, start, stop);
}

std::unique_ptr<DecoderStep> MakeReplaceDecoder(std::string pattern, std::string content) {
  return std::make_unique<ReplaceDecoder>(std::move(pattern), std::move(content));
}

std::unique_ptr<DecoderStep> MakeRegexReplaceDecoder(Regex pattern, std::string content) {
  return std::make_unique<RegexReplaceDecoder>(std::move(pattern), std::move(content));
}

std::unique_ptr<DecoderStep> MakeMetaspaceDecoder(std::string replacement, bool drops_first) {
  return std::make_unique<MetaspaceDecoder>(std::move(replacement), drops_first);
}

std::unique_ptr<DecoderStep> MakeBpeDecoder(std::string suffix) {
  return std::make_unique<BpeDecoder>(std::move(suffix));
}

std::unique_ptr<DecoderStep> MakeWordPieceDecoder(std::string prefix, bool cleanup) {
  return std::make_unique<WordPieceDecoder>(std::move(prefix), cleanup);
}

std::unique_ptr<DecoderStep> MakeJoinDecoder() {
  return std::make_unique<JoinDecoder>();
}

DecoderChain::DecoderChain(const DecoderSteps& steps) : text_(std::make_unique<std::string>()) {
  steps_.reserve(steps.size());
  for (const std::unique_ptr<DecoderStep>& step : steps) steps_.push_back(step->Fresh());
  for (size_t i = 0; i < steps_.size(); ++i) {
    steps_[i]->Connect(i + 1 < steps_.size() ? steps_[i + 1].get() : nullptr, text_.get());
  }
}

absl::Status DecoderChain::Push(absl::string_view piece) {
  return steps_[0]->Push(piece, /*ends_piece=*/true);
}

absl::Status DecoderChain::Finish() {
  for (const std::unique_ptr<DecoderStep>& step : steps_) LLMCORE_RETURN_IF_ERROR(step->Finish());
  return absl::OkStatus();
}

std::string DecoderChain::Take() {
  std::string text = std::move(*text_);
  text_->clear();
  return text;
}

}  // namespace llmcore::core
