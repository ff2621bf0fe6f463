"""The queue: its rates, its latency and what a hot key costs, against bare statements on the same table.

`python -m bench.queue` writes build/bench/queue.json.
"""
