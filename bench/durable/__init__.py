"""Durable audio: streams per core and time to an acknowledgement, against an echo and a journal without sync.

`python -m bench.durable` writes build/bench/durable.json.
"""
