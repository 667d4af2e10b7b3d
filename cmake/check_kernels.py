#!/usr/bin/env python3
"""Checks what ptxas says of the kernels: check_kernels.py BUILD_LOG [LIMITS]

BUILD_LOG is the output of a build that compiled every .cu file with -Xptxas=-v (cuda/CMakeLists.txt
asks for it). Prints each kernel's registers, stack and shared memory, and fails when one spills,
takes more registers than LIMITS (cuda/kernels/limits.txt) grants, or is not named there, or when a
line of LIMITS names no kernel.
"""

import os
import re
import shutil
import subprocess
import sys

COMPILING = re.compile(r"ptxas info\s*: Compiling entry function '(\w+)' for '(sm_\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"ptxas info\s*: Used (\d+) registers(?:, used \d+ barriers)?(?:, (\d+) bytes smem)?")


def demangle(names):
    tool = shutil.which("c++filt")
    if tool is None or not names:
        return names
    done = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def short(name):
    """llmcore::cuda::(anonymous namespace)::F<a, b>(T) as F<a, b>."""
    name = re.sub(r"\(anonymous namespace\)::|llmcore::cuda::", "", name)
    return re.sub(r"\(\w+\)(?=-?\d)", "", re.sub(r"^void ", "", re.sub(r"\([A-Z]\w+\)$", "", name)))


def kernels_of(log):
    """[(mangled name, architecture, registers, stack, spills, shared)]"""
    found = []
    name = stack = None
    for line in log:
        if match := COMPILING.search(line):
            name, stack = match.groups(), (0, 0)
        elif name and (match := STACK.search(line)):
            frame, stores, loads = map(int, match.groups())
            stack = (frame, stores + loads)
        elif name and (match := USED.search(line)):
            found.append((*name, int(match[1]), *stack, int(match[2] or 0)))
            name = None
    return found


def limits_of(path):
    limits = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if words := line.split("#")[0].split():
                pattern, registers = " ".join(words[:-1]), int(words[-1])
                limits.append((re.compile(pattern), registers))
    return limits


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    default = os.path.join(os.path.dirname(__file__), "..", "cuda", "kernels", "limits.txt")
    limits = limits_of(sys.argv[2] if len(sys.argv) == 3 else default)
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        kernels = kernels_of(log)
    if not kernels:
        sys.exit(f"{sys.argv[1]} names no kernel: was everything compiled before?")
    faults = []
    unused = {pattern.pattern for pattern, _ in limits}
    names = [short(name) for name in demangle([kernel[0] for kernel in kernels])]
    print(f"{'kernel':64} {'arch':7} registers  stack  spills  shared")
    for name, (_, arch, registers, stack, spills, shared) in sorted(zip(names, kernels)):
        print(f"{name:64} {arch:7} {registers:9} {stack:6} {spills:7} {shared:7}")
        if spills:
            faults.append(f"{name} spills {spills} bytes on {arch}")
        matching = [limit for limit in limits if limit[0].fullmatch(name)]
        if not matching:
            faults.append(f"{name} has no limit")
        for pattern, limit in matching[:1]:
            unused.discard(pattern.pattern)
            if registers > limit:
                faults.append(f"{name} takes {registers} registers on {arch}, more than {limit}")
    faults += [f"no kernel is named {pattern}" for pattern in sorted(unused)]
    for fault in faults:
        print(f"FAULT: {fault}")
    print(f"{len(kernels)} kernels, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
