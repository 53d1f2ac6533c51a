"""
Transformations: a function of a feature repo → text, text → a function, records → checked rows.

`capture` runs at plan time, `calling` wherever records become rows: in a worker process of the
service, and on Spark's executors. The text is all that travels (docs/decisions/0029).
"""
