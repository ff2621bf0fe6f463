"""The administrator's view of the whole mesh: every room asked at once, the answers joined."""
