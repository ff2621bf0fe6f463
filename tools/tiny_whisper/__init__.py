"""How the demonstration model is made: synthetic sentences in, a Whisper of two megabytes out; see README.md here."""
