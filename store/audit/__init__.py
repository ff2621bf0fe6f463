"""The audit trail in the database: written by every room that has one, checked by anybody who has its address."""
