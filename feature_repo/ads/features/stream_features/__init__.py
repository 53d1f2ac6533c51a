"""Features of pushed events."""
