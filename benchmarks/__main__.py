"""`python -m benchmarks`: every benchmark, one after the other."""

from benchmarks import commits, replay, service

for benchmark in (commits, replay, service):
    print(f"-- {benchmark.__name__.removeprefix('benchmarks.')}: {benchmark.__doc__}")
    benchmark.main()
