"""Runs the fuzz: `python -m benchmarks.fuzz`."""

from benchmarks.fuzz.run import main

main()
