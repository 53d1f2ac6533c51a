"""
What spark-submit runs: one script for each kind of job.
"""
