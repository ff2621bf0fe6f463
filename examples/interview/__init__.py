"""The sample call: two-speaker interviews, one English and one Russian, with the truth beside the sound.

Read `README.md` first; `interview.load("en")` is what demos, tests and benches call.
"""
