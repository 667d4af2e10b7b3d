// What works on a row at a time: epilogues of linear layers, norms, rotary embedding. Included by a
// kernel_set only.
#ifndef LLMCORE_LIB_CPU_KERNELS_ROWS_H_
#define LLMCORE_LIB_CPU_KERNELS_ROWS_H_

#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/simd.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

// f(i, lanes) over [0, n) in steps of a vector; lanes is kLanes but for the last.
template <typename F>
LLMCORE_INLINE void ForVectors(int64_t n, F f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) f(i, int64_t{kLanes});
  if (i < n) f(i, n - i);
}

LLMCORE_INLINE F32 LoadLanes(const float* p, int64_t lanes) {
  return lanes == kLanes ? Load(p) : LoadFirst(p, lanes);
}
LLMCORE_INLINE void StoreLanes(float* p, F32 v, int64_t lanes) {
  if (lanes == kLanes) {
    Store(p, v);
  } else {
    StoreFirst(p, v, lanes);
  }
}

void StoreRows(const StoreArgs& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    const float* sums = a.sums + row * kPanelRows;
    float* out = a.out + row * a.stride;
    ForVectors(a.outputs, [&](int64_t i, int64_t lanes) {
      F32 v = Load(sums + i);
      if (a.bias != nullptr) v += LoadLanes(a.bias + i, lanes);
      if (a.residual != nullptr) v += LoadLanes(a.residual + row * a.stride + i, lanes);
      StoreLanes(out + i, v, lanes);
    });
  }
}

LLMCORE_INLINE F32 Sigmoid(F32 v) {
  return Set(1.0f) / (Set(1.0f) + Exp(-v));
}

LLMCORE_INLINE F32 Silu(F32 v) {
  return v * Sigmoid(v);
}

// 0.5 v (1 + tanh(u)) with u = sqrt(2 / pi) (v + 0.044715 v^3), which is v * sigmoid(2 u).
LLMCORE_INLINE F32 GeluTanh(F32 v) {
  const F32 u = Set(0.797884561f) * (v + Set(0.044715f) * v * v * v);
  return v * Sigmoid(u + u);
}

// 0.5 v (1 + erf(v / sqrt 2)), lane by lane.
LLMCORE_INLINE F32 Gelu(F32 v) {
  float lanes[kLanes];
  Store(lanes, v);
  for (float& x : lanes) x = 0.5f * x * (1.0f + __builtin_erff(x * 0.707106781f));
  return Load(lanes);
}

template <typename F>
LLMCORE_INLINE void StoreGatedWith(const StoreGatedArgs& a, F activation) {
  for (int64_t row = 0; row < a.rows; ++row) {
    const float* gates = a.gate + row * kPanelRows;
    const float* ups = a.up + row * kPanelRows;
    ForVectors(a.outputs, [&](int64_t i, int64_t lanes) {
      F32 gate = Load(gates + i);
      F32 up = Load(ups + i);
      if (a.gate_bias != nullptr) gate += LoadLanes(a.gate_bias + i, lanes);
      if (a.up_bias != nullptr) up += LoadLanes(a.up_bias + i, lanes);
      StoreLanes(a.out + row * a.stride + i, activation(gate) * up, lanes);
    });
  }
}

void StoreGated(const StoreGatedArgs& a) {
  switch (a.activation) {
    case Activation::kSilu:
      return StoreGatedWith(a, [](F32 v) { return Silu(v); });
    case Activation::kGeluTanh:
      return StoreGatedWith(a, [](F32 v) { return GeluTanh(v); });
    case Activation::kGelu:
      return StoreGatedWith(a, [](F32 v) { return Gelu(v); });
  }
}

// Two sums of kLanes lanes each, so that an addition need not wait for the one before.
LLMCORE_INLINE float SumOfSquares(const float* in, int64_t n) {
  F32 even = {};
  F32 odd = {};
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const F32 a = Load(in + i);
    const F32 b = Load(in + i + kLanes);
    even = Fma(a, a, even);
    odd = Fma(b, b, odd);
  }
  ForVectors(n - i, [&](int64_t j, int64_t lanes) {
    const F32 a = LoadLanes(in + i + j, lanes);
    even = Fma(a, a, even);
  });
  return Sum(even + odd);
}

LLMCORE_INLINE void RmsNorm(const float* in, const float* weight, int64_t n, float epsilon,
                            float* out) {
  const float mean = SumOfSquares(in, n) / static_cast<float>(n);
  const F32 factor = Set(1.0f / __builtin_sqrtf(mean + epsilon));
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const F32 v = LoadLanes(in + i, lanes) * factor * LoadLanes(weight + i, lanes);
    StoreLanes(out + i, v, lanes);
  });
}

void Norm(const NormArgs& a) {
  RmsNorm(a.in, a.weight, a.columns, a.epsilon, a.out);
}

void Rope(const RopeArgs& a) {
  const float* in = a.in;
  if (a.norm != nullptr) {
    RmsNorm(in, a.norm, a.head_dim, a.epsilon, a.out);
    in = a.out;
  }
  if (a.cos_sin == nullptr) {
    if (in != a.out) __builtin_memmove(a.out, in, static_cast<size_t>(a.head_dim) * 4);
    return;
  }
  const int64_t half = a.head_dim / 2;
  ForVectors(half, [&](int64_t i, int64_t lanes) {
    const F32 cos = LoadLanes(a.cos_sin + i, lanes);
    const F32 sin = LoadLanes(a.cos_sin + half + i, lanes);
    const F32 x = LoadLanes(in + i, lanes);
    const F32 y = LoadLanes(in + half + i, lanes);
    StoreLanes(a.out + i, x * cos - y * sin, lanes);
    StoreLanes(a.out + half + i, y * cos + x * sin, lanes);
  });
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_ROWS_H_
