"""The product's tables: what the rooms keep in PostgreSQL, and how it came to its present form."""
