"""cmake/check_kernels.py on what ptxas would say."""

import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.join(os.environ["LLMCORE_SOURCE_DIR"], "cmake", "check_kernels.py")

KERNEL = """\
[1/2] Building CUDA object a.cu.o
ptxas info    : Compiling entry function '{name}' for 'sm_90'
ptxas info    : Function properties for {name}
    {stack} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads
ptxas info    : Used {registers} registers, used 1 barriers, 1024 bytes smem
"""
NORM = ("_ZN7llmcore4cuda39_GLOBAL__N__a74c0434_7_rows_cu_bec302f110NormKernelENS0_"
        "16NormKernelParamsE")
LINEAR = ("_ZN7llmcore4cuda12LinearKernelINS0_11Int4WeightsILi1EEELi4ELb0EEEvNS0_"
          "18LinearKernelParamsE")


def kernel(name, registers=40, stack=0, stores=0, loads=0):
    return KERNEL.format(name=name, registers=registers, stack=stack, stores=stores, loads=loads)


class CheckKernelsTest(unittest.TestCase):
    def check(self, log, limits=r"LinearKernel<.*> 128"):
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("log", "limits")]
            for path, text in zip(paths, (log, limits + "\n")):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            done = subprocess.run([sys.executable, PROGRAM, *paths], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def test_kernels_within_their_limits_pass(self):
        status, output = self.check(kernel(LINEAR, 128))
        self.assertEqual(status, 0, output)
        self.assertIn("LinearKernel<Int4Weights<1>, 4, false>", output)
        self.assertIn("1 kernels, 0 faults", output)

    def test_one_register_more_is_a_fault(self):
        status, output = self.check(kernel(LINEAR, 129))
        self.assertEqual(status, 1)
        self.assertIn("takes 129 registers on sm_90, more than 128", output)

    def test_any_spill_is_a_fault(self):
        for spill in ({"stores": 4}, {"loads": 4}):
            status, output = self.check(kernel(LINEAR, 100, stack=8, **spill))
            self.assertEqual(status, 1)
            self.assertIn("spills 4 bytes", output)

    def test_a_kernel_without_a_limit_is_a_fault(self):
        status, output = self.check(kernel(LINEAR) + kernel(NORM))
        self.assertEqual(status, 1)
        self.assertIn("NormKernel has no limit", output)

    def test_a_limit_without_a_kernel_is_a_fault(self):
        status, output = self.check(kernel(LINEAR), "LinearKernel<.*> 128\nGoneKernel 64")
        self.assertEqual(status, 1)
        self.assertIn("no kernel is named GoneKernel", output)

    def test_a_log_that_says_nothing_is_no_success(self):
        status, output = self.check("ninja: no work to do.\n")
        self.assertEqual(status, 1)
        self.assertIn("names no kernel", output)


if __name__ == "__main__":
    unittest.main()
