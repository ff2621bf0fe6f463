"""Gateway: REST and WebSocket audio through it, against routes written by hand and against bare gRPC.

`python -m bench.gateway` writes build/bench/gateway.json.
"""
