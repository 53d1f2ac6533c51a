"""`python -m benchmarks`: every benchmark, one after the other."""

from benchmarks import commits, functions, growth, replay, service, windows, writers

for benchmark in (commits, writers, growth, functions, replay, service, windows):
    print(f"-- {benchmark.__name__.removeprefix('benchmarks.')}: {benchmark.__doc__}")
    benchmark.main()
