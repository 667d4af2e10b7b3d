"""Which lines of cuda/ the tests on the emulator run, by gcov:

coverage.py SOURCE_DIRECTORY OBJECT_DIRECTORY GCOV PROGRAM [arguments ...]

Runs the program, whose objects of cuda/ were compiled with --coverage, prints the share of lines a
file and those that did not run, and fails below 90%.
"""

import collections
import json
import os
import subprocess
import sys

LEAST = 90.0

# What no test can reach on a device that is emulated, by file and by text of the line.
HOST_ONLY = {
}

source, objects, gcov, *command = sys.argv[1:]


def files(suffix):
    for folder, _, names in os.walk(objects):
        yield from (os.path.join(folder, name) for name in names if name.endswith(suffix))


for old in list(files(".gcda")):
    os.remove(old)
print("running", " ".join(command), flush=True)
if subprocess.run(command).returncode != 0:
    sys.exit("the tests failed")

counts = collections.defaultdict(dict)  # file -> line -> times
for notes in files(".gcda"):
    done = subprocess.run([gcov, "--json-format", "--stdout", notes], capture_output=True,
                          check=True, cwd=objects)
    for unit in done.stdout.splitlines():
        report = json.loads(unit)
        for file in report["files"]:
            path = os.path.relpath(
                os.path.join(report["current_working_directory"], file["file"]), source)
            if not path.startswith("cuda" + os.sep):
                continue
            lines = counts[path]
            for line in file["lines"]:
                number = line["line_number"]
                lines[number] = max(lines.get(number, 0), line["count"])
if not counts:
    sys.exit(f"no counts of cuda/ in {objects}")

ran = total = 0
missing = []
for path, lines in sorted(counts.items()):
    with open(os.path.join(source, path), encoding="utf-8") as file:
        text = file.read().splitlines()
    skipped = HOST_ONLY.get(path, ())
    lines = {number: count for number, count in lines.items()
             if text[number - 1].strip() not in skipped}
    here = sum(count > 0 for count in lines.values())
    print(f"{path:40} {here:5} of {len(lines):5} lines  {100 * here / max(len(lines), 1):6.1f}%")
    missing += [f"{path}:{number}: {text[number - 1].strip()}"
                for number, count in sorted(lines.items()) if count == 0]
    ran += here
    total += len(lines)
print("\nnot run:", *missing, sep="\n  ")
share = 100 * ran / total
print(f"\n{ran} of {total} lines of cuda/ ran: {share:.1f}% (at least {LEAST}%)")
sys.exit(0 if share >= LEAST else 1)
