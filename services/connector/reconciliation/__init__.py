"""Reconciliation: what ought to be in calls is in calls, whichever replica dies; and every decision is written down."""
