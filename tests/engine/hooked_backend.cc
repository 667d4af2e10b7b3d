#include "tests/engine/hooked_backend.h"

#include <utility>

#include "lib/cpu/cpu_backend.h"
#include "tests/support/forwarding_backend.h"

namespace llmcore::core {
namespace {

class Hooked final : public ForwardingBackend {
 public:
  Hooked(std::unique_ptr<Backend> cpu, const OperationHook* hook)
      : ForwardingBackend(std::move(cpu)), hook_(*hook) {}

  absl::Status Embed(const StepContext& context, const EmbedParams& params) override {
    return Run(context, [&] { return to().Embed(context, params); });
  }
  absl::Status Norm(const StepContext& context, const NormParams& params) override {
    return Run(context, [&] { return to().Norm(context, params); });
  }
  absl::Status Linear(const StepContext& context, const LinearParams& params) override {
    return Run(context, [&] { return to().Linear(context, params); });
  }
  absl::Status LinearGated(const StepContext& context, const LinearGatedParams& params) override {
    return Run(context, [&] { return to().LinearGated(context, params); });
  }
  absl::Status RopeAppend(const StepContext& context, const RopeAppendParams& params) override {
    return Run(context, [&] { return to().RopeAppend(context, params); });
  }
  absl::Status Attention(const StepContext& context, const AttentionParams& params) override {
    return Run(context, [&] { return to().Attention(context, params); });
  }
  absl::Status GatherRows(const StepContext& context, const GatherRowsParams& params) override {
    return Run(context, [&] { return to().GatherRows(context, params); });
  }
  absl::Status CopyBlocks(const StepContext& context, const CopyBlocksParams& params) override {
    return Run(context, [&] { return to().CopyBlocks(context, params); });
  }
  absl::Status SwapBlocks(const StepContext& context, const SwapBlocksParams& params) override {
    return Run(context, [&] { return to().SwapBlocks(context, params); });
  }
  absl::Status ForEachOnHost(int64_t count, absl::FunctionRef<void(int64_t)> body) override {
    const CancelToken never;
    const StepContext context{{}, &never};
    const bool hooked = static_cast<bool>(hook_);  // one that is set meanwhile is for the next step
    if (hooked) LLMCORE_RETURN_IF_ERROR(hook_(context));
    LLMCORE_RETURN_IF_ERROR(to().ForEachOnHost(count, body));
    return hooked ? hook_(context) : absl::OkStatus();
  }

 private:
  template <typename Operation>
  absl::Status Run(const StepContext& context, const Operation& operation) {
    if (hook_) LLMCORE_RETURN_IF_ERROR(hook_(context));
    return operation();
  }

  const OperationHook& hook_;
};

}  // namespace

std::unique_ptr<Backend> HookedBackend(int threads, const OperationHook* hook) {
  cpu::CpuBackendOptions options;
  options.threads = threads;
  auto cpu = cpu::CpuBackend::Create(options);
  if (!cpu.ok()) return nullptr;
  return std::make_unique<Hooked>(*std::move(cpu), hook);
}

}  // namespace llmcore::core
