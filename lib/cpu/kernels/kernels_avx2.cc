#define LLMCORE_KERNEL_SET avx2
#define LLMCORE_KERNEL_SET_NAME "avx2"
#include "lib/cpu/kernels/kernel_set.h"
