"""The documentation's example: which ads a user clicks."""
