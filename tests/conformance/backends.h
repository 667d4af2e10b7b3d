// The backends that this machine can run: what the conformance suite is instantiated over.
#ifndef LLMCORE_TESTS_CONFORMANCE_BACKENDS_H_
#define LLMCORE_TESTS_CONFORMANCE_BACKENDS_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/base/status.h"

namespace llmcore::conformance {

struct BackendMaker {
  std::string name;  // letters, digits and _
  std::function<absl::StatusOr<std::unique_ptr<core::Backend>>(int threads)> create;
  // Whether threads are the backend's own and create() heeds their number.
  bool has_threads = true;
  // Whether kInt8 activations are int8 codes with a scale a block, to the bit; else they are
  // rounded in another way that is at least as close.
  bool has_activation_codes = true;
  // Whether every operation takes hundreds of times as long as it should (an emulator): shapes are
  // then fewer and smaller.
  bool is_slow = false;
};

// One for each set of kernels: what has to agree with the references.
const std::vector<BackendMaker>& BackendMakers();

struct BackendCase {
  const BackendMaker* maker = nullptr;
  int threads = 1;
};

// Each set of kernels on 1 and, where there are threads, on 3.
std::vector<BackendCase> BackendCases();

// The same, and backends that differ from one of these in their products alone: CUDA with its
// product of many tokens from one token on. That has bits of its own.
std::vector<BackendCase> ProductCases();

std::string NameOf(const BackendCase& backend);
std::ostream& operator<<(std::ostream& out, const BackendMaker& maker);
std::ostream& operator<<(std::ostream& out, const BackendCase& backend);

}  // namespace llmcore::conformance

#endif  // LLMCORE_TESTS_CONFORMANCE_BACKENDS_H_
