# What the CUDA backend is made of, relative to this folder: also for the emulator's build.
set(LLMCORE_CUDA_HOST_SOURCES
  attention.cc batch_upload.cc cuda_backend.cc device.cc gemm.cc linear.cc many_tokens.cc
  pack_weight.cc rows.cc sampling.cc step_graphs.cc kernels/linear.cc)
# What the emulator has a stand-in for.
set(LLMCORE_CUDA_LIBRARY_SOURCES cublas_lt.cc)
set(LLMCORE_CUDA_KERNEL_SOURCES
  kernels/attention.cu kernels/kv_cache.cu kernels/linear_bf16.cu kernels/linear_f16.cu
  kernels/linear_f32.cu kernels/linear_int4.cu kernels/linear_int4_zeros.cu kernels/linear_int8.cu
  kernels/pack.cu kernels/panel.cu kernels/rows.cu kernels/sampling.cu)
