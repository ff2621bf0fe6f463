"""Calls: tracks per core, added latency, what is left of speech after loss, cycles and calls, against stock aiortc.

`python -m bench.webrtc` writes build/bench/webrtc.json.
"""
