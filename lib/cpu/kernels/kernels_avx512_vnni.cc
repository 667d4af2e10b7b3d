#define LLMCORE_KERNEL_SET avx512_vnni
#define LLMCORE_KERNEL_SET_NAME "avx512-vnni"
#include "lib/cpu/kernels/kernel_set.h"
