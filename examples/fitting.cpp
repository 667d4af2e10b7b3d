#include "fitting.h"

#include <algorithm>
#include <llmcore/experimental.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

namespace {

constexpr uint64_t kMostSequences = 4096;                 // of a step
constexpr uint64_t kMostCacheTokens = uint64_t{1} << 30;  // of an option

// The largest number up to `most` that fits, where all below it do; 0: none. Looks near `guess`
// first.
template <typename Fits>
uint64_t LargestThatFits(uint64_t guess, uint64_t most, const Fits& fits) {
  uint64_t low = 0;
  uint64_t high = most + 1;
  uint64_t probe = std::clamp<uint64_t>(guess, 1, std::max<uint64_t>(most, 1));
  for (uint64_t step = 1; high - low > 1; step *= 2) {
    const bool up = fits(probe);
    (up ? low : high) = probe;
    const uint64_t middle = low + (high - low) / 2;
    probe = up ? std::min(low + step, middle) : std::max(high - std::min(step, high), middle);
  }
  return low;
}

// How much rounding to the format costs: nothing, little, more.
int Rounding(llmcore::WeightFormat format) {
  if (format == llmcore::WeightFormat::kInt8) return 1;
  using W = llmcore::WeightFormat;
  return format == W::kInt4 || format == W::kInt4Zeros ? 3 : 0;
}
int Rounding(llmcore::KvFormat format) {
  return Rounding(static_cast<llmcore::WeightFormat>(format));
}

std::vector<llmcore::WeightFormat> WeightFormatsOf(const Planner& planner,
                                                   const llmcore::LoadOptions& options) {
  using W = llmcore::WeightFormat;
  if (options.weights != W::kAuto) return {options.weights};
  llmcore::LoadOptions as_stored = options;
  as_stored.activations = llmcore::ActivationFormat::kAuto;
  const W stored = planner.Plan(as_stored).weights;
  if (stored == W::kInt8 || stored == W::kInt4 || stored == W::kInt4Zeros) return {stored};
  if (stored == W::kF32) return {W::kF32, W::kBf16, W::kInt8, W::kInt4};
  return {stored, W::kInt8, W::kInt4};
}

std::vector<llmcore::KvFormat> KvFormatsOf(llmcore::WeightFormat weights,
                                           const llmcore::LoadOptions& options) {
  using K = llmcore::KvFormat;
  if (options.kv != K::kAuto) return {options.kv};
  if (weights == llmcore::WeightFormat::kF32) return {K::kF32, K::kBf16, K::kInt8, K::kInt4};
  return {K::kBf16, K::kInt8, K::kInt4};
}

}  // namespace

PlanDetails::PlanDetails(const llmcore::MemoryPlan& plan) {
  const auto json = nlohmann::json::parse(plan.json);
  device = json.at("device").get<std::string>();
  mapped_bytes = json.at("mapped_bytes").get<uint64_t>();
  session_bytes = json.at("session_bytes").get<uint64_t>();
  longest_context = json.at("longest_context").get<uint64_t>();
  block_tokens = json.at("kv_block_tokens").get<uint64_t>();
  batch_tokens = json.at("max_batch_tokens").get<uint64_t>();
  batch_sequences = json.at("max_batch_sequences").get<uint64_t>();
}

Planner::Planner(const examples::ModelFlags& flags)
    : shape_(examples::NamesShape(flags.path)), name_(flags.path), extras_(flags.extras) {
  if (!shape_) directory_ = std::make_unique<examples::ModelDirectory>(flags.path);
}

llmcore::MemoryPlan Planner::Plan(const llmcore::LoadOptions& options) const {
  namespace experimental = llmcore::experimental;
  return shape_ ? experimental::PlanSynthetic(name_, options, extras_).value()
                : experimental::Plan(directory_->path(), options, extras_).value();
}

Room RoomIn(const Planner& planner, llmcore::LoadOptions options, uint64_t limit,
            uint64_t context) {
  options.memory_budget = limit;
  options.kv_cache_tokens.reset();
  options.kv_cache_fraction.reset();
  const llmcore::MemoryPlan filled = planner.Plan(options);
  const PlanDetails details(filled);
  const uint64_t block = details.block_tokens;
  const auto blocks = [block](uint64_t tokens) { return (tokens + block - 1) / block; };
  options.memory_budget.reset();

  const auto context_of = [&](uint64_t count) {
    return std::min(count * block, details.longest_context);
  };
  const auto holds_context = [&](uint64_t count) {
    options.max_context = static_cast<uint32_t>(context_of(count));
    options.kv_cache_tokens = context_of(count);
    return planner.Plan(options).total_bytes <= limit;
  };
  Room room;
  room.context = context_of(LargestThatFits(filled.kv_cache_tokens / block,
                                            blocks(details.longest_context), holds_context));

  const auto holds_sequences = [&](uint64_t count) {
    options.max_context = static_cast<uint32_t>(context);
    options.kv_cache_tokens = count * blocks(context) * block;
    options.max_batch_sequences = static_cast<uint32_t>(count);
    return planner.Plan(options).total_bytes <= limit;
  };
  const uint64_t most = std::min(
      {kMostSequences, details.batch_tokens, kMostCacheTokens / (blocks(context) * block)});
  room.sequences =
      LargestThatFits(filled.kv_cache_tokens / (blocks(context) * block), most, holds_sequences);
  return room;
}

std::vector<Choice> ChoicesIn(const Planner& planner, const llmcore::LoadOptions& options,
                              uint64_t limit, uint64_t context,
                              const std::function<void(uint64_t, uint64_t)>& progress) {
  std::vector<Choice> choices;
  for (const llmcore::WeightFormat weights : WeightFormatsOf(planner, options)) {
    for (const llmcore::KvFormat kv : KvFormatsOf(weights, options)) {
      choices.push_back({weights, kv, 0, {}});
    }
  }
  std::optional<llmcore::Error> refused;
  uint64_t done = 0;
  const auto look = [&](Choice* choice) {
    progress(done++, choices.size());
    llmcore::LoadOptions tried = options;
    tried.weights = choice->weights;
    tried.kv = choice->kv;
    try {
      choice->room = RoomIn(planner, tried, limit, context);
      tried.max_context = static_cast<uint32_t>(context);
      tried.kv_cache_tokens = context;
      tried.memory_budget.reset();
      choice->total_bytes = planner.Plan(tried).total_bytes;
      return true;
    } catch (const llmcore::Error& error) {
      // Formats that do not go together, or not on this device.
      if (error.code() != llmcore::ErrorCode::kInvalidArgument &&
          error.code() != llmcore::ErrorCode::kUnimplemented) {
        throw;
      }
      refused = error;
      return false;
    }
  };
  std::vector<Choice> possible;
  for (Choice& choice : choices) {
    if (look(&choice)) possible.push_back(choice);
  }
  if (possible.empty() && refused) throw llmcore::Error(*refused);
  const auto rank = [](const Choice& choice) {
    return std::tuple(choice.room.sequences == 0, choice.room.context == 0,
                      Rounding(choice.weights) + Rounding(choice.kv), Rounding(choice.weights));
  };
  std::stable_sort(possible.begin(), possible.end(),
                   [&](const Choice& a, const Choice& b) { return rank(a) < rank(b); });
  return possible;
}
