#include "lib/backend/step_trace.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace llmcore::core {
namespace {

double Seconds(StepTrace::Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

absl::string_view OperationName(OperationKind kind) {
  switch (kind) {
    case OperationKind::kEmbed:
      return "embed";
    case OperationKind::kNorm:
      return "norm";
    case OperationKind::kLinear:
      return "linear";
    case OperationKind::kLinearGated:
      return "linear_gated";
    case OperationKind::kRopeAppend:
      return "rope_append";
    case OperationKind::kAttention:
      return "attention";
    case OperationKind::kGatherRows:
      return "gather_rows";
    case OperationKind::kCopyBlocks:
      return "copy_blocks";
    case OperationKind::kSwapBlocks:
      return "swap_blocks";
    case OperationKind::kSample:
      return "sample";
  }
  return "unknown";
}

void StepTrace::Reset() {
  const std::lock_guard lock(mutex_);
  used_ = 0;
  steps_ = 0;
  rows_ = 0;
  step_time_ = {};
}

StepTrace::Entry& StepTrace::EntryOf(const OperationWork& work) {
  Entry* of_kind = nullptr;
  for (size_t i = 0; i < used_; ++i) {
    Entry& entry = entries_[i];
    if (entry.work.kind != work.kind) continue;
    if (entry.work.inputs == work.inputs && entry.work.outputs == work.outputs) return entry;
    if (of_kind == nullptr) of_kind = &entry;
  }
  // The last places are kept for kinds that have none yet.
  const size_t limit = of_kind != nullptr ? kEntries - kOperationKinds : kEntries;
  if (used_ >= limit) return *of_kind;
  Entry& entry = entries_[used_++];
  entry = Entry();
  entry.work.kind = work.kind;
  entry.work.inputs = work.inputs;
  entry.work.outputs = work.outputs;
  return entry;
}

void StepTrace::AddOperation(const OperationWork& work, Clock::duration time) {
  const std::lock_guard lock(mutex_);
  Entry& entry = EntryOf(work);
  entry.work.rows += work.rows;
  entry.work.bytes += work.bytes;
  entry.work.ops += work.ops;
  ++entry.calls;
  entry.time += time;
}

void StepTrace::AddStep(int64_t rows, Clock::duration time) {
  const std::lock_guard lock(mutex_);
  ++steps_;
  rows_ += rows;
  step_time_ += time;
}

std::string StepTrace::ToJson() const {
  std::array<Entry, kEntries> entries;
  size_t used;
  std::string json;
  {
    const std::lock_guard lock(mutex_);
    entries = entries_;
    used = used_;
    Clock::duration operations{};
    for (size_t i = 0; i < used; ++i) operations += entries[i].time;
    const Clock::duration other = std::max(step_time_ - operations, Clock::duration{});
    json = absl::StrCat("{\"steps\": ", steps_, ", \"rows\": ", rows_,
                        ", \"seconds\": ", Seconds(step_time_),
                        ", \"other_seconds\": ", Seconds(other), ", \"operations\": [");
  }
  std::sort(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(used),
            [](const Entry& a, const Entry& b) { return a.time > b.time; });
  for (size_t i = 0; i < used; ++i) {
    const Entry& entry = entries[i];
    absl::StrAppend(&json, i == 0 ? "" : ", ", "{\"name\": \"", OperationName(entry.work.kind),
                    "\"");
    if (entry.work.outputs > 0) {
      absl::StrAppend(&json, ", \"inputs\": ", entry.work.inputs,
                      ", \"outputs\": ", entry.work.outputs);
    }
    absl::StrAppend(&json, ", \"calls\": ", entry.calls, ", \"rows\": ", entry.work.rows,
                    ", \"seconds\": ", Seconds(entry.time), ", \"bytes\": ", entry.work.bytes,
                    ", \"ops\": ", entry.work.ops, "}");
  }
  json += "]}";
  return json;
}

}  // namespace llmcore::core
