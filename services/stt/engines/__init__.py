"""Speech engines behind one Protocol: faster-whisper, our demonstration model, a mock; packages may add more."""
