"""`python -m benchmarks`: every benchmark, one after the other."""

from benchmarks import commits, functions, replay, service, windows

for benchmark in (commits, functions, replay, service, windows):
    print(f"-- {benchmark.__name__.removeprefix('benchmarks.')}: {benchmark.__doc__}")
    benchmark.main()
