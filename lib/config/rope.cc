#include "lib/config/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace llmcore::core {
namespace {

// theta ^ (2i / dim), rounded to float as a correctly rounded float pow would be.
float Power(double theta, size_t i, int32_t dim) {
  const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
  return static_cast<float>(
      std::pow(static_cast<double>(static_cast<float>(theta)), static_cast<double>(exponent)));
}

void FillPlain(double theta, int32_t dim, std::span<float> inverse) {
  for (size_t i = 0; i < inverse.size(); ++i) inverse[i] = 1.0f / Power(theta, i, dim);
}

// "NTK-aware" scaling whose base follows the context (Reddit users bloc97 and emozilla, 2023).
double DynamicTheta(const ModelConfig& config, int64_t sequence_length) {
  const RopeConfig& rope = config.rope;
  const auto trained = static_cast<double>(config.max_position_embeddings);
  const double length = std::max(static_cast<double>(sequence_length), trained);
  const auto dim = static_cast<double>(config.head_dim);
  if (dim <= 2) return rope.theta;  // the one pair has frequency 1 whatever the base
  return rope.theta * std::pow(rope.factor * length / trained - (rope.factor - 1), dim / (dim - 2));
}

// Llama 3.1: long wavelengths are stretched by the factor, short ones kept, those between blended.
void ScaleLlama3(const RopeConfig& rope, std::span<float> inverse) {
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const auto long_wave = static_cast<float>(original / rope.low_freq_factor);
  const auto short_wave = static_cast<float>(original / rope.high_freq_factor);
  const auto factor = static_cast<float>(rope.factor);
  const auto low = static_cast<float>(rope.low_freq_factor);
  const auto range = static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
  for (float& value : inverse) {
    // PyTorch divides a number by a tensor as number * (1 / tensor).
    const float wave = static_cast<float>(2 * std::numbers::pi) * (1.0f / value);
    if (wave > long_wave) {
      value = value / factor;
    } else if (wave >= short_wave) {
      const float smooth = (static_cast<float>(original) * (1.0f / wave) - low) / range;
      value = (1 - smooth) * value / factor + smooth * value;
    }
  }
}

// The pair (as a real number) that turns `rotations` times over the original context.
double CorrectionPair(const RopeConfig& rope, double rotations, int32_t dim) {
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  return dim * std::log(original / (rotations * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
}

// YaRN (Peng et al. 2023, section 3.2): pairs that turn often are kept, those that turn less than
// once are stretched, with a linear ramp between.
void FillYarn(const RopeConfig& rope, int32_t dim, std::span<float> inverse) {
  double low = CorrectionPair(rope, rope.beta_fast, dim);
  double high = CorrectionPair(rope, rope.beta_slow, dim);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(dim - 1));
  if (low == high) high += 0.001;

  for (size_t i = 0; i < inverse.size(); ++i) {
    const float power = Power(rope.theta, i, dim);
    const float kept = 1.0f / power;
    const float stretched = 1.0f / (static_cast<float>(rope.factor) * power);
    const float ramp =
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float share = 1 - std::clamp(ramp, 0.0f, 1.0f);
    inverse[i] = stretched * (1 - share) + kept * share;
  }
}

double YarnScale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

// YaRN section 3.4: the softmax temperature, as a factor of q and k each.
double YarnAttentionScale(const RopeConfig& rope) {
  if (rope.attention_factor.has_value()) return *rope.attention_factor;
  const double mscale = rope.mscale.value_or(0);
  const double all_dim = rope.mscale_all_dim.value_or(0);
  if (mscale != 0 && all_dim != 0) {
    return YarnScale(rope.factor, mscale) / YarnScale(rope.factor, all_dim);
  }
  return YarnScale(rope.factor, 1);
}

}  // namespace

RopeFrequencies RopeInverseFrequencies(const ModelConfig& config, int64_t sequence_length) {
  const RopeConfig& rope = config.rope;
  const int32_t dim = config.head_dim;
  RopeFrequencies result;
  result.inverse.resize(static_cast<size_t>(dim / 2));
  const std::span<float> inverse = result.inverse;
  switch (rope.scaling) {
    case RopeScaling::kDefault:
      FillPlain(rope.theta, dim, inverse);
      break;
    case RopeScaling::kLinear:
      FillPlain(rope.theta, dim, inverse);
      for (float& value : inverse) value /= static_cast<float>(rope.factor);
      break;
    case RopeScaling::kDynamic:
      FillDynamicFrequencies(config, sequence_length, inverse);
      break;
    case RopeScaling::kLlama3:
      FillPlain(rope.theta, dim, inverse);
      ScaleLlama3(rope, inverse);
      break;
    case RopeScaling::kYarn:
      FillYarn(rope, dim, inverse);
      result.attention_scale = static_cast<float>(YarnAttentionScale(rope));
      break;
  }
  return result;
}

void FillDynamicFrequencies(const ModelConfig& config, int64_t sequence_length,
                            std::span<float> inverse) {
  FillPlain(DynamicTheta(config, sequence_length), config.head_dim, inverse);
}

}  // namespace llmcore::core
