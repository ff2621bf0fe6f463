"""The console: what 500 live sessions at 2 Hz cost its process and its terminal, against a stock table and an idle app.

`python -m bench.console` writes build/bench/console.json.
"""
