"""The trail of decisions about access: taken at gates, queued, chained by hashes, kept by a room with a database."""
