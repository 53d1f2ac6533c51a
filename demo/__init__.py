"""
The main job, end to end, on real data; every answer is checked against pandas.

`python -m demo` runs it, `python -m demo.data` only writes the batch files of a feature repo
(default: `feature_repo`).
"""
