"""Measurements of what the product promises, each against a floor in the same run; see docs/benchmarks.md."""

import kit  # noqa: F401 - before gRPC, so that every bench runs on the event engine that the rooms run on
