// What stands for cuBLASLt on the emulated device: a plain product behind the same functions, which
// holds its callers to what the library asks of them. Tests take it away and make it fail.
#ifndef LLMCORE_TESTS_CUDA_EMULATOR_CUBLAS_LT_H_
#define LLMCORE_TESTS_CUDA_EMULATOR_CUBLAS_LT_H_

#include <cstdint>

namespace cuda_emulator {

// There again, nothing fails, and calls are counted anew.
void ResetCublasLt();
// Whether it can be opened.
void SetCublasLt(bool is_there);
// Whether it has an algorithm for anything.
void SetCublasLtServes(bool serves);
// The call-th call of any of its functions from now on, 1 the next, returns `status`.
void FailCublasLt(int64_t call, int status);

// So far.
int64_t CublasLtCalls();
int64_t CublasLtProducts();
int64_t CublasLtChoices();  // of an algorithm
// Handles and descriptors that were not destroyed.
int64_t CublasLtObjects();

}  // namespace cuda_emulator

#endif  // LLMCORE_TESTS_CUDA_EMULATOR_CUBLAS_LT_H_
