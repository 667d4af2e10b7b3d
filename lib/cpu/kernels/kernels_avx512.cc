#define LLMCORE_KERNEL_SET avx512
#define LLMCORE_KERNEL_SET_NAME "avx512"
#include "lib/cpu/kernels/kernel_set.h"
