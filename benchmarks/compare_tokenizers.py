#!/usr/bin/env python3
"""Times llmcore's tokenizer against Hugging Face's `tokenizers` on one core.

    pip install tokenizers
    ninja -C build tokenizer_bench
    taskset -c 0 benchmarks/compare_tokenizers.py --bench build/benchmarks/kernels/tokenizer_bench \\
        --model DIR --file TEXT

Both encode the whole text at once without special tokens, in turns, so that what else the machine
does hits both. Loading is not timed with it. Reported are medians and the range, in MB of text a
second of wall time; the ids must be equal.
"""
import argparse
import os
import statistics
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the tokenizer_bench program")
    parser.add_argument("--model", required=True, help="a folder with tokenizer.json")
    parser.add_argument("--file", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    import tokenizers

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with open(arguments.file, encoding="utf-8", newline="") as file:
        text = file.read()
    megabytes = len(text.encode()) / 1e6
    theirs = tokenizers.Tokenizer.from_file(os.path.join(arguments.model, "tokenizer.json"))
    ours = subprocess.Popen([arguments.bench, arguments.model, arguments.file], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run_ours():
        ours.stdin.write("encode\n")
        ours.stdin.flush()
        seconds, count, checksum = ours.stdout.readline().split()
        return float(seconds), int(count), int(checksum)

    def run_theirs():
        start = time.perf_counter()
        # Without the offsets that `encode` also computes.
        ids = theirs.encode_batch_fast([text], add_special_tokens=False)[0].ids
        seconds = time.perf_counter() - start
        checksum = 0
        for token in ids:
            checksum = (checksum * 31 + token) % (1 << 64)
        return seconds, len(ids), checksum

    runs = {"llmcore": (run_ours, []), "tokenizers " + tokenizers.__version__: (run_theirs, [])}
    results = set()
    for round_number in range(arguments.rounds + 1):
        for run, seconds in runs.values():
            elapsed, count, checksum = run()
            results.add((count, checksum))
            if round_number > 0:  # the first fills caches
                seconds.append(elapsed)
    ours.stdin.close()
    ours.wait()
    medians = []
    for name, (_, seconds) in runs.items():
        speeds = sorted(megabytes / s for s in seconds)
        medians.append(statistics.median(speeds))
        print("%-20s %7.2f MB/s  (%.2f to %.2f, %d rounds)" %
              (name, medians[-1], speeds[0], speeds[-1], len(speeds)))
    print("ratio                %7.2f" % (medians[0] / medians[1]))
    if len(results) != 1:
        sys.exit("the ids differ: %s" % results)


if __name__ == "__main__":
    main()
