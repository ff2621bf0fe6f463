"""What a room tells about itself: log lines, metrics, spans."""
