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
  std::vector<core::KvFormat> kv_formats;
};

// One for each set of kernels: what has to agree with the references.
const std::vector<BackendMaker>& BackendMakers();

struct BackendCase {
  const BackendMaker* maker = nullptr;
  int threads = 1;
};

// Each set of kernels on 1 and on 3 threads.
std::vector<BackendCase> BackendCases();

std::string NameOf(const BackendCase& backend);
std::ostream& operator<<(std::ostream& out, const BackendMaker& maker);
std::ostream& operator<<(std::ostream& out, const BackendCase& backend);

}  // namespace llmcore::conformance

#endif  // LLMCORE_TESTS_CONFORMANCE_BACKENDS_H_
