"""Speech to text: many live calls on one small model, against bare faster-whisper and a lock per model.

`python -m bench.stt` writes build/bench/stt.json.
"""
