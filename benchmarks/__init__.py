"""
What the documents claim, measured: speed by `make bench`.

What takes minutes is run by name: `python -m benchmarks.rejections` (what a refusal costs),
`benchmarks.overload` (ten times the bearable load), `benchmarks.training` (windows beside a plain
join, in Spark), `benchmarks.backfill` (batch rows a second, and memory),
`benchmarks.memory` (an hour's worth of good and bad requests; the number of requests may follow).
"""
