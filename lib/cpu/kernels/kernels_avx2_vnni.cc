#define LLMCORE_KERNEL_SET avx2_vnni
#define LLMCORE_KERNEL_SET_NAME "avx2-vnni"
#include "lib/cpu/kernels/kernel_set.h"
