"""The operator's stream: every room watched, joined, and sent on as a snapshot and what changed."""
