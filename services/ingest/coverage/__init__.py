"""Coverage: what became of every second of every participant."""
