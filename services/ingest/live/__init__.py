"""Live meetings: from the journal to text and back, with alarms on the way, up to the end."""
