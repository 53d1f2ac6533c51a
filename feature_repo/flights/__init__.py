"""Departures from New York: what is known of an aircraft when its next flight is due."""
