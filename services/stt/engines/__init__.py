"""Speech engines behind one Protocol: faster-whisper, a transcription service, others; packages may add more."""
