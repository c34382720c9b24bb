"""The commands of the shell, a module each: batch (which shows things by `telling`), demo, inspect, summarize.

`ctseg profile` and `ctseg report` are in `profiling` and `reporting`.
"""
