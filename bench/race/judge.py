"""SSIMULACRA2 of pairs of PNGs; runs in an environment of its own, which has the package ``ssimulacra2``.

Paths by line from standard input, tab between; a score by line to standard output.
"""

import sys

from ssimulacra2 import compute_ssimulacra2

for line in sys.stdin:
    reference, answer = line.rstrip("\n").split("\t")
    print(round(float(compute_ssimulacra2(reference, answer)), 2), flush=True)
