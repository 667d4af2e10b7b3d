// The CPU backend with a record of the memory that it gave.
#ifndef LLMCORE_TESTS_SESSION_LEDGER_BACKEND_H_
#define LLMCORE_TESTS_SESSION_LEDGER_BACKEND_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "lib/backend/backend.h"

namespace llmcore::core {

// Bytes of each allocation, in order.
struct Ledger {
  std::vector<uint64_t> device;
  std::vector<uint64_t> host;
};

// `ledger` outlives the backend. With `reserve_only` memory is address space that nobody is to
// write much to, and weights are not packed: for models that are larger than the machine. Loads
// models and runs no operation.
std::unique_ptr<Backend> LedgerBackend(int threads, bool reserve_only, Ledger* ledger);

}  // namespace llmcore::core

#endif  // LLMCORE_TESTS_SESSION_LEDGER_BACKEND_H_
