#define LLMCORE_KERNEL_SET avx512_bf16
#define LLMCORE_KERNEL_SET_NAME "avx512-bf16"
#include "lib/cpu/kernels/kernel_set.h"
