"""The Python rows of wsbench.

`asyncio_row` and `trio_row` have the same shape: a diff of the two shows what each library asks of its user. Everything
else (services, workloads, accounting, the runner protocol) is written once and used by both.
"""
